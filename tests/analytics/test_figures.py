"""What a client is told of work that real workers did, held against the servers' ledgers and the outcomes."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import realredis
from mcpweft import Class, Client, SyncClient, UnknownCapabilityError
from mcpweft_workers import bookkeeper
from waiting import until
from workbench import POOL

if TYPE_CHECKING:
    from mcpweft import Analytics
    from mcpweft.analytics import PoolAnalytics, Series
    from mcpweft_schemas.wire import Reply
    from mcpweft_workers.bookkeeper import Bookkeeper
    from mcpweft_workers.worker import Worker
    from workbench import Bench

CALLS = [("echo", {"text": "a"})] * 30 + [("sleep", {"ms": 20})] * 10 + [("fail", {"message": "no"})] * 5


async def measured(client: Client) -> PoolAnalytics:
    found = await client.analytics(capability=POOL)
    (pool,) = found.pools
    return pool


def one(pool: PoolAnalytics, tool: str, klass: Class = Class.NORMAL) -> Series:
    (found,) = [each for each in pool.series if (each.tool, each.klass) == (tool, klass)]
    return found


async def outcomes(bench: Bench, ids: list[str]) -> list[Reply]:
    return [await bench.outcome(request) for request in ids]


@realredis.every_store
async def test_the_figures_are_those_of_the_servers_ledger(bench: Bench, client: Client) -> None:
    async with bench.worker():
        replies = await outcomes(bench, await bench.enqueue_many(CALLS))
        replies += await outcomes(
            bench, await bench.enqueue_many([("add", {"a": 1, "b": 2})], klass=Class.HIGH)
        )
    pool = await measured(client)
    ledger = Counter(line["tool"] for line in bench.executed())
    assert {each.tool: each.answered for each in pool.tools} == ledger
    assert one(pool, "fail").tool_errors == one(pool, "fail").answered == 5
    assert one(pool, "add", Class.HIGH).answered == 1
    assert {each.klass: each.answered for each in pool.classes} == {Class.HIGH: 1, Class.NORMAL: 45}
    assert [(each.server, each.attempts, each.failed) for each in pool.servers] == [("echo", 46, 0)]
    total = pool.total
    assert (total.answered, total.error_rate, total.retries) == (46, 0.0, 0)
    assert total.throughput == pytest.approx(46 / pool.covered_s, rel=0.01)
    assert total.service.count == total.response.count == total.queue.count == 46
    known = [reply.service_ms for reply in replies if reply.service_ms is not None]
    assert total.service.mean_ms == pytest.approx(sum(known) / len(known), abs=0.1)


async def test_quantiles_are_those_of_all_times_together_to_a_tenth(bench: Bench, client: Client) -> None:
    waits = [2 + 3 * n for n in range(40)]
    async with bench.worker(bench.config({"concurrency": 8}), worker_id="one"):
        ids = await bench.enqueue_many([("sleep", {"ms": ms}) for ms in waits])
        async with bench.worker(bench.config({"concurrency": 3}), worker_id="two"):
            ids += await bench.enqueue_many([("sleep", {"ms": 2 * ms}) for ms in waits])
            replies = await outcomes(bench, ids)
    assert len({reply.worker for reply in replies}) == 2
    told = (await measured(client)).total
    service = sorted(reply.service_ms for reply in replies if reply.service_ms is not None)
    for part, found in ((0.5, told.service.p50_ms), (0.95, told.service.p95_ms), (0.99, told.service.p99_ms)):
        exact = service[min(len(service) - 1, int(part * len(service)))]
        assert found == pytest.approx(exact, rel=0.15)  # a tenth, and a neighbour's difference beside it
    response = sorted(reply.ended_ms - reply.accepted_ms for reply in replies)
    assert told.response.p95_ms == pytest.approx(response[int(0.95 * len(response))], rel=0.2, abs=15)


async def test_what_fails_and_what_follows_is_told_apart(bench: Bench, client: Client) -> None:
    slow = bench.config(attempt_timeout_of(0.2), breaker={"failure_threshold": 50})
    async with bench.worker(slow):
        late = await bench.enqueue("sleep", {"ms": 5000}, max_attempts=2, safe=True)
        wrong = await bench.enqueue("echo", {"text": 3})
        unknown = await bench.enqueue("no such tool", {})
        near = await bench.enqueue("sleep", {"ms": 1700}, attempt_timeout_ms=2000)
        await outcomes(bench, [late, wrong, unknown, near])
        gone = await bench.enqueue("sleep", {"ms": 5000}, safe=True, attempt_timeout_ms=9000)
        await until(lambda: began(bench, gone))
        await bench.store.cancel(POOL, gone)
        await bench.outcome(gone)
    pool = await measured(client)
    sleep = one(pool, "sleep")
    assert (sleep.timed_out, sleep.failed, sleep.retries, sleep.stopped) == (2, 2, 1, 1)
    assert (sleep.answered, sleep.near_timeout) == (1, 1)
    assert sleep.error_rate == pytest.approx(2 / 3)
    assert sleep.timeout_ms == pytest.approx(200, rel=0.5)
    assert one(pool, "echo").refused == 1
    assert (one(pool, "*").refused, one(pool, "*").server) == (1, "echo")  # what a caller made up is no tool
    assert one(pool, "*").error_rate is None


def attempt_timeout_of(seconds: float) -> dict[str, float]:
    return {"attempt_timeout": seconds}


async def began(bench: Bench, request: str) -> bool:
    return await bench.state(request) == "running"


async def test_what_ends_without_a_worker_and_what_waits_is_told_by_whoever_sweeps(
    bench: Bench, client: Client
) -> None:
    await bench.store.declare(POOL, os.urandom(4).hex())
    assert (await bench.store.sweep(POOL, 1)).word.value == "OK"
    assert (await measured(client)).requests.accepted is None  # one look is no difference
    ids = await bench.enqueue_many([("echo", {"text": "a"})] * 6, klass=Class.LOW)
    await bench.store.cancel(POOL, ids[0])
    async with bench.worker():
        await outcomes(bench, ids[1:])

    async def known() -> bool:
        await bench.store.sweep(POOL, 1)
        return (await measured(client)).requests.accepted == 6

    await until(known, within=25)
    requests = (await measured(client)).requests
    assert (requests.accepted, requests.done, requests.cancelled, requests.dead) == (6, 5, 1, 0)


async def test_nothing_is_known_of_a_pool_without_work_and_nothing_is_invented(
    bench: Bench, client: Client
) -> None:
    await bench.store.declare(POOL, "1")
    pool = await measured(client)
    assert (pool.covered_s, pool.series, pool.timeline, pool.use) == (0.0, (), (), ())
    total = pool.total
    assert (total.throughput, total.error_rate, total.busy, total.service.p99_ms) == (None,) * 4
    assert (pool.requests.accepted, pool.standing.waiting, pool.strategy) == (None,) * 3
    with pytest.raises(UnknownCapabilityError):
        await client.analytics(capability="nowhere")


# -- how it comes there ------------------------------------------------------------------------------------


async def test_a_worker_books_while_it_works_and_an_idle_one_sends_nothing(
    bench: Bench, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bookkeeper, "EVERY", 0.05)
    async with bench.worker() as worker:
        await outcomes(bench, await bench.enqueue_many(CALLS))
        await until(lambda: booked(client, len(CALLS)))
        books = books_of(worker)
        assert not books._news.is_set()
        assert not books._counted


async def booked(client: Client, count: int) -> bool:
    return (await measured(client)).total.answered == count


def books_of(worker: Worker) -> Bookkeeper:
    return worker._books[POOL]


async def test_a_worker_that_is_restarted_loses_nothing_that_it_counted(bench: Bench, client: Client) -> None:
    for _ in range(2):
        async with bench.worker(worker_id="one"):
            await outcomes(bench, await bench.enqueue_many(CALLS))
    assert (await measured(client)).total.answered == 2 * len(CALLS) == len(bench.executed())


async def test_what_was_booked_survives_a_worker_that_is_killed(bench: Bench, client: Client) -> None:
    async with bench.worker() as worker:
        await outcomes(bench, await bench.enqueue_many(CALLS))
        await books_of(worker).book()
        books_of(worker)._counted.clear()  # all that a kill can take
        await bench.outcome(await bench.enqueue("echo", {"text": "a"}))
    assert (await measured(client)).total.answered == len(CALLS) + 1


async def test_an_answer_that_was_lost_is_asked_for_again_and_counted_once(
    bench: Bench, client: Client
) -> None:
    async with bench.worker() as worker:
        await outcomes(bench, await bench.enqueue_many(CALLS))
        books = books_of(worker)
        books._take()
        await books._send(books._open[0])  # and its answer is lost
        await books.book()
        assert (await measured(client)).total.answered == len(CALLS)


async def test_what_ends_while_the_store_is_away_is_booked_when_it_is_back(
    own_bench: Bench, private_redis: realredis.RedisServer
) -> None:
    async with Client(own_bench.url, namespace=own_bench.namespace) as client, own_bench.worker() as worker:
        await outcomes(own_bench, await own_bench.enqueue_many(CALLS))
        private_redis.kill()
        booking = asyncio.create_task(books_of(worker).book())
        await until(lambda: books_of(worker)._patience.failures > 0)
        private_redis.start()
        await booking
        assert (await measured(client)).total.answered == len(CALLS)
        assert books_of(worker).dropped == 0


async def test_a_blocking_client_is_told_the_same(bench: Bench, store_url: str, namespace: str) -> None:
    def look() -> Analytics:
        with SyncClient(store_url, namespace=namespace) as client:
            return client.analytics("30m", POOL)

    async with bench.worker():
        await bench.outcome(await bench.enqueue("echo", {"text": "a"}))
    found = await asyncio.to_thread(look)
    assert (found.slot_s, found.pools[0].total.answered) == (10, 1)


@pytest.mark.parametrize(("since", "slot_s"), [("1h", 10), ("61m", 600), ("7d", 600)])
async def test_an_hour_is_told_by_ten_seconds_and_a_week_by_ten_minutes(
    bench: Bench, client: Client, since: str, slot_s: int
) -> None:
    async with bench.worker():
        await bench.outcome(await bench.enqueue("echo", {"text": "a"}))
    found = await client.analytics(since)
    assert found.slot_s == slot_s
    assert found.since_ms % (1000 * slot_s) == 0
    (pool,) = found.pools
    assert (pool.total.answered, sum(1 for point in pool.timeline if point.throughput)) == (1, 1)
    assert 0 < pool.covered_s <= 600 + slot_s
