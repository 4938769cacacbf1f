"""docs/events.md lists every kind of event, in the order in which they are declared, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from mcpweft_schemas.event import Kind

PAGE = Path(__file__).resolve().parents[2] / "docs" / "events.md"


def test_the_page_lists_every_kind() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [kind.value for kind in Kind]
