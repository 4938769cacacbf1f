"""Leaders that are cut off or held up: what arrives too late is refused, and no call notices."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from beside import beside
from mcpweft_coordinator.coordinator import Coordinator, coordinator_id
from mcpweft_coordinator.wanted import read_all
from mcpweft_schemas.connect import Link
from mcpweft_schemas.life import State
from mcpweft_schemas.store import Store
from pool import Pool
from proxy import Proxy
from waiting import until
from workbench import POOL, Bench

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

QUICK = {"lease": 0.3, "sweep": 0.05}
DEAD_AFTER_S = 0.5


@pytest.fixture
async def proxy(store_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(store_url) as made:
        yield made


@asynccontextmanager
async def candidate(
    bench: Bench, url: str, least: int, strategy: str, dead_after: float = 1.0
) -> AsyncGenerator[Coordinator]:
    """A coordinator that wants so many workers and deals by a strategy, over a link of its own."""
    config = bench.config(
        {"min": least, "max": 9}, strategy={"name": strategy}, coordinator=QUICK,
        worker={"dead_after": dead_after, "heartbeat": 0.1},
    )  # fmt: skip
    async with Link.to(url) as link:
        made = Coordinator(
            Store(link, bench.namespace), config, holder=coordinator_id(), clock=time.monotonic,
            rng=random.Random(least),
        )  # fmt: skip
        async with beside(made.run()):
            yield made


async def wanted(bench: Bench) -> int:
    found = read_all((await bench.store.muster("", (), 0)).wanted)
    return found["echo"].wanted if "echo" in found else -1


async def strategy(bench: Bench) -> str:
    status = await bench.store.status(POOL)
    return "" if status is None else status.settings.get("strategy", "")


async def holds(looks: Callable[[], Any], seen: object, leader: Coordinator, rounds: int = 20) -> None:
    """Something stays as it is for some rounds of the leader."""
    end = leader.sweeper.figures.rounds + rounds

    async def over() -> bool:
        assert await looks() == seen
        return leader.sweeper.figures.rounds > end

    await until(over)


# -- what a leader sent, and another led before it arrived -------------------------------------------------


async def test_a_count_of_workers_that_arrives_too_late_is_refused(bench: Bench, proxy: Proxy) -> None:
    proxy.hold("want")
    async with candidate(bench, proxy.url, 1, "round_robin"):
        await until(lambda: proxy.holds("want"))
        async with candidate(bench, bench.url, 3, "round_robin") as other:
            proxy.freeze()
            await until(lambda: _is(wanted(bench), 3))
            proxy.thaw()
            await until(lambda: proxy.answers.get("want"))
            assert b"STALE" in proxy.answers["want"][0]
            await holds(lambda: wanted(bench), 3, other)


async def test_shares_that_arrive_too_late_are_refused(bench: Bench, proxy: Proxy) -> None:
    pool = await Pool.make(bench.store, POOL)
    await pool.join("w1")
    proxy.hold("deal")
    async with candidate(bench, proxy.url, 1, "least_connections"):
        await until(lambda: proxy.holds("deal"))
        async with candidate(bench, bench.url, 1, "predictive") as other:
            proxy.freeze()
            await until(lambda: _is(strategy(bench), "predictive"))
            proxy.thaw()
            await until(lambda: proxy.answers.get("deal"))
            assert b"STALE" in proxy.answers["deal"][0]
            await holds(lambda: strategy(bench), "predictive", other)


async def test_a_reclaim_that_arrives_too_late_takes_nothing_from_who_has_it_now(
    bench: Bench, proxy: Proxy
) -> None:
    pool = await Pool.make(bench.store, POOL)
    silent = await pool.join("w1", usable_ms=100)
    request_id = await pool.accept(safe=True)
    await pool.take(silent)
    proxy.hold("reclaim")
    async with candidate(bench, proxy.url, 1, "round_robin", DEAD_AFTER_S):
        await until(lambda: proxy.holds("reclaim"))
        async with candidate(bench, bench.url, 1, "round_robin", DEAD_AFTER_S) as other:
            proxy.freeze()
            await until(lambda: other.sweeper.figures.moved == 1)
            lively = await pool.join("w2", server="beta")
            delivery = await pool.take(lively)
            proxy.thaw()
            await until(lambda: proxy.answers.get("reclaim"))
            assert b"STALE" in proxy.answers["reclaim"][0]
            record = await pool.record(request_id)
            assert (record["state"], record["worker"]) == (State.RUNNING, "w2")
            assert delivery.id == request_id
            await pool.settle(delivery, instance=lively.instance)
            assert await pool.state(request_id) is State.DONE


async def _is(found: Any, value: object) -> bool:
    return bool(await found == value)


# -- a leader whose own link is cut ------------------------------------------------------------------------


@pytest.mark.parametrize("cut", ["half-open", "away"])
async def test_a_leader_that_is_cut_off_harms_nobody_and_judges_nobody_when_it_is_back(
    bench: Bench, proxy: Proxy, cut: str
) -> None:
    quick = {"dead_after": DEAD_AFTER_S, "heartbeat": 0.1}
    async with (
        candidate(bench, proxy.url, 2, "round_robin", DEAD_AFTER_S) as made,
        bench.worker(bench.config(worker=quick)),
    ):
        await until(lambda: _is(wanted(bench), 2))
        request_id = await bench.enqueue("sleep", {"ms": 4000})
        await until(bench.executed)
        if cut == "half-open":
            proxy.freeze()
        else:
            await proxy.shut()
        await until(lambda: made.sweeper.term is None and not made.sweeper.connected)
        await asyncio.sleep(2 * DEAD_AFTER_S)  # the fault lasts for longer than a worker may be silent
        assert made.sweeper.term is None or cut == "half-open"  # a new connection would come through
        if cut == "half-open":
            proxy.thaw()
        else:
            await proxy.reopen()
        await until(lambda: made.sweeper.figures.leading)
        rounds = made.sweeper.figures.rounds
        await until(lambda: made.sweeper.figures.rounds > rounds + 30)  # 1.5 s: long past dead_after
        outcome = await bench.outcome(request_id)
        assert (outcome.code, len(bench.executed())) == ("OK", 1)
        assert (made.sweeper.figures.moved, made.sweeper.figures.lost) == (0, 0)
        assert await wanted(bench) == 2
