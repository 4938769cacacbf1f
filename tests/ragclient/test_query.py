"""A question through the fabric: what is asked of the server, and what its caller gets."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mcpweft import Class, errors
from mcpweft.rag import HYBRID, Choice, Query, RagClient, RagSettings, SyncRagClient
from mcpweft.rag import client as rag_client
from mcpweft.rag.answer import passages
from mcpweft_schemas.edition import Edition
from proxy import Proxy
from waiting import until

if TYPE_CHECKING:
    from mcpweft_workers.worker import Worker
    from shelf import Shelf


async def test_an_answer_tells_what_was_found_and_how_it_was_come_by(shelf: Shelf, library: Worker) -> None:
    async with shelf.rag() as rag:
        answer = await rag.query("zip archive", threshold=0.5)
    best = answer.results[0]
    assert (best.content, best.score, best.source) == ("The History of the Zip Archive", 1.0, "shelf/0")
    assert best.metadata == {"words": ["archive", "zip"]}
    assert best.relationships == ({"kind": "beside", "target": "shelf/1"},)
    said = answer.metadata
    assert (said.capability, said.source, said.server_id) == (HYBRID, "hybrid", "echo")
    assert said.query_id.startswith("hybrid_search~")
    assert said.total_results == len(answer.results) == 2
    assert [(each.server, each.cause) for each in said.attempts] == [("echo", "OK")]
    assert said.service_ms is not None
    assert said.processing_time >= said.service_ms > 0
    assert (said.fallback, said.cached, said.fallback_reason) == (False, False, "")


async def test_a_server_is_told_what_its_tool_knows_and_nothing_that_was_not_said(
    shelf: Shelf, library: Worker
) -> None:
    async with shelf.rag() as rag:
        await rag.query("zip", metadata={"who": "me"})
        await rag.query("zip", context="about archives", max_results=7, threshold=0)
    first, second = shelf.asked()
    assert first.pop("_meta") == {"who": "me"}
    assert first == {"query": "zip", "max_results": 5, "threshold": 0.7}
    second.pop("_meta")
    assert second == {"query": "zip", "max_results": 7, "threshold": 0, "context": "about archives"}


async def test_metadata_and_trace_reach_the_server_and_what_is_the_protocols_own_does_not(
    shelf: Shelf, library: Worker
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    said = {"who": "me", "progressToken": "mine", "io.modelcontextprotocol/protocolVersion": "none"}
    async with shelf.client() as client:
        await client.call("hybrid_search.search", {"query": "zip"}, metadata=said, trace=trace)
    (asked,) = shelf.asked()
    assert asked["_meta"] == {"who": "me", "traceparent": trace}


async def test_thresholds_and_numbers_hold_although_the_server_does_not_keep_to_them(
    shelf: Shelf, library: Worker
) -> None:
    async with shelf.rag() as rag:
        everything = await rag.query("the zip of graphs", max_results=1000, threshold=0)
        few = await rag.query("the zip of graphs", max_results=2, threshold=0)
        none = await rag.query("the zip of graphs", threshold=0.9)
    scores = [each.score or 0.0 for each in everything.results]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) > 2
    assert few.results == everything.results[:2]
    assert (none.results, none.metadata.total_results) == ((), 0)


async def test_a_question_goes_to_the_pool_that_the_analyser_says_and_another_analyser_may_say_another(
    shelf: Shelf, library: Worker
) -> None:
    async with shelf.rag() as rag:
        asked = ["books similar to zip", "books related to zip", "zip"]
        pools = [(await rag.query(each)).metadata.query_id.partition("~")[0] for each in asked]
        assert pools == ["vector_search", "graph_query", "hybrid_search"]
        named = await rag.query("zip", capability="graph_query")
        assert (named.metadata.source, named.metadata.reason) == ("graph", "named by the caller")

    def always(_: Query) -> Choice:
        return Choice("vector_search", "always")

    async with shelf.rag(analyser=always) as rag:
        answer = await rag.query("books related to zip")
    assert (answer.metadata.capability, answer.metadata.reason) == ("vector_search", "always")


async def test_a_question_has_the_priority_that_it_is_given_or_that_its_form_hints(
    shelf: Shelf, library: Worker
) -> None:
    async with shelf.client() as client, RagClient(client, RagSettings()) as rag:

        async def klass(**said: Any) -> Class:
            answer = await rag.query(**said)
            return (await client.inspect(answer.metadata.query_id)).klass

        assert await klass(query="zip") is Class.HIGH
        assert await klass(query="zip " * 30) is Class.NORMAL
        assert await klass(query="zip", priority="low") is Class.LOW
        assert await klass(query="zip archive", priority=10) is Class.CRITICAL
        assert client.is_open
    assert not client.is_open


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({"query": ""}, "query"),
        ({"query": " \n"}, "query"),
        ({"query": "q", "max_results": 0}, "max_results"),
        ({"query": "q", "max_results": 1001}, "max_results"),
        ({"query": "q", "max_results": True}, "max_results"),
        ({"query": "q", "max_results": 2.5}, "max_results"),
        ({"query": "q", "threshold": -0.1}, "threshold"),
        ({"query": "q", "threshold": 1.1}, "threshold"),
        ({"query": "q", "threshold": float("nan")}, "threshold"),
        ({"query": "q", "threshold": "much"}, "threshold"),
        ({"query": "q", "context": 3}, "context"),
        ({"query": "q", "metadata": {"x": object()}}, "metadata"),
        ({"query": "q", "metadata": "x"}, "metadata"),
        ({"query": "q", "capability": 7}, "capability"),
    ],
)
async def test_what_is_no_question_is_refused_by_name_and_asks_nobody(
    shelf: Shelf, said: dict[str, Any], names: str
) -> None:
    async with shelf.rag() as rag:
        with pytest.raises(errors.InvalidArgumentsError, match=names) as refused:
            await rag.query(**said)
    assert refused.value.advice


async def test_a_tools_own_error_and_an_answer_that_is_none_are_told_and_asked_of_nobody_else(
    shelf: Shelf, library: Worker
) -> None:
    async with shelf.rag(fallback=shelf.fallback()) as rag:
        with pytest.raises(errors.ToolError, match="the shelf fell over"):
            await rag.query("fail")
        with pytest.raises(errors.ToolError, match="no search result"):
            await rag.query("strange")
        assert (await rag.query("zip")).metadata.server_id == "echo"
    assert not shelf.asked_beside()


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ({"metadata": "page 3"}, "metadata"),
        ({"metadata": 7}, "metadata"),
        ({"relationships": 5}, "relationships"),
        ({"relationships": "ab"}, "relationships"),
        ({"relationships": {"a": {}}}, "relationships"),
        ({"relationships": ["a"]}, "relationships"),
        ({"score": "much"}, "scores"),
        ({"content": 1}, "content"),
    ],
)
def test_a_result_that_is_none_is_a_tools_error(result: dict[str, Any], says: str) -> None:
    with pytest.raises(errors.ToolError, match=says):
        passages({"results": [{"content": "x"} | result]}, Query("q"), "x")


async def test_a_question_that_rules_send_elsewhere_says_where_it_went(shelf: Shelf, library: Worker) -> None:
    rule = {
        "name": "moved",
        "when": {"capability": ["websearch", "vector_search"]},
        "then": {"capability": "graph_query"},
    }
    await shelf.bench.store.amend(Edition(document={"rules": [rule]}), "m1")
    async with shelf.rag(cache=60.0) as rag:
        answer = await rag.query("zip", capability="websearch")
        assert (answer.metadata.capability, answer.metadata.source) == ("graph_query", "graph")
        for _ in range(2):
            answer = await rag.query("zip", capability="vector_search")
            assert (answer.metadata.capability, answer.metadata.cached) == ("graph_query", False)


@pytest.mark.parametrize(
    ("asked", "pool", "went"),
    [
        ("search", "search", "search"),
        ("search", "search--gpu", "search"),
        ("search--gpu", "search--gpu", "search--gpu"),
        ("search--gpu", "search--eu-gpu", "search--gpu"),
        ("search--gpu", "other", "other"),
        ("search", "other--gpu", "other"),
    ],
)
def test_tags_that_rules_demand_are_no_other_capability(asked: str, pool: str, went: str) -> None:
    result = cast("Any", SimpleNamespace(request_id=f"{pool}~1"))
    assert rag_client._went(result, asked) == went


async def test_who_has_more_time_does_not_share_the_end_of_who_has_less(
    shelf: Shelf, library: Worker
) -> None:
    async with shelf.rag() as rag:
        hasty = asyncio.create_task(rag.query("zip wait 1000", threshold=0, timeout=0.3))
        await until(shelf.asked)
        answer = await rag.query("zip wait 1000", threshold=0)
        assert answer.results
        with pytest.raises(errors.RequestTimeoutError):
            await hasty


async def test_a_store_that_is_away_for_a_moment_is_ridden_out_as_by_a_call(
    shelf: Shelf, library: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rag_client, "_TOOLS_S", 0.0)
    async with Proxy(shelf.bench.url) as way, shelf.rag(way.url) as rag:
        await rag.query("zip")
        await way.shut()
        asking = asyncio.create_task(rag.query("archive", threshold=0))
        await asyncio.sleep(0.3)
        await way.reopen()
        assert (await asking).results


async def test_without_a_fallback_a_question_fails_as_a_call_does(shelf: Shelf) -> None:
    async with shelf.rag(timeout=0.3) as rag:
        with pytest.raises(errors.UnknownCapabilityError):
            await rag.query("zip", capability="nobodys")
    async with shelf.worker():
        pass  # its pools stay, without a worker
    async with shelf.rag() as rag:
        with pytest.raises(errors.RequestTimeoutError):
            await rag.query("zip", timeout=0.3)


async def test_identical_questions_under_way_are_asked_once(shelf: Shelf, library: Worker) -> None:
    async with shelf.rag() as rag:
        answers = await asyncio.gather(*(rag.query("zip wait 100") for _ in range(5)), rag.query("archive"))
    assert len({answer.metadata.query_id for answer in answers[:5]}) == 1
    assert sorted(each["query"] for each in shelf.asked()) == ["archive", "zip wait 100"]


async def test_an_answer_is_kept_for_its_time_by_all_that_decides_it(shelf: Shelf, library: Worker) -> None:
    async with shelf.rag(cache=30.0) as rag:
        first = await rag.query("zip")
        again = await rag.query("zip")
        assert (first.metadata.cached, again.metadata.cached) == (False, True)
        assert again.results == first.results
        others: list[dict[str, Any]] = [
            {"max_results": 4}, {"threshold": 0.1}, {"context": "c"}, {"capability": "graph_query"},
        ]  # fmt: skip
        for other in others:
            assert not (await rag.query("zip", **other)).metadata.cached
    assert len(shelf.asked()) == 5
    async with shelf.rag(cache=0.05) as rag:
        await rag.query("zip")
        await asyncio.sleep(0.06)  # the time that is told
        assert not (await rag.query("zip")).metadata.cached


async def test_no_more_answers_are_kept_than_may_be(shelf: Shelf, library: Worker) -> None:
    async with shelf.rag(cache=30.0, cache_entries=2) as rag:
        for word in ("zip", "archive", "graphs"):
            await rag.query(word)
        assert (await rag.query("graphs")).metadata.cached
        assert not (await rag.query("zip")).metadata.cached


async def test_answers_of_a_tool_that_does_not_say_that_it_only_reads_are_not_kept(shelf: Shelf) -> None:
    async with shelf.worker("--writes"), shelf.rag(cache=30.0) as rag:
        for _ in range(2):
            assert not (await rag.query("zip")).metadata.cached
    assert len(shelf.asked()) == 2


async def test_the_tool_that_searches_is_the_only_one_or_the_one_that_is_named(shelf: Shelf) -> None:
    async with shelf.worker("--tool", "find"):
        async with shelf.rag() as rag:
            assert (await rag.query("zip")).results
        async with shelf.rag(tools={HYBRID: "find"}) as rag:
            assert (await rag.query("zip")).results
        async with shelf.rag(tools={HYBRID: "fnid"}) as rag:
            with pytest.raises(errors.UnknownToolError, match="find"):
                await rag.query("zip")


async def test_a_blocking_client_asks_the_same(shelf: Shelf, library: Worker) -> None:
    def ask() -> tuple[str, int]:
        with SyncRagClient(shelf.client(), RagSettings()) as rag:
            return rag.query("zip archive").metadata.server_id, len(rag.query("zip", threshold=0).results)

    assert await asyncio.to_thread(ask) == ("echo", 2)


async def test_a_closed_client_says_so_and_ends_its_questions(shelf: Shelf, library: Worker) -> None:
    rag = shelf.rag()
    with pytest.raises(errors.InvalidConfigError, match="async with"):
        await rag.query("zip")
    await rag.open()
    asking = asyncio.create_task(rag.query("zip wait 3000"))
    await until(shelf.asked)
    await rag.close()
    with pytest.raises(errors.ShuttingDownError):
        await asking
