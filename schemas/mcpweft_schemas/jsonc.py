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
