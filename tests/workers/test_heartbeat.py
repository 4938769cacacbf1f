"""The heartbeat: it beats while the main loop cannot, says so, and tells the main loop what it must do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.packing import unpack
from proxy import Proxy
from waiting import until
from workbench import POOL

if TYPE_CHECKING:
    from workbench import Bench


async def load(bench: Bench, worker: str = "me") -> dict[str, Any]:
    status = await bench.store.status(POOL)
    assert status is not None
    found: dict[str, Any] = unpack(status.load.get(worker, b"\x80"))
    return found


async def test_a_beat_carries_the_workers_figures(bench: Bench) -> None:
    async with bench.worker(worker_id="me"):
        await bench.outcome(await bench.enqueue("echo", {"text": "x"}))
        figures = await until(lambda: counted(bench))
        assert figures["usable"] is True
        assert (figures["state"], figures["breaker"], figures["slots"]) == ("READY", "closed", 8)
        assert (figures["in_flight"], figures["draining"], figures["restarts"]) == (0, False, 0)
        status = await bench.store.status(POOL)
        assert status is not None
        info = unpack(status.members["me"])
        assert (info["server"], info["instance"], info["kind"]) == ("echo", "me", "stdio")
        assert info["capabilities"] == [POOL]


async def counted(bench: Bench) -> dict[str, Any] | None:
    figures = await load(bench)
    return figures if figures.get("ok") == 1 else None


async def test_a_worker_is_ready_once_each_of_its_pools_knows_that_it_takes_work(bench: Bench) -> None:
    pools = [POOL, "second", "third"]
    worker = bench.make(bench.config({"capabilities": pools}), worker_id="me")
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        while not worker.report.readiness()["ready"]:  # at each turn of the loop: no turn is to be too early
            await asyncio.sleep(0)
        known = [await bench.store.status(pool) for pool in pools]
        worker.stop()
    assert [status is not None and "me" in status.usable for status in known] == [True] * 3


async def test_a_stalled_main_loop_still_beats_and_the_beat_says_how_long(bench: Bench) -> None:
    async with bench.worker(worker_id="me"):
        await until(lambda: counted_any(bench))
        before = await last_beat(bench)
        time.sleep(1.6)  # noqa: ASYNC251  # the main loop is what stands still here
        assert await last_beat(bench) - before >= 1200
        figures = await load(bench)
        assert figures["lag_ms"] >= 1000
        assert figures["usable"] is False
        await until(lambda: usable(bench))


async def test_a_beat_into_a_connection_that_fell_silent_is_soon_said_again_over_a_new_one(
    bench: Bench,
) -> None:
    async with Proxy(bench.url) as proxy, bench.worker(worker_id="me", url=proxy.url):
        await until(lambda: counted_any(bench))
        proxy.freeze()
        before = await last_beat(bench)
        await until(lambda: beaten_after(bench, before))
        assert await last_beat(bench) - before < 3000  # not the 5 s that a command may take


async def beaten_after(bench: Bench, before: int) -> bool:
    return await last_beat(bench) > before


async def counted_any(bench: Bench) -> bool:
    return bool(await load(bench))


async def last_beat(bench: Bench) -> int:
    status = await bench.store.status(POOL)
    assert status is not None
    return status.alive["me"]


async def usable(bench: Bench) -> bool:
    status = await bench.store.status(POOL)
    return status is not None and "me" in status.usable


async def test_a_worker_that_was_taken_for_dead_registers_again(bench: Bench) -> None:
    async with bench.worker(worker_id="me"):
        await bench.store.retire(POOL, "me")
        await until(lambda: usable(bench))
        assert (await bench.outcome(await bench.enqueue("echo", {"text": "x"}))).worker == "me"


async def test_a_stopped_worker_beats_no_more(bench: Bench) -> None:
    async with bench.worker(worker_id="me") as worker:
        await until(lambda: usable(bench))
    assert not worker._heart._thread.is_alive()
    status = await bench.store.status(POOL)
    assert status is not None
    assert not status.alive
