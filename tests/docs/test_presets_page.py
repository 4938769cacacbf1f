"""The page of the presets against the presets, the record of their benchmark, and its own examples."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mcpweft_schemas import duration
from mcpweft_schemas.presets import PRESETS, Preset

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- run: (\w+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))


def rows(name: str) -> list[list[str]]:
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)\n<!-- end of {name} -->", PAGE, re.DOTALL)
    return [line.strip("|").split("|") for line in found.splitlines()[2:]]


def told(preset: Preset) -> list[str]:
    size, load = preset.size, preset.load
    return [
        f"`{preset.name}`",
        f"{size.least} to {size.most}" if size.scaled else str(size.usual),
        f"{load.least_qps:g} to {load.most_qps:g}"
        if load.least_qps < load.most_qps
        else f"{load.most_qps:g}",
        duration.spoken(load.service_time),
        f"`{preset.value('strategy', 'name')}`",
        preset.character,
    ]


def measured(preset: Preset) -> str:
    record = json.loads((ROOT / "docs" / "benchmarks" / "presets.json").read_text(encoding="utf-8"))
    row = record["figures"]["presets"][preset.name]
    return f"{row['in_time']:.0f}, {row['ceiling']:.0f}"


def test_the_table_says_what_the_presets_are_and_what_was_measured() -> None:
    table = [[cell.strip() for cell in row] for row in rows("presets")]
    assert table == [[*told(preset), measured(preset)] for preset in PRESETS.values()]


def test_what_could_not_be_carried_over_is_told() -> None:
    told_of = {(cells[1].strip(), cells[2].strip()) for cells in rows("left out")}
    assert told_of == {(each.setting, each.why) for preset in PRESETS.values() for each in preset.left_out}


def test_every_example_is_run() -> None:
    assert set(BLOCKS) == {"preset", "custom", "optimize", "validate"}
    assert PAGE.count("```python") == len(BLOCKS)


@pytest.mark.parametrize("name", ["preset", "custom", "optimize", "validate"])
def test_an_example_runs_and_prints_what_its_comments_say(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKS[name]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    for said in re.findall(r"print\(.*\)  +# (Size\(.*\)|\S.* = \d+)$", BLOCKS[name], re.MULTILINE):
        assert said.rpartition(" = ")[2] in done.stdout


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / link).resolve().exists(), link
