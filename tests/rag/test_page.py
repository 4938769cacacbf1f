"""What docs/rag.md shows is what is there, and what it tells to do works."""

from __future__ import annotations

import json
import re
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mcpweft_schemas.config import load_config
from retrieval.answer import search
from retrieval.embedder import load_embedder
from retrieval.library import open_library
from retrieval.searcher import RIGHT

if TYPE_CHECKING:
    import pytest

    from retrieval.corpus import Corpus

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rag.md").read_text(encoding="utf-8")
RECORD = ROOT / "docs" / "benchmarks" / "rag_quality.json"


class Model:
    """Stands in for a model of half a gigabyte: only its call is the real one's."""

    def __init__(self, name: str) -> None:
        assert name == "all-MiniLM-L6-v2"

    def encode(self, texts: list[str], *, normalize_embeddings: bool) -> Any:
        assert normalize_embeddings
        rows = np.array([[text.count(letter) + 0.1 for letter in "abcdefgh"] for text in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_page_shows_the_configuration_as_it_is_and_it_names_a_server_for_each_pool() -> None:
    (shown,) = re.findall(r"<!-- file: scripts/servers/mcpweft.toml -->\n```toml\n(.*?)```", PAGE, re.DOTALL)
    file = ROOT / "scripts" / "servers" / "mcpweft.toml"
    assert shown == file.read_text(encoding="utf-8")
    for server in load_config(file).servers.values():
        (script,) = server.args
        assert (file.parent / script).is_file()
        assert server.capabilities == (script.removesuffix(".py"),)


def test_the_embedder_of_the_page_can_be_used(
    small: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"<!-- run: embedder -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "sentences.py").write_text(code)
    library: Any = types.ModuleType("sentence_transformers")
    library.SentenceTransformer = Model
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)
    monkeypatch.syspath_prepend(str(tmp_path))
    opened = open_library(small, load_embedder("sentences:Sentences"), tmp_path / "cache")
    assert search(opened, opened.vector, "hoist a sail", 3, 0.0, None).total_results > 3


def test_the_figures_of_the_page_are_those_that_were_recorded() -> None:
    told = json.loads(RECORD.read_text())
    assert told["half"] == "held-out"
    rows: dict[str, list[str]] = {}
    for line in PAGE.partition("<!-- quality -->")[2].partition("\n- ")[0].splitlines():
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if cells and cells[0] != "---":
            rows[name] = cells
    heads = rows.pop("")
    for name, row in rows.items():
        figures = told["figures"][name.strip("`")]
        assert [float(cell) for cell in row] == [round(figures[head], 2) for head in heads]
    low, high = told["figures"]["lead"]["from"], told["figures"]["lead"]["to"]
    assert f"(`lead`: from {low:.2f} to {high:.2f})" in PAGE


def test_the_page_names_the_default_threshold_and_its_links_lead_somewhere() -> None:
    assert f"threshold={RIGHT}" in PAGE
    for link in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / link).resolve().exists(), link
