"""docs/cli.md against the application: every command, every option, every exit code."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cyclopts import App

from mcpweft.cli.exits import Exit
from mcpweft.cli.main import COMMANDS, build

if TYPE_CHECKING:
    from cyclopts import ArgumentCollection

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
NAMES = [entry.name for entries in COMMANDS.values() for entry in entries]
FLAG = re.compile(r"--[a-z][a-z-]+|(?<=`)-[a-z](?=`)")


def section(name: str) -> str:
    """What the page says of a command."""
    found = re.search(
        rf"^### `mcpweft {name}\b.*?(?=^##|\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found, f"docs/cli.md has no section on {name}"
    return found[0]


def options(name: str) -> set[str]:
    """The options that the application gives a command, `dead`'s commands among them."""
    root = build()
    app = root[name]
    paths = [[name]] if app.default_command else [[name, each] for each in app if not each.startswith("-")]
    collections: list[ArgumentCollection] = []
    for path in paths:
        with root.app_stack(path):  # what the root says of all parameters holds within
            collections.append(functools.reduce(App.__getitem__, path, root).assemble_argument_collection())
    names = {flag for arguments in collections for argument in arguments for flag in argument.names}
    return {flag for flag in names if flag.startswith("-")}


@pytest.mark.parametrize("name", NAMES)
def test_the_page_tells_of_every_option_and_of_no_other(name: str) -> None:
    said = set(FLAG.findall(section(name))) - {"--install-completion"}
    has = options(name)
    assert said <= has, "the page tells of options that are not there"
    assert has - {"--url"} <= said, "the page does not tell of all options"


def test_the_page_has_every_exit_code_with_its_meaning() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(str(code.value), code.meaning) for code in Exit]


def test_the_page_has_the_headings_of_help() -> None:
    text = PAGE.read_text(encoding="utf-8")
    positions = [text.index(f"\n## {heading}\n") for heading in COMMANDS]
    assert positions == sorted(positions)
    assert sorted(re.findall(r"^### `mcpweft (\w+)", text, re.MULTILINE)) == sorted(NAMES)
