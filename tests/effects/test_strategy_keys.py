"""`[strategy]`: by which strategy a leading coordinator divides the work of each pool."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from beside import beside
from mcpweft_coordinator.coordinator import Coordinator, coordinator_id
from standin import stand_in
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import pytest

    from workbench import Bench


@asynccontextmanager
async def leading(bench: Bench, **strategy: Any) -> AsyncGenerator[None]:
    """A leading coordinator, and a worker in each of two pools."""
    config = bench.config(strategy=strategy, worker={"dead_after": 60, "grace": 5})
    for pool in ("echo", "other"):
        await stand_in(bench.store, pool, f"{pool}.1")
    made = Coordinator(
        bench.store, config, holder=coordinator_id(), clock=time.monotonic, rng=random.Random(5)
    )
    async with beside(made.run()):
        yield


async def in_force(bench: Bench) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for pool in ("echo", "other"):
        status = await bench.store.status(pool)
        found[pool] = None if status is None else status.settings.get("strategy")
    return found


async def both(bench: Bench, echo: str, other: str) -> None:
    async def so() -> bool:
        return await in_force(bench) == {"echo": echo, "other": other}

    await until(so)


async def test_every_pool_is_divided_by_the_strategy_that_is_named(bench: Bench) -> None:
    async with leading(bench):
        await both(bench, "round_robin", "round_robin")
    async with leading(bench, name="least_connections"):
        await both(bench, "least_connections", "least_connections")


async def test_a_pool_may_have_a_strategy_of_its_own(bench: Bench) -> None:
    async with leading(bench, name="predictive", pools={"other": "adaptive"}):
        await both(bench, "predictive", "adaptive")


async def _shadowed(bench: Bench, caplog: pytest.LogCaptureFixture, **strategy: Any) -> set[tuple[str, str]]:
    """Which pools a strategy in the shadow was heard of in, and which strategy."""
    caplog.clear()
    caplog.set_level(logging.INFO, "mcpweft.strategy")
    async with leading(bench, **strategy):
        await both(bench, "round_robin", "round_robin")
        await asyncio.sleep(1.5)  # a round in which it could speak
    lines = [record.__dict__["fields"] for record in caplog.records if record.message == "shadow"]
    return {(line["pool"], line["strategy"]) for line in lines}


async def test_a_strategy_in_the_shadow_is_heard_of_in_every_pool_or_in_one(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    assert await _shadowed(bench, caplog) == set()
    heard = await _shadowed(bench, caplog, shadow="least_connections")
    assert heard == {("echo", "least_connections"), ("other", "least_connections")}
    heard = await _shadowed(bench, caplog, shadows={"other": "least_connections"})
    assert heard == {("other", "least_connections")}
