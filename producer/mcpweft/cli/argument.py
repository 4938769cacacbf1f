"""From words on a command line to a tool's arguments.

    key=value       value is read as JSON where it is JSON (5, true, [1], "5"), else it is the text as written
    key:=value      value must be JSON
    --json '{…}'    all arguments at once; `-` reads them from standard input, `@file` from a file

Above stand `call` and `submit`. This module must never know what a tool expects.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from mcpweft.cli.exits import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_BARE = ""
"""What `main` makes of a `--json` that brings no arguments."""


def read_arguments(pairs: Sequence[str], whole: str | None) -> dict[str, Any]:
    """Return the arguments that `pairs` and the value of `--json` say; a pair goes over the whole.

    Raises:
        UsageError: a pair is none, a key comes twice, or the JSON is no object.

    """
    arguments = _object(whole) if whole else {}
    seen: set[str] = set()
    for pair in pairs:
        key, value = _pair(pair)
        if key in seen:
            raise UsageError(f"The argument {key!r} is given twice.")
        seen.add(key)
        arguments[key] = value
    return arguments


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    strict = key.endswith(":")
    key = key.removesuffix(":")
    if not equals or not key:
        raise UsageError(f"{text!r} is no argument. Write key=value, or key:=JSON.")
    try:
        return key, json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        if strict:
            raise UsageError(
                f"The value of {key!r} is no JSON: {error}. Write {key}={value} for text."
            ) from None
        return key, value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _object(text: str) -> dict[str, Any]:
    source = "the value of --json"
    if text == "-":
        source, text = "standard input", sys.stdin.read()
    elif text.startswith("@"):
        source, text = text[1:], Path(text[1:]).read_text(encoding="utf-8")
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"What {source} holds is no JSON: {error}.") from None
    if not isinstance(value, dict):
        raise UsageError(f'What {source} holds is no JSON object. Write {{"key": value}}.')
    return cast("dict[str, Any]", value)
