"""docs/rules.md: its files are right, its commands print what it says, its tables have every key."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mcpweft_schemas.rules.rule import Rule, Test, Then, When

if TYPE_CHECKING:
    from pydantic import BaseModel

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
BLOCKS: list[str] = re.findall(r"<!-- run -->\n```console\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_its_commands_print_what_it_says(block: str, tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    steps = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    assert steps
    for step in steps:
        line, _, printed = step.partition("\n")
        command, _, into = line.partition(" > ")
        done = subprocess.run(
            shlex.split(command), cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        if into:
            (tmp_path / into).write_text(done.stdout, encoding="utf-8")
        else:
            assert done.stdout == printed


@pytest.mark.parametrize("model", [Rule, When, Test, Then])
def test_its_tables_have_every_key_and_no_other(model: type[BaseModel]) -> None:
    table = re.search(rf"<!-- keys: {model.__name__} -->\n(.*?)\n\n", PAGE, re.DOTALL)
    assert table
    rows = [row.split("|")[1] for row in table[1].splitlines()[2:]]
    assert {key for row in rows for key in re.findall(r"`(\w+)`", row)} == set(model.model_fields)


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", PAGE):
        assert (Path(__file__).resolve().parents[2] / "docs" / link).resolve().exists(), link
