"""JSON as editors write it: with `//` and `/* */` comments and trailing commas.

Above stands `mcpjson`. What is taken out is replaced by blanks, so that lines and columns stay where they
were. This module must never know what the document is about.
"""

from __future__ import annotations

import json
import re
from typing import Any

# A string is matched first, so that what looks like a comment or a comma inside one is left alone.
_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|[{}\[\]:]')
_COMMA = re.compile(r'"(?:[^"\\\n]|\\.)*"|,(?=\s*[}\]])')


def loads(text: str) -> Any:
    """Return what `text` says.

    Raises:
        ValueError: it is no JSON; the message names line and column.

    """
    try:
        return json.loads(plain(text))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def plain(text: str) -> str:
    """Return `text` as strict JSON, every character that stays at its old place."""
    return _COMMA.sub(_blank, _COMMENT.sub(_blank, text.removeprefix("\ufeff")))


def _blank(found: re.Match[str]) -> str:
    part = found[0]
    return part if part.startswith('"') else re.sub(r"[^\n]", " ", part)


def lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line of each key in `text`, counted from 1, by the keys on the way to it.

    What stands in a list has no path of its own. `text` must be sound; of equal keys the later is taken, as
    `loads` does.
    """
    found: dict[tuple[str, ...], int] = {}
    path: list[str | None] = []  # the key in force at each open bracket; None in a list or before a key
    last, number, before = "", 1, 0
    for token in _TOKEN.finditer(plain(text)):
        number += text.count("\n", before, token.start())
        before = token.start()
        match token[0]:
            case "{" | "[":
                path.append(None)
            case "}" | "]":
                path.pop()
            case ":":
                path[-1] = json.loads(last)
                if None not in path:
                    found[tuple(key for key in path if key is not None)] = number
            case string:
                last = string
    return found
