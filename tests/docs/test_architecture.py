"""The page of the architecture names what is there: every module of the houses and of the simulator."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
HOUSES = (
    "schemas/mcpweft_schemas",
    "producer/mcpweft",
    "workers/mcpweft_workers",
    "coordinator/mcpweft_coordinator",
    "coordinator/mcpweft_simulator",
)
MOST_ON_THE_WAY = 9


def test_every_module_is_named_where_its_house_is_told() -> None:
    for house in HOUSES:
        told = PAGE.partition(f"**{house}.**")[2].partition("\n\n")[0]
        words = set(re.findall(r"\w+", told))
        modules = {file.stem for file in (ROOT / house).glob("*.py") if not file.stem.startswith("_")}
        assert modules <= words, f"{house}: {sorted(modules - words)}"


def test_a_request_can_be_followed_in_fewer_than_ten_files_and_all_of_them_are_there() -> None:
    table = PAGE.partition("## The way of a request")[2].partition("## ")[0]
    files = re.findall(r"^\| \d+ \| \[\w+\]\(\.\./(\S+?)\)", table, re.MULTILINE)
    assert len(files) == MOST_ON_THE_WAY
    assert all((ROOT / file).is_file() for file in files)


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / link).resolve().exists(), link
