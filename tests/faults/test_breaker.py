"""Workers that share a breaker die or sleep in the middle of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mcpweft_schemas.circuit import Act, Appeal, Circuit, Pace, State
from mcpweft_schemas.packing import unpack
from waiting import until
from workbench import web_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults.fabric import Fabric, Process

pytestmark = pytest.mark.slow

FOLLOW = 1.0
"""Seconds in which the workers of a server stand as its record does."""
PERMIT = 3.0
"""Seconds that a permit outlives its worker."""


@pytest.fixture
def shared(fabric: Fabric) -> Iterator[Fabric]:
    """A fabric whose workers are all bound to one HTTP server."""
    with web_server() as url:
        fabric.serve_url(url)
        yield fabric


async def trip(fabric: Fabric, worker: Process, wait_ms: int) -> Circuit:
    """Say, as this worker would, that the server is dead."""
    seen = await ask(fabric, worker)
    return await fabric.store.breaker("echo", appeal(worker, Act.TRIP, seen.generation, wait_ms))


async def ask(fabric: Fabric, worker: Process) -> Circuit:
    return await fabric.store.breaker("echo", appeal(worker, Act.ASK, 0))


def appeal(worker: Process, act: Act, generation: int, wait_ms: int = 0) -> Appeal:
    return Appeal(
        act=act, server="echo", instance="echo", worker=worker.name, generation=generation, reason="dead",
        hard=True, pace=Pace(first_ms=wait_ms),
    )  # fmt: skip


async def stands(fabric: Fabric, worker: Process) -> str:
    """What a worker's last beat says of its breaker."""
    status = await fabric.store.status("echo")
    assert status is not None
    return str(unpack(status.load[worker.name]).get("breaker"))


async def holder(fabric: Fabric) -> str:
    """Who holds a permit of the record."""
    fields = await fabric.store.link.run("HKEYS", fabric.store.keys("echo").breaker("echo"))
    held = [name.decode() for name in fields if name.startswith(b"p:")]
    return held[0][2:].partition("/")[0] if held else ""


async def test_a_killed_probe_takes_the_breaker_back_to_open_and_another_worker_closes_it(
    shared: Fabric,
) -> None:
    workers = [shared.worker("one"), shared.worker("two")]
    producer = shared.producer()
    await shared.usable(*workers)
    await trip(shared, workers[0], 500)
    producer.tell(
        [shared.call("sleep", arguments={"ms": 4000}, idempotent=True, attempt_timeout=5, max_attempts=2)]
    )
    probing = await until(lambda: running(shared, workers))
    (other,) = [worker for worker in workers if worker is not probing]
    assert await holder(shared) == probing.name
    half_open = await ask(shared, other)
    probing.kill()
    await shared.bury(probing)

    async def moved_on() -> bool:
        return (await ask(shared, other)).generation != half_open.generation

    await until(moved_on, PERMIT + 2 * FOLLOW)
    assert (await ask(shared, other)).reason == "a probe was never reported"

    async def closed() -> bool:
        return (await ask(shared, other)).state is State.CLOSED

    await until(closed, 30.0)


async def running(fabric: Fabric, workers: list[Process]) -> Process | None:
    """The worker that runs a call."""
    status = await fabric.store.status("echo")
    loads = {} if status is None else status.load
    busy = [worker for worker in workers if unpack(loads[worker.name]).get("in_flight")]
    return busy[0] if busy else None


async def test_a_worker_that_slept_through_a_move_wakes_and_follows_and_its_old_word_counts_nothing(
    shared: Fabric,
) -> None:
    sleeper, other = shared.worker("sleeper"), shared.worker("other")
    await shared.usable(sleeper, other)
    before = await ask(shared, other)
    sleeper.pause()
    opened = await trip(shared, other, 60_000)
    await until(lambda: follows(shared, other), FOLLOW)
    old = appeal(sleeper, Act.DISPROVE, before.generation)
    assert (await shared.store.breaker("echo", old)).generation == opened.generation
    sleeper.resume()
    await until(lambda: follows(shared, sleeper), 2 * FOLLOW)
    assert (await ask(shared, sleeper)).generation == opened.generation


async def follows(fabric: Fabric, worker: Process) -> bool:
    return await stands(fabric, worker) == "open"
