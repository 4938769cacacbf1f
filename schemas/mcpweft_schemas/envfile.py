r"""A file of environment variables: `NAME=value`, a line each, as `.env` files are written.

`export ` may stand before the name, `#` begins a comment at a line's start or after a blank, and a value may
stand in single quotes (as it is) or double quotes (with \n, \t, \", \\). Nothing is expanded.

Above stands `mcpjson`. This module must never know whose variables they are.
"""

from __future__ import annotations

import re

_LINE = re.compile(
    r"""(?:export\s+)?(?P<name>[A-Za-z_][\w.]*)\s*=\s*
    (?: '(?P<single>[^']*)' \s*(?:\#.*)?
      | "(?P<double>(?:[^"\\]|\\.)*)" \s*(?:\#.*)?
      | (?P<bare>.*?) (?:\s+\#.*)?
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def parse(text: str) -> dict[str, str]:
    """Return the variables in `text`; of two with one name the later stays.

    Raises:
        ValueError: a line is none of these; the message names it.

    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        trimmed = line.strip()
        if not trimmed or trimmed.startswith("#"):
            continue
        match = _LINE.fullmatch(trimmed)
        if match is None:  # its text may be a secret: not shown
            raise ValueError(f"line {number} is not NAME=value")
        if match["double"] is not None:
            found[match["name"]] = re.sub(r"\\(.)", lambda at: _ESCAPES.get(at[1], at[1]), match["double"])
        else:
            found[match["name"]] = match["single"] if match["single"] is not None else match["bare"]
    return found
