"""`[scaling]`, and `min` and `max` of a server: which number of workers a leading coordinator asks for."""

from __future__ import annotations

import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from beside import beside
from mcpweft_coordinator.coordinator import Coordinator, coordinator_id
from mcpweft_coordinator.wanted import Wanted
from mcpweft_schemas import wire
from standin import stand_in
from waiting import until
from workbench import POOL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from workbench import Bench

QUICK = {"cooldown": 0.4}


@asynccontextmanager
async def scaling(
    bench: Bench, server: dict[str, Any], begin: int | None = None, **scaling: Any
) -> AsyncGenerator[Coordinator]:
    """A leading coordinator of one scaled server, which a leader before it left at `begin` workers."""
    config = bench.config(
        {"concurrency": 4, **server}, scaling=QUICK | scaling, worker={"dead_after": 60, "grace": 5}
    )
    if begin is not None:
        seconds, _ = await bench.store.link.run("TIME")
        now_ms = int(seconds) * 1000
        left = Wanted(begin, begin, 1, 9, begin, begin, 0.0, "start", now_ms, None, (POOL,))
        await bench.store.want(0, {"echo": left.packed()}, 5000)
    made = Coordinator(
        bench.store, config, holder=coordinator_id(), clock=time.monotonic, rng=random.Random(5)
    )
    async with beside(made.run()):
        await until(lambda: "echo" in made.scaler.wanted and made.sweeper.figures.leading)
        yield made


def wanted(made: Coordinator) -> int:
    return made.scaler.wanted["echo"].wanted


async def a_while(made: Coordinator) -> None:
    """Some looks later: the leader's own rounds go on every 100 ms."""
    rounds = made.sweeper.figures.rounds
    await until(lambda: made.sweeper.figures.rounds > rounds + 20)


async def test_a_server_has_so_many_workers_at_least_and_none_where_it_may_sleep(bench: Bench) -> None:
    async with scaling(bench, {"min": 2, "max": 3}) as made:
        await a_while(made)
        assert wanted(made) == 2
    await bench.store.link.run("DEL", bench.store.fleet.wanted)
    async with scaling(bench, {"min": 0}) as made:
        assert wanted(made) == 0
        await bench.enqueue("echo")
        await until(lambda: wanted(made) == 1)


@pytest.mark.parametrize("most", [2, 5])
async def test_a_server_has_so_many_workers_at_most(bench: Bench, most: int) -> None:
    await stand_in(bench.store, POOL, "echo.1", in_flight=40)
    async with scaling(bench, {"min": 1, "max": most}) as made:
        await until(lambda: wanted(made) == most)


@pytest.mark.parametrize(("up_at", "count"), [(0.7, 2), (0.9, 1)])
async def test_a_server_gets_more_workers_above_that_part_of_its_slots(
    bench: Bench, up_at: float, count: int
) -> None:
    await stand_in(bench.store, POOL, "echo.1", in_flight=3)
    async with scaling(bench, {"max": 4}, up_at=up_at) as made:
        await a_while(made)
        assert wanted(made) == count


@pytest.mark.parametrize(("down_at", "count"), [(0.3, 1), (0.1, 2)])
async def test_a_server_gets_fewer_workers_below_that_part_of_its_slots(
    bench: Bench, down_at: float, count: int
) -> None:
    for worker in ("echo.1", "echo.2"):
        await stand_in(bench.store, POOL, worker, in_flight=1)
    async with scaling(bench, {"max": 4}, begin=2, down_at=down_at) as made:
        await a_while(made)
        assert wanted(made) == count


@pytest.mark.parametrize(("cooldown", "count"), [(0.4, 1), (60, 2)])
async def test_a_step_down_waits_for_the_cooldown(bench: Bench, cooldown: float, count: int) -> None:
    for worker in ("echo.1", "echo.2"):
        await stand_in(bench.store, POOL, worker)
    async with scaling(bench, {"max": 4}, begin=2, cooldown=cooldown) as made:
        await a_while(made)
        assert wanted(made) == count


@pytest.mark.parametrize(("target_wait", "count"), [(0.2, 4), (600, 1)])
async def test_what_waits_longer_than_that_asks_for_workers(
    bench: Bench, target_wait: float, count: int
) -> None:
    reader = await stand_in(bench.store, POOL, "echo.1", in_flight=2)
    await bench.enqueue_many([("echo", {})] * 40)
    assert len((await bench.store.fetch(POOL, reader, 4, wire.READS)).deliveries) == 4
    async with scaling(bench, {"max": 4}, target_wait=target_wait) as made:
        await a_while(made)
        assert wanted(made) == count
