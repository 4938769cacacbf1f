"""The settler: what a server answered is not lost while the worker lives, and nothing is written twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mcpweft_schemas.outcome import Code
from proxy import Proxy
from waiting import until
from workbench import POOL, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcpweft_schemas.wire import Settlement
    from mcpweft_schemas.word import Word
    from workbench import Bench


async def test_a_settle_whose_answer_was_lost_is_repeated_and_writes_nothing_more(bench: Bench) -> None:
    async with Proxy(bench.url) as way, bench.worker(url=way.url) as worker:
        way.cut("settle")
        reply = await bench.outcome(await bench.enqueue("echo", {"text": "once"}))
        await until(lambda: worker.report.backlog == 0)
        assert way.lost.total() == 1
        repeats = worker.metrics.text().decode()
        status = await bench.store.status(POOL)
    assert text_of(reply) == "once"
    assert 'mcpweft_worker_settles_total{outcome="REPEAT",pool="echo",server="echo"} 1.0' in repeats
    assert status is not None
    assert status.stat["done"] == "1"


async def test_a_retry_whose_answer_was_lost_is_not_retried_twice(bench: Bench) -> None:
    async with Proxy(bench.url) as way, bench.worker(url=way.url) as worker:
        request_id = await bench.enqueue("sleep", {"ms": 3000}, attempt_timeout_ms=100, max_attempts=2)
        await until(lambda: worker.runner.in_flight)
        way.cut("settle")
        reply = await bench.outcome(request_id)
        await until(lambda: worker.report.backlog == 0)
    assert reply.code is Code.FAILOVER_EXHAUSTED
    assert len(bench.executed()) == 2


async def test_what_ends_in_one_turn_goes_in_one_move(bench: Bench) -> None:
    moves: list[int] = []
    async with bench.worker(concurrency=50) as worker:
        settle = worker.store.settle

        async def counted(capability: str, instance: str, items: Sequence[Settlement]) -> tuple[Word, ...]:
            moves.append(len(items))
            return await settle(capability, instance, items)

        worker.store.settle = counted  # type: ignore[method-assign]  # watched, not replaced
        ids = await bench.enqueue_many([("sleep", {"ms": "unfit"})] * 50)
        for request_id in ids:
            assert (await bench.outcome(request_id)).code is Code.INVALID_ARGUMENTS
    assert sum(moves) == 50
    assert len(moves) <= 3


async def test_an_item_that_the_store_rejects_holds_nobody_else_up(bench: Bench) -> None:
    async with bench.worker(concurrency=4) as worker:
        settle = worker.store.settle
        poison = await bench.enqueue("sleep", {"ms": 50})

        async def rejecting(capability: str, instance: str, items: Sequence[Settlement]) -> tuple[Word, ...]:
            if any(item.id == poison for item in items):
                raise ValueError("the store rejects it")
            return await settle(capability, instance, items)

        worker.store.settle = rejecting  # type: ignore[method-assign]  # as a store does with a bad key
        others = await bench.enqueue_many([("sleep", {"ms": 50})] * 3)
        for request_id in others:
            assert (await bench.outcome(request_id)).code is Code.OK
        del worker.store.settle
        assert (await bench.outcome(poison)).code is Code.OK


async def test_what_can_no_longer_be_settled_is_given_up(bench: Bench) -> None:
    async with Proxy(bench.url) as way, bench.worker(url=way.url) as worker:
        settler = worker._settlers[POOL]
        await bench.enqueue("sleep", {"ms": 200})
        await until(lambda: worker.runner.in_flight)
        await way.shut()
        await until(lambda: settler.backlog)
        settler._clock = lambda: float("inf")  # long past its record's life
        await until(lambda: settler.backlog == 0)
        assert not worker._bindings[POOL].held
        await way.reopen()
        await asyncio.sleep(0)
