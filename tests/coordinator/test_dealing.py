"""Shares in force: a leader deals them on a real store, and real workers of real servers keep to them."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from beside import beside
from mcpweft_coordinator.dealer import Dealer
from mcpweft_schemas.config import StrategyConfig
from mcpweft_schemas.event import Kind
from mcpweft_schemas.share import EVEN, Share
from mcpweft_schemas.tenure import Term
from mcpweft_schemas.word import Word
from standin import stand_in
from waiting import until
from workbench import POOL, SERVERS, Bench

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import pytest

    from mcpweft_schemas.event import Event
    from mcpweft_workers.worker import Worker

FAST_MS, SLOW_MS, APART_S = 20, 400, 0.06


class Desk:
    """A dealer that leads, and what it is asked for and tells."""

    def __init__(self, bench: Bench, strategy: StrategyConfig) -> None:
        self.strategy = strategy
        self.term: Term | None = Term(5)
        self.told: list[Event] = []
        self.dealer = Dealer(
            bench.store, lambda: self.strategy, lambda: self.term,
            clock=time.monotonic, rng=random.Random(3), tell=self.told.append,
        )  # fmt: skip


@asynccontextmanager
async def dealing(bench: Bench, **strategy: Any) -> AsyncGenerator[Desk]:
    """A dealer at work."""
    desk = Desk(bench, StrategyConfig.model_validate(strategy))
    async with beside(desk.dealer.run()):
        yield desk


async def shares(bench: Bench) -> dict[str, Share]:
    """What is published in the pool."""
    raw = await bench.store.link.run("HGETALL", bench.store.keys(POOL).shares)
    return {name.decode(): Share.read(packed) for name, packed in raw.items()}


async def in_force(bench: Bench) -> str | None:
    status = await bench.store.status(POOL)
    return None if status is None else status.settings.get("strategy")


# -- the dealer --------------------------------------------------------------------------------------------


async def test_what_the_strategy_decides_is_published_and_changes_with_it(bench: Bench) -> None:
    for worker in ("a", "b"):
        await stand_in(bench.store, POOL, worker)

    async def stepped() -> bool:
        return (
            all(share.step_ms > 0 for share in (await shares(bench)).values())
            and len(await shares(bench)) == 2
        )

    async def none() -> bool:
        return not await shares(bench) and await in_force(bench) == "round_robin"

    async with dealing(bench, name="least_connections") as desk:
        await until(stepped)
        assert await in_force(bench) == "least_connections"
        desk.strategy = StrategyConfig()
        await until(none)
        changes = [event.data for event in desk.told if event.kind is Kind.STRATEGY_CHANGED]
    assert changes == [
        {"before": "round_robin", "after": "least_connections"},
        {"before": "least_connections", "after": "round_robin"},
    ]


async def test_another_strategy_is_told_also_where_it_deals_the_same(bench: Bench) -> None:
    await stand_in(bench.store, POOL, "a")

    async def told(name: str) -> bool:
        return await in_force(bench) == name

    async with dealing(bench, name="predictive") as desk:  # knows nothing yet, and holds nobody back
        await until(lambda: told("predictive"))
        assert not await shares(bench)
        desk.strategy = StrategyConfig()
        await until(lambda: told("round_robin"))


async def test_a_worker_that_comes_is_dealt_to_and_one_that_leaves_is_not_within_a_second(
    bench: Bench,
) -> None:
    await stand_in(bench.store, POOL, "a")

    async def dealt(names: set[str]) -> bool:
        return set(await shares(bench)) == names

    async with dealing(bench, name="least_connections"):
        await until(lambda: dealt({"a"}))
        began = time.monotonic()
        await stand_in(bench.store, POOL, "b")
        await until(lambda: dealt({"a", "b"}))
        came = time.monotonic() - began
        began = time.monotonic()
        await stand_in(bench.store, POOL, "a", usable=False)  # as one whose breaker has opened
        await until(lambda: dealt({"b"}))
        left = time.monotonic() - began
    assert max(came, left) < 3.0, "half a second and what a busy machine adds"


async def test_who_does_not_lead_deals_nothing_and_who_was_followed_is_refused(bench: Bench) -> None:
    await stand_in(bench.store, POOL, "a")
    async with dealing(bench, name="least_connections") as desk:
        await until(lambda: shares(bench))
        desk.term = None
        assert (await bench.store.deal(POOL, 9, "round_robin", {}, 1000)).word is Word.OK
        desk.term = Term(6)  # stopped while it led, it does not know that it was followed
        rounds = len(desk.told)
        await asyncio.sleep(1.2)  # two rounds in which it could write
        assert not await shares(bench)
        assert len(desk.told) == rounds


async def test_a_strategy_in_the_shadow_decides_and_logs_and_changes_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mcpweft.strategy")
    for worker in ("a", "b"):
        await stand_in(bench.store, POOL, worker)
    async with dealing(bench, shadow="least_connections"):
        await until(lambda: any(record.message == "shadow" for record in caplog.records))
        assert not await shares(bench)
        assert await in_force(bench) == "round_robin"
    (line, *_) = [record for record in caplog.records if record.message == "shadow"]
    assert line.__dict__["fields"]["strategy"] == "least_connections"
    assert "step_ms" in line.__dict__["fields"]["shares"]["a"]


async def test_shares_end_when_nobody_leads_any_more(bench: Bench) -> None:
    reader = await stand_in(bench.store, POOL, "a")
    async with dealing(bench, name="least_connections"):
        await until(lambda: shares(bench))
        left_ms = await bench.store.link.run("PTTL", bench.store.keys(POOL).shares)
    assert 0 < left_ms <= 10_000
    await bench.store.link.run("PEXPIRE", bench.store.keys(POOL).shares, 1)

    async def forgotten() -> bool:
        return (await bench.store.beat(POOL, reader, 1000, b"")).share == b""

    await until(forgotten)


# -- the workers -------------------------------------------------------------------------------------------


def paced(bench: Bench, ms: float, **server: Any) -> Any:
    args = [str(SERVERS / "echo.py"), "--ledger", str(bench.ledger), "--pace", str(ms)]
    return bench.config({"args": args, "concurrency": 1, **server})


@asynccontextmanager
async def crew(bench: Bench, *paces: float) -> AsyncGenerator[list[Worker]]:
    """A worker for each pace, its server taking so many ms for an echo."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(bench.worker(paced(bench, ms))) for ms in paces]


async def served(bench: Bench, count: int) -> list[str]:
    """Let that many requests come one by one, a steady light load; return who answered each."""
    ids: list[str] = []
    for number in range(count):
        ids.append(await bench.enqueue("echo", {"text": "x", "_nonce": f"{len(bench.executed())}.{number}"}))
        await asyncio.sleep(APART_S)  # the load is what is tested
    return [(await bench.outcome(each)).worker for each in ids]


async def test_predictive_keeps_a_light_load_off_the_slow_server_and_round_robin_does_not(
    bench: Bench,
) -> None:
    async with crew(bench, FAST_MS, FAST_MS, SLOW_MS) as workers, dealing(bench) as desk:
        slow = workers[2].plan.identity.worker
        before = await served(bench, 12)
        assert slow in before
        desk.strategy = StrategyConfig.model_validate({"name": "predictive"})
        await until(lambda: workers[2].allotment.of(POOL).hold_ms > 5 * FAST_MS)
        assert not any(worker.allotment.of(POOL).holds for worker in workers[:2])
        assert slow not in await served(bench, 40)
        desk.strategy = StrategyConfig()
        await until(lambda: workers[2].allotment.of(POOL) == EVEN)
        assert slow in await served(bench, 12)


async def test_a_slow_server_helps_as_soon_as_more_waits_than_the_fast_ones_do_sooner(bench: Bench) -> None:
    async with crew(bench, FAST_MS, SLOW_MS) as workers, dealing(bench, name="predictive"):
        slow = workers[1].plan.identity.worker
        await served(bench, 12)
        await until(lambda: workers[1].allotment.of(POOL).holds)
        ids = await bench.enqueue_many([("echo", {"text": "x"})] * 50)
        assert slow in {(await bench.outcome(each)).worker for each in ids}


async def test_who_is_said_to_have_served_is_who_did(bench: Bench) -> None:
    async with crew(bench, FAST_MS, FAST_MS, SLOW_MS) as workers, dealing(bench, name="adaptive"):
        pids = {worker.plan.identity.worker: worker.session.pids for worker in workers}
        nonces = {
            await bench.enqueue("echo", {"text": "x", "_nonce": number}): number for number in range(60)
        }
        chosen = {nonces[each]: pids[(await bench.outcome(each)).worker] for each in nonces}
    assert {line["nonce"]: line["pid"] for line in bench.executed()} == chosen


async def test_a_share_of_the_slots_bounds_what_runs_at_a_time(bench: Bench) -> None:
    config = bench.config({"concurrency": 4})
    async with bench.worker(config) as worker:
        name = worker.plan.identity.worker
        await bench.store.deal(
            POOL, 1, "weighted_response_time", {name: Share(concurrency=2).packed()}, 60_000
        )
        await until(lambda: worker.slots.open_to(POOL) and worker.allotment.of(POOL).concurrency == 2)
        ids = await bench.enqueue_many([("sleep", {"ms": 300})] * 6)
        await until(lambda: worker.runner.in_flight == 2)
        most = 2
        while {await bench.state(each) for each in ids} != {"done"}:
            most = max(most, worker.runner.in_flight)
        assert most == 2


async def test_a_worker_that_holds_back_takes_a_retry_when_nobody_else_can(bench: Bench) -> None:
    async with bench.worker(bench.config({"concurrency": 1})) as worker:
        name = worker.plan.identity.worker
        await bench.store.deal(POOL, 1, "predictive", {name: Share(hold_ms=100, depth=99).packed()}, 60_000)
        await until(lambda: worker.allotment.of(POOL).holds)
        request = await bench.enqueue("echo", {"text": "x"})
        assert (await bench.outcome(request)).worker == name
        other = await stand_in(bench.store, POOL, "other")
        late = await bench.enqueue("echo", {"text": "y"})
        fetched = await bench.store.fetch(POOL, other, 1, ("1",))
        assert [delivery.id for delivery in fetched.deliveries] == [late]
        await bench.store.reclaim(POOL, 1, "other", confirmed=True, dead_after_ms=1)
        assert (await bench.outcome(late, within=5.0)).worker == name


async def test_a_worker_of_two_pools_works_more_on_the_one_that_has_more_to_do(bench: Bench) -> None:
    config = bench.config({"concurrency": 1, "capabilities": [POOL, "other"]})
    async with bench.worker(config) as worker, dealing(bench):
        assert worker.allotment.of(POOL) == worker.allotment.of("other") == EVEN
        busy = await bench.enqueue_many([("sleep", {"ms": 30})] * 160)
        few = await bench.enqueue_many([("sleep", {"ms": 30})] * 8, pool="other")
        await until(lambda: worker.allotment.of(POOL).weight >= 4)
        assert worker.allotment.of("other").weight < worker.allotment.of(POOL).weight
        for each in (*few, *busy):
            assert (await bench.outcome(each)).code == "OK"
        await until(lambda: worker.allotment.of(POOL).weight == 1)


async def test_calls_in_flight_hold_a_worker_back_and_their_end_lets_it_go(bench: Bench) -> None:
    async with bench.worker(bench.config({"concurrency": 2})) as worker:
        name = worker.plan.identity.worker
        share = Share(step_ms=10_000, depth=99)
        await bench.store.deal(POOL, 1, "least_connections", {name: share.packed()}, 60_000)
        await until(lambda: worker.allotment.of(POOL) == share)
        first = await bench.enqueue("sleep", {"ms": 400})
        await until(lambda: worker.runner.in_flight == 1)
        second = await bench.enqueue("echo", {"text": "x"})
        answers = [await bench.outcome(each, within=5.0) for each in (first, second)]
        assert answers[1].started_ms >= answers[0].ended_ms
        third = await bench.enqueue("echo", {"text": "y"})
        assert (await bench.outcome(third, within=5.0)).code == "OK"
