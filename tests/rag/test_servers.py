"""The reference servers as processes, asked by a client of the SDK over stdio and over HTTP."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client

from rag.conftest import SERVERS, found, names, talking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from retrieval.corpus import Corpus
    from retrieval.library import Library

ALL = ("vector_search", "graph_query", "hybrid_search")
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no query": ({}, "query"),
    "empty query": ({"query": ""}, "at least 1 character"),
    "blank query": ({"query": "  \n"}, "query is blank"),
    "NUL in the query": ({"query": "sa\0il"}, "NUL character at position 2"),
    "endless query": ({"query": "sail " * 3000}, "at most 10000 characters"),
    "query of another type": ({"query": 7}, "valid string"),
    "max_results 0": ({"query": "sail", "max_results": 0}, "greater than or equal to 1"),
    "max_results 1000": ({"query": "sail", "max_results": 1000}, "less than or equal to 100"),
    "threshold 2": ({"query": "sail", "threshold": 2}, "less than or equal to 1"),
    "threshold -1": ({"query": "sail", "threshold": -1}, "greater than or equal to 0"),
    "NUL in the context": ({"query": "sail", "context": "\0"}, "NUL character at position 0"),
}


async def refusal(client: Client, tool: str, arguments: dict[str, Any]) -> str:
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    (content,) = answer.content
    assert content.type == "text"
    return content.text


@pytest.mark.parametrize("name", ALL)
async def test_a_server_finds_says_what_it_promises_and_refuses_what_is_wrong(
    name: str, sailing: Library, shared: Path
) -> None:
    async with talking(name, "--corpus", shared / "sailing", "--cache", shared / "indexes") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        for tool in tools.values():
            assert tool.annotations is not None
            assert tool.annotations.read_only_hint
            assert tool.annotations.idempotent_hint
        properties = tools["search"].input_schema["properties"]
        assert properties["max_results"]["default"] == 5
        assert properties["threshold"]["default"] == 0.7
        results = await found(client, "which part carries the sails", max_results=1, threshold=0)
        assert names(results) == ["boat.rig.Mast"]
        assert results[0].keys() == {"content", "score", "source", "metadata", "relationships"}
        for arguments, said in WRONG.values():
            assert said in await refusal(client, "search", arguments)
        assert names(await found(client, "which part carries the sails", max_results=1, threshold=0))


async def test_the_graphs_other_tools_answer_and_refuse(sailing: Library, shared: Path) -> None:
    async with talking(
        "graph_query", "--corpus", shared / "sailing", "--cache", shared / "indexes"
    ) as client:
        near = await client.call_tool("neighbours", {"entity": "Mast", "relation": "inherits"})
        way = await client.call_tool("path", {"start": "Mast", "end": "Hull.steer"})
        around = await client.call_tool("subgraph", {"entity": "Mast", "max_results": 3})
        assert near.structured_content is not None
        assert [one["entity"] for one in near.structured_content["relationships"]] == ["boat.hull.Hull"]
        assert way.structured_content is not None
        assert way.structured_content["entities"] == [
            "boat.rig.Mast",
            "boat.hull.Hull",
            "boat.hull.Hull.steer",
        ]
        assert around.structured_content is not None
        assert len(around.structured_content["entities"]) == 3
        assert "there is no entity 'Sale'" in await refusal(client, "neighbours", {"entity": "Sale"})
        assert "NUL" in await refusal(client, "path", {"start": "Ma\0st", "end": "Hull"})
        assert "blank" in await refusal(client, "subgraph", {"entity": " "})
        assert "contains" in await refusal(client, "neighbours", {"entity": "Mast", "relation": "eats"})


async def test_a_server_answers_while_its_index_is_made_and_a_call_waits_for_it(
    small: Corpus, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    arguments = ("--corpus", small.root, "--cache", tmp_path / "cache", "--embedder", "rag.embedders:Gated")
    async with talking("hybrid_search", *arguments, GATE=str(gate)) as client:
        waiting = asyncio.create_task(found(client, "which part carries the sails", threshold=0))
        assert [tool.name for tool in (await client.list_tools()).tools] == ["search"]
        assert not waiting.done()
        assert not list((tmp_path / "cache").glob("*.sqlite"))
        gate.touch()
        assert "boat.rig.Mast" in names(await waiting)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--corpus", "nowhere/at/all"), "nowhere/at/all is not a folder"),
        (("--embedder", "rag.nowhere:Model"), "embedder 'rag.nowhere:Model' cannot be loaded"),
        (("--embedder", "rag.embedders:Failing"), "no model for"),
        (("--cache", "/dev/null/cache"), "/dev/null/cache"),
    ],
)
async def test_a_server_without_an_index_says_why_at_each_call(
    arguments: tuple[str, str], said: str, small: Corpus, tmp_path: Path
) -> None:
    given = {"--corpus": str(small.root), "--cache": str(tmp_path / "cache"), **dict([arguments])}
    flat = [word for pair in given.items() for word in pair]
    async with talking("vector_search", *flat) as client:
        for _ in range(2):
            told = await refusal(client, "search", {"query": "sail"})
            assert "the index cannot be had" in told
            assert said in told


@pytest.fixture
def listening(sailing: Library, shared: Path) -> Iterator[str]:
    """What a server that was told to listen says, once it does."""
    command = [sys.executable, str(SERVERS / "vector_search.py"), "--transport", "http"]
    command += ["--corpus", str(shared / "sailing"), "--cache", str(shared / "indexes")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield process.stderr.readline()
        finally:
            process.terminate()


async def test_a_server_listens_on_http_and_says_where(listening: str) -> None:
    said = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+/mcp)\n", listening)
    assert said is not None
    async with Client(said[1]) as client:
        assert "boat.rig.Mast.raise_sail" in names(await found(client, "how do I hoist a sail"))
