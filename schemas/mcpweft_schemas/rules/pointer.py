"""JSON Pointer (RFC 6901): a place in a tree of JSON values.

Above stands `ruleset`. This module must never know what is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

Pointer = tuple[str, ...]
"""The names on the way to a place, unescaped; none: the whole."""


class _Missing:
    """Stands for what is not there; None is a value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()

_STRAY = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9][0-9]*")


def parse(text: str) -> Pointer:
    """Return the place that `text` writes: `/a/0/b~1c` → a, 0, b/c. Raises ValueError."""
    if text == "":
        return ()
    if not text.startswith("/") or _STRAY.search(text):
        raise ValueError(
            f"Write {text!r} as a JSON Pointer, such as /query or /filters/0/name: "
            "each name behind a /, with ~1 for a / in it and ~0 for a ~"
        )
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


def look(tree: Any, pointer: Pointer) -> Any:
    """Return what stands at `pointer` in `tree`, or MISSING."""
    node = tree
    for name in pointer:
        if isinstance(node, Mapping):
            node = node.get(name, MISSING)
        elif isinstance(node, list | tuple):
            # An index has no leading zeros, and `-` is the place behind the last one, where nothing is.
            node = node[int(name)] if _INDEX.fullmatch(name) and _within(name, len(node)) else MISSING
        else:
            return MISSING
        if node is MISSING:
            return MISSING
    return node


def _within(index: str, length: int) -> bool:
    """Whether an index is one; a number of a million digits is not even read."""
    return len(index) <= len(str(length)) and int(index) < length
