"""The page on search servers: its program runs, and its tables say what the code does."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mcpweft.rag import Query, analyse

if TYPE_CHECKING:
    import pytest

    from mcpweft_workers.worker import Worker
    from shelf import Shelf

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rag.md").read_text(encoding="utf-8")
PROGRAMS = dict(re.findall(r"<!-- run: (\w+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))


async def test_the_pages_program_runs(
    shelf: Shelf, library: Worker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MCPWEFT_URL", shelf.bench.url)
    monkeypatch.setenv("MCPWEFT_NAMESPACE", shelf.bench.namespace)
    program = compile(PROGRAMS["rag"], "docs/rag.md", "exec")
    await asyncio.to_thread(exec, program, {"__name__": "a_program"})
    assert "hybrid_search echo" in capsys.readouterr().out


def test_the_words_on_the_page_are_those_that_decide() -> None:
    rows = re.findall(r"^\| asks for (\w+) \((.*?)(?: …)?\) \| `(\w+)` \|$", PAGE, re.MULTILINE)
    assert [name for name, _, _ in rows] == ["likeness", "relations"]
    for _, words, capability in rows:
        for word in words.split(", "):
            assert analyse(Query(f"what is {word} it")).capability == capability, word
