"""Round the fabric and back to it: what becomes of questions while it cannot serve."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft import errors
from mcpweft.rag.detour import Detour, Way
from mcpweft.rag.route import Route
from mcpweft_schemas.edition import Edition
from proxy import Proxy
from waiting import until

if TYPE_CHECKING:
    import realredis
    from mcpweft.rag import Answer, RagClient
    from mcpweft_workers.worker import Worker
    from shelf import Shelf


async def returned(rag: RagClient) -> None:
    async def fabric() -> bool:
        return not (await rag.query(f"zip {time.monotonic_ns()}", threshold=0)).metadata.fallback

    await until(fabric, within=30.0)


async def test_a_pool_that_nobody_made_is_gone_round_and_returned_to_once_it_is_there(shelf: Shelf) -> None:
    async with shelf.rag(fallback=shelf.fallback()) as rag:
        answer = await rag.query("zip archive")
        said = answer.metadata
        assert (said.fallback, said.server_id, said.query_id) == (True, "beside", "")
        assert "no capability" in said.fallback_reason
        assert answer.results[0].content == "The History of the Zip Archive"
        assert len(shelf.asked_beside()) == 1
        async with shelf.worker():
            await returned(rag)
            before = len(shelf.asked_beside())
            assert [(await rag.query(f"zip {n}")).metadata.fallback for n in range(5)] == [False] * 5
            assert len(shelf.asked_beside()) == before


async def test_a_pool_without_a_worker_is_gone_round_at_once(shelf: Shelf) -> None:
    async with shelf.worker():
        pass
    async with shelf.rag(fallback=shelf.fallback(), fallback_after=60.0) as rag:
        answer = await rag.query("zip")
    assert answer.metadata.fallback
    assert "no worker" in answer.metadata.fallback_reason


async def test_a_full_queue_is_gone_round_at_once(shelf: Shelf) -> None:
    config = shelf.config(queue={"bound": 1})
    async with shelf.bench.worker(config), shelf.client() as client:

        async def fill() -> None:
            waits = {"query": "zip wait 3000"}
            while True:
                await client.submit("hybrid_search.search", waits, priority="critical", when_full="raise")

        with pytest.raises(errors.QueueFullError):
            await fill()
        settings: dict[str, Any] = {"fallback": shelf.fallback("--quick"), "fallback_after": 60.0}
        async with shelf.rag(**settings) as rag:
            said = (await rag.query("zip", priority="critical")).metadata
    assert said.fallback
    assert "full" in said.fallback_reason


async def test_a_try_that_breaks_leaves_the_next_one_to_another_question() -> None:
    detour = Detour(first=0.0)
    detour.failed(0.0, "gone")

    async def breaks() -> Any:
        raise ValueError("no reply")

    route = Route(None, 1.0)
    assert detour.way(1.0) is Way.BOTH
    with pytest.raises(ValueError, match="no reply"):
        await route._told(detour, breaks())
    assert detour.way(1.0) is Way.BOTH


async def test_other_pools_are_not_gone_round(shelf: Shelf, library: Worker) -> None:
    async with shelf.rag(fallback=shelf.fallback()) as rag:
        assert (await rag.query("zip", capability="nobodys")).metadata.fallback
        assert not (await rag.query("zip")).metadata.fallback


async def test_what_a_rule_rejects_is_not_asked_of_the_fallback(shelf: Shelf, library: Worker) -> None:
    rule = {
        "name": "closed",
        "when": {"arguments": {"/query": {"matches": "secret"}}},
        "then": {"reject": "no"},
    }
    await shelf.bench.store.amend(Edition(document={"rules": [rule]}), "m1")
    async with shelf.rag(fallback=shelf.fallback(), fallback_after=60.0) as rag:
        with pytest.raises(errors.RejectedError):
            await rag.query("a secret zip")
        assert not (await rag.query("zip")).metadata.fallback
    assert shelf.asked_beside() == []


async def test_a_store_that_dies_is_gone_round_and_returned_to(
    own_shelf: Shelf, private_redis: realredis.RedisServer
) -> None:
    async with own_shelf.worker(), own_shelf.rag(fallback=own_shelf.fallback(), fallback_after=1.0) as rag:
        assert not (await rag.query("zip")).metadata.fallback
        private_redis.kill()
        answers: list[Answer] = [await rag.query(f"zip {n}", threshold=0) for n in range(20)]
        assert all(answer.metadata.fallback and answer.results for answer in answers)
        slow = [answer for answer in answers if answer.metadata.processing_time >= 1000]
        assert len(slow) <= 2, (
            "the first one waits for the fabric, and starts the fallback; the others do not"
        )
        private_redis.start()
        await returned(rag)


async def test_a_store_that_hangs_is_gone_round(shelf: Shelf, library: Worker) -> None:
    async with (
        Proxy(shelf.bench.url) as way,
        shelf.rag(way.url, fallback=shelf.fallback(), fallback_after=0.3) as rag,
    ):
        assert not (await rag.query("zip")).metadata.fallback
        way.freeze()
        answer = await rag.query("archive")
        assert answer.metadata.fallback
        assert "no answer within" in answer.metadata.fallback_reason
        way.thaw()
        await returned(rag)


async def test_a_slow_answer_of_the_fabric_is_not_waited_for_and_its_request_ends(
    shelf: Shelf, library: Worker
) -> None:
    async with shelf.rag(fallback=shelf.fallback("--quick"), fallback_after=0.2) as rag:
        asking = asyncio.create_task(rag.query("zip wait 20000"))
        await until(shelf.asked)
        answer = await asking
        assert answer.metadata.fallback
        await until(lambda: library.runner.in_flight == 0)


async def test_where_both_fail_every_attempt_is_told(shelf: Shelf, library: Worker) -> None:
    async with shelf.rag(fallback=shelf.fallback()) as rag:
        with pytest.raises(errors.FailoverExhaustedError, match="neither") as failed:
            await rag.query("crash", timeout=10)
    attempts = failed.value.attempts
    assert {each.server for each in attempts} == {"echo", "beside"}
    assert attempts[-1].server == "beside"
    assert attempts[-1].took_ms >= 0
    assert isinstance(failed.value.__cause__, errors.ConnectionFailedError)


async def test_a_fallback_that_cannot_start_is_named_with_its_reason(shelf: Shelf) -> None:
    broken = shelf.fallback().model_copy(update={"command": "/no/such/program"})
    async with shelf.rag(fallback=broken) as rag:
        with pytest.raises(errors.FailoverExhaustedError, match="no/such/program") as failed:
            await rag.query("zip", timeout=1.0)
    assert [each.server for each in failed.value.attempts] == ["beside"]


async def test_a_broken_fallback_does_not_keep_a_question_from_a_fabric_that_is_back(shelf: Shelf) -> None:
    broken = shelf.fallback().model_copy(update={"command": "/no/such/program"})
    async with shelf.rag(fallback=broken) as rag:
        with pytest.raises(errors.FailoverExhaustedError):
            await rag.query("zip", timeout=0.5)
        async with shelf.worker():
            assert not (await rag.query("zip", timeout=10.0)).metadata.fallback


async def test_a_fallback_that_dies_is_started_again(shelf: Shelf) -> None:
    async with shelf.rag(fallback=shelf.fallback()) as rag:
        await rag.query("zip")
        with pytest.raises(errors.FailoverExhaustedError):
            await rag.query("crash", timeout=5.0)
        assert (await rag.query("archive")).metadata.fallback


async def test_what_the_fallback_answers_is_not_kept(shelf: Shelf) -> None:
    async with shelf.rag(fallback=shelf.fallback(), cache=30.0) as rag:
        for _ in range(2):
            assert not (await rag.query("zip")).metadata.cached
    assert len(shelf.asked_beside()) == 2


async def test_a_question_that_is_given_up_leaves_nothing_under_way(shelf: Shelf, library: Worker) -> None:
    async with shelf.rag(fallback=shelf.fallback()) as rag:
        asking = asyncio.create_task(rag.query("zip wait 20000"))
        await until(shelf.asked)
        asking.cancel()
        await asyncio.wait({asking})
        await until(lambda: library.runner.in_flight == 0)
        assert not shelf.asked_beside()
