"""Coordinators that die: another takes over, and where there is none the workers look after each other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from waiting import until

if TYPE_CHECKING:
    from typing import Any

    from faults.fabric import Fabric, Process, Producer

pytestmark = pytest.mark.slow


async def leader(fabric: Fabric) -> str:
    """Return who holds the lease at this moment; empty where nobody does."""
    raw = await fabric.store.link.run("HMGET", fabric.store.fleet.lease("lead"), "holder", "until")
    if not raw[0]:
        return ""
    seconds, micros = await fabric.store.link.run("TIME")
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    return "" if int(raw[1]) < now_ms else str(raw[0].decode())


async def kill_who_runs(
    fabric: Fabric, workers: list[Process], producer: Producer, call: dict[str, Any]
) -> Process:
    """Kill the worker that runs a call, once its server has begun; return it."""
    await fabric.begun(producer, call)
    holder = await fabric.holder(producer.ids()[call["nonce"]])
    (victim,) = [worker for worker in workers if worker.name == holder]
    victim.kill()
    return victim


async def test_another_coordinator_takes_over_from_a_killed_one_and_rescues_the_dead(fabric: Fabric) -> None:
    coordinators = {f"coordinator.{name}": fabric.coordinator(f"coordinator.{name}") for name in "ab"}
    workers = [fabric.worker("one"), fabric.worker("two")]
    producer = fabric.producer()
    await fabric.usable(*workers)
    first = await until(lambda: leader(fabric))
    safe = fabric.call("ask", ms=800)
    producer.tell([safe, *fabric.load(20)])
    coordinators[first].kill()
    killed_at = time.monotonic()
    victim = await kill_who_runs(fabric, workers, producer, safe)
    second = await until(lambda: _other(fabric, first))
    took = time.monotonic() - killed_at
    assert second in coordinators
    assert took <= 1.5, f"took over after {took:.2f} s"
    await producer.told(safe["nonce"])
    await fabric.bury(victim)
    await fabric.verdict()
    assert producer.outcomes()[safe["nonce"]]["code"] == "OK"


async def _other(fabric: Fabric, first: str) -> str:
    now = await leader(fabric)
    return "" if now == first else now


async def test_with_no_coordinator_left_the_workers_go_on_and_sweep_for_the_dead(fabric: Fabric) -> None:
    coordinator = fabric.coordinator()
    workers = [fabric.worker("one"), fabric.worker("two")]
    producer = fabric.producer()
    await fabric.usable(*workers)
    await until(lambda: leader(fabric))
    coordinator.kill()
    safe, late = fabric.call("ask", ms=800), fabric.call("say", ms=30, delay=0.3)
    producer.tell([safe, late, *fabric.load(20)])
    victim = await kill_who_runs(fabric, workers, producer, safe)
    await producer.told(safe["nonce"])
    await fabric.bury(victim)
    await fabric.verdict()
    attempts = [(worker, cause) for _, worker, cause, _ in producer.outcomes()[safe["nonce"]]["attempts"]]
    (other,) = [worker.name for worker in workers if worker is not victim]
    assert attempts == [(victim.name, "WORKER_DIED"), (other, "OK")]
    assert producer.outcomes()[late["nonce"]]["code"] in {"OK", "OUTCOME_UNKNOWN"}
