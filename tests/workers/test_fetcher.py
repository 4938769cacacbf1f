"""The fetcher: what it pulls, what it leaves, and what becomes of an answer that was lost."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from mcpweft_schemas.life import Class
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.store import Reader
from mcpweft_schemas.wire import READS
from proxy import Proxy
from waiting import until
from workbench import POOL, text_of

if TYPE_CHECKING:
    from workbench import Bench


async def test_a_request_whose_fetch_lost_its_answer_is_adopted_and_run_once(bench: Bench) -> None:
    async with Proxy(bench.url) as way, bench.worker(url=way.url) as worker:
        for round_ in range(5):
            way.cut("fetch")
            request_id = await bench.enqueue("progress", {"steps": 1, "ms": round_})  # not safe to run twice
            reply = await bench.outcome(request_id)
            assert (reply.code, len(reply.attempts)) == (Code.OK, 1)
        assert way.lost.total() == 5
        assert worker.report.usable
    assert len(bench.executed()) == 5


async def test_adoption_takes_nothing_that_is_held(bench: Bench) -> None:
    async with Proxy(bench.url) as way, bench.worker(url=way.url, concurrency=4) as worker:
        # Two classes enqueued in one move: their streams issue the same entry id.
        first = [await bench.enqueue("progress", {"steps": 1, "ms": 700}, klass=klass) for klass in Class]
        await until(lambda: worker.runner.in_flight == 4)
        await bench.outcome(first[0])
        way.cut("fetch")
        second = await bench.enqueue_many([("progress", {"steps": 1, "ms": 1})] * 4)
        for request_id in (*first, *second):
            assert (await bench.outcome(request_id)).code is Code.OK
    assert len(bench.executed()) == 8


async def test_the_same_entry_id_in_two_classes_is_told_apart(bench: Bench) -> None:
    """Fetch two requests by hand, hold one, adopt: the other comes, though both entries have one id."""
    inc = await bench.store.declare(POOL, "x")
    reader = Reader("me", "echo", "me", inc, 1)
    await bench.store.register(POOL, reader, b"", [])
    for _ in range(100):
        high = await bench.enqueue("echo", {"text": "high"}, klass=Class.HIGH)
        low = await bench.enqueue("echo", {"text": "low"}, klass=Class.LOW)
        fetched = (await bench.store.fetch(POOL, reader, 2, READS)).deliveries
        if fetched[0].entry == fetched[1].entry:
            break
    else:
        pytest.skip("the store never issued one id twice")
    kept, other = fetched
    adopted = await bench.store.adopt(POOL, reader, [f"{kept.stream} {kept.entry}"])
    assert other.id in {delivery.id for delivery in adopted.deliveries}
    assert {kept.id, other.id} == {high, low}


async def test_a_wiped_store_is_joined_again(own_bench: Bench) -> None:
    async with own_bench.worker():
        assert text_of(await own_bench.outcome(await own_bench.enqueue("echo", {"text": "1"}))) == "1"
        await own_bench.store.link.run("FLUSHALL")
        await until(lambda: joined(own_bench))
        reply = await own_bench.outcome(await own_bench.enqueue("echo", {"text": "2"}))
        assert text_of(reply) == "2"
        tools = await own_bench.store.tools(POOL)
    assert "echo/echo" in tools


async def joined(bench: Bench) -> bool:
    status = await bench.store.status(POOL)
    return status is not None and len(status.members) == 1


async def test_a_store_that_was_away_is_served_again(bench: Bench) -> None:
    async with Proxy(bench.url) as way, bench.worker(url=way.url) as worker:
        running = await bench.enqueue("sleep", {"ms": 300})
        await until(lambda: worker.runner.in_flight == 1)
        await way.shut()
        later = await bench.enqueue("echo", {"text": "later"})
        await until(lambda: worker.report.backlog == 1)  # it has its answer, and nobody to tell
        await way.reopen()
        assert text_of(await bench.outcome(running)) == "done"
        assert text_of(await bench.outcome(later)) == "later"
    assert len(bench.executed()) == 2


async def test_a_server_that_is_away_is_not_pulled_for(bench: Bench) -> None:
    config = bench.config({"command": "/nonexistent/mcp-server", "args": []})
    worker = bench.make(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        request_id = await bench.enqueue("echo", {"text": "x"})
        await until(lambda: member(bench))
        await until(lambda: worker.session.reason)
        assert await bench.state(request_id) == "queued"
        assert (await bench.seen(request_id)).attempts == ()
        worker.stop()


async def member(bench: Bench) -> bool:
    status = await bench.store.status(POOL)
    return status is not None and bool(status.load) and not status.usable


async def test_an_idle_worker_beside_a_coordinator_sends_at_most_six_commands_a_second(bench: Bench) -> None:
    async with Proxy(bench.url) as way, asyncio.TaskGroup() as group:
        leader = group.create_task(lead(bench))
        async with bench.worker(url=way.url) as worker:
            await until(lambda: worker._fetchers[0]._waiting)
            await asyncio.sleep(0.5)  # what belongs to the start is not idle yet
            before, began = way.commands, time.monotonic()
            await asyncio.sleep(6.0)  # a rate is measured over time; there is nothing to wait for
            sent, took = way.commands - before, time.monotonic() - began
        leader.cancel()
    assert 4.0 <= (sent - 1) / took <= 6.0


async def lead(bench: Bench) -> None:
    """Hold the lease of leadership as a coordinator does."""
    while True:
        await bench.store.lease("lead", "coordinator.test", 750)
        await asyncio.sleep(0.25)


async def test_what_an_earlier_process_of_the_same_id_left_may_have_run(bench: Bench) -> None:
    inc = await bench.store.declare(POOL, "x")
    dead = Reader("again", "echo", "again", inc, 1)
    await bench.store.register(POOL, dead, b"", [])
    request_id = await bench.enqueue("progress", {"steps": 1, "ms": 1})
    assert len((await bench.store.fetch(POOL, dead, 1, READS)).deliveries) == 1
    async with bench.worker(worker_id="again"):
        reply = await bench.outcome(request_id)
    assert (reply.code, reply.executed, reply.cause) == (Code.OUTCOME_UNKNOWN, Executed.MAYBE, "WORKER_DIED")
    assert not bench.executed()


async def test_work_that_came_while_nobody_was_there_is_pulled(bench: Bench) -> None:
    ids = await bench.enqueue_many([("echo", {"text": "x"})] * 30)
    async with bench.worker(concurrency=2):
        for request_id in ids:
            assert (await bench.outcome(request_id)).code is Code.OK


async def test_a_delayed_request_starts_when_it_is_due(bench: Bench) -> None:
    async with bench.worker():
        request_id = await bench.enqueue("echo", {"text": "x"}, delay_ms=400)
        reply = await bench.outcome(request_id)
    assert 400 <= reply.started_ms - reply.accepted_ms < 800
