"""What a coordinator and its launcher tell the fleet: who leads, who was started, who ended and who died."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from beside import beside
from launching import config_of
from mcpweft_coordinator.coordinator import Coordinator, coordinator_id
from mcpweft_schemas.event import Event, Kind, Who
from mcpweft_schemas.packing import pack
from mcpweft_schemas.store import Reader
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from launching import Launchers
    from mcpweft_schemas.store import Store
    from pool import Pool


async def told(store: Store, kind: Kind) -> list[Event]:
    return [event for event in (await store.events(most=1000)).events if event.kind is kind]


@asynccontextmanager
async def coordinating(store: Store, *, dead_ttl: str = "7d") -> AsyncGenerator[Coordinator]:
    config = config_of(queue={"dead_ttl": dead_ttl})
    made = Coordinator(store, config, holder=coordinator_id(), clock=time.monotonic, rng=random.Random(5))
    async with beside(made.run()):
        yield made


async def test_a_coordinator_tells_that_it_leads_and_that_it_does_no_longer(store: Store) -> None:
    async with coordinating(store) as made:
        (leading,) = await until(lambda: told(store, Kind.COORDINATOR_LEADING))
        assert leading.data == {"holder": made.holder, "epoch": 1}
        (declared,) = await until(lambda: told(store, Kind.POOL_DECLARED))
        assert (declared.who, declared.pool) == (Who.COORDINATOR, "echo")
    (following,) = await told(store, Kind.COORDINATOR_FOLLOWING)
    assert following.data["was"] == made.holder


async def test_a_silent_worker_is_told_as_dead_with_what_became_of_its_requests(pool: Pool) -> None:
    store = pool.store
    reader = Reader("w1", "alpha", "w1", pool.incarnation, 1)
    await store.register(pool.capability, reader, pack({"server": "alpha"}), [("echo", False, b"{}")])
    await store.beat(pool.capability, reader, 60_000, b"")
    await pool.accept(safe=True)
    await pool.take(reader)
    async with coordinating(store):
        (died,) = await until(lambda: told(store, Kind.WORKER_DIED))
    assert (died.pool, died.server, died.worker) == ("echo", "alpha", "w1")
    assert died.data == {"moved": 1, "lost": 0}
    assert died.reason.startswith("silent for ")


async def test_dead_letters_that_are_dropped_by_age_are_told(pool: Pool) -> None:
    w1 = await pool.join()
    await pool.accept(max_attempts=1)
    await pool.settle(await pool.take(w1), "retry")
    async with coordinating(pool.store, dead_ttl="1ms"):
        (dropped,) = await until(lambda: told(pool.store, Kind.DEAD_DROPPED))
    assert dropped.data == {"count": 1}


async def test_a_launcher_tells_of_each_process_that_it_starts_and_that_ends(
    pool: Pool, launchers: Launchers
) -> None:
    heard: list[Event] = []
    running = launchers.start(config_of(), tell=heard.append)
    await until(lambda: running.view.up == 1)
    ((worker, pid),) = running.pids.items()
    assert [(event.kind, event.server, event.worker, event.data) for event in heard] == [
        (Kind.WORKER_STARTED, "echo", worker, {"pid": pid})
    ]
    await pool.accept(tool="hold", safe=True)
    await until(lambda: held(pool))
    os.kill(pid, signal.SIGKILL)
    exited = await until(lambda: [event for event in heard if event.kind is Kind.WORKER_EXITED])
    assert exited[0].data == {"code": -9, "asked": False, "moved": 1, "lost": 0, "last": ""}
    assert exited[0].reason == "was killed by signal 9"
    await until(lambda: running.pids)
    await running.stop()
    last = [event for event in heard if event.kind is Kind.WORKER_EXITED][-1]
    assert last.data["asked"] is True


async def held(pool: Pool) -> bool:
    status = await pool.store.status(pool.capability)
    return status is not None and status.running == 1
