"""The shape that CONTRIBUTING.md asks of the code, where no linter looks."""

from __future__ import annotations

import ast
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = [
    "schemas/mcpweft_schemas",
    "producer/mcpweft",
    "workers/mcpweft_workers",
    "coordinator/mcpweft_coordinator",
    "coordinator/mcpweft_simulator",
]
CODE = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
ALL = CODE + sorted(path for folder in ("tests", "scripts") for path in (ROOT / folder).rglob("*.py"))
SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "base", "manager", "models", "misc", "shared"}
BARE = re.compile(r"(noqa|type: ignore|pyright: ignore|pragma)(: [A-Z0-9, ]+|\[[^]]+\])?\s*$")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", CODE, ids=name)
def test_a_module_is_short_its_functions_fit_a_screen_and_its_docstring_comes_first(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "what is it for, what stands above and below, what must it never know?"
    assert path.stem not in SAY_NOTHING
    assert text.count("\n") <= 500
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {node.name: node.end_lineno - node.lineno + 1 for node in functions if node.end_lineno}
    assert {which: lines for which, lines in long.items() if lines > 60} == {}


@pytest.mark.parametrize("path", ALL, ids=name)
def test_every_silenced_warning_says_why_on_its_line(path: Path) -> None:
    with path.open("rb") as source:
        comments = [token for token in tokenize.tokenize(source.readline) if token.type == tokenize.COMMENT]
    assert [f"{token.start[0]}: {token.string}" for token in comments if BARE.search(token.string)] == []
