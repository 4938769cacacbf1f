"""`[events]`: how many of the fleet's events stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from effects.test_coordinator_keys import leading
from mcpweft_schemas.event import Event, Kind, Who
from waiting import until

if TYPE_CHECKING:
    from workbench import Bench


@pytest.mark.parametrize("who", ["worker", "coordinator"])
async def test_about_so_many_events_stay(bench: Bench, who: str) -> None:
    old = [Event(Kind.SERVER_LOST, Who.WORKER).fields(0)] * 50
    for _ in range(20):
        await bench.store.tell(old, 10_000)
    events = bench.store.fleet.events
    assert await bench.store.link.run("XLEN", events) == 1000
    if who == "worker":
        async with bench.worker(bench.config(events={"keep": 100})):
            await until(lambda: few(bench))
        return
    async with leading(bench):
        pass
    assert not await few(bench)
    async with leading(bench, config=bench.config(events={"keep": 100})):
        await until(lambda: few(bench))


async def few(bench: Bench) -> bool:
    """Whether what is over a hundred was let go, but for a part of a node of the stream."""
    count = await bench.store.link.run("XLEN", bench.store.fleet.events)
    return bool(count <= 300)
