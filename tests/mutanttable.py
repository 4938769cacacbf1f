"""The table of mistakes made on purpose, as CONTRIBUTING.md has it: name → what finds it.

Above stand the tests that make the mistakes: each holds the rows of its own against the table.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_PAGE = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"


def rows(which: str) -> dict[str, str]:
    """Return the rows of the table behind the comment that names it, without its head."""
    (table,) = re.findall(rf"<!-- {which} -->\n((?:\|.*\n)+)", _PAGE.read_text(encoding="utf-8"))
    cells = [line.strip("|").split("|") for line in table.splitlines()]
    return {name.strip(): finder.strip() for name, finder in cells[2:]}


def spoken(scene: Callable[..., Any]) -> str:
    """Return the sentence that a scene's name is."""
    return scene.__name__.strip("_").replace("_", " ")
