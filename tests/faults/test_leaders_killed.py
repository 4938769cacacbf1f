"""Leaders killed in a row under load: nobody who calls or works notices, and what leaders owe is done."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from waiting import until

if TYPE_CHECKING:
    from collections.abc import Collection

    from faults.fabric import Fabric

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KILLS = 3
A_ROUND = 60
"""Calls that are made while one leader is killed and followed."""


async def leads(fabric: Fabric, above: int, names: Collection[str]) -> tuple[str, int] | None:
    """Return which of these leads and with what epoch, once the pool knows it and it is above that."""
    raw = await fabric.store.link.run("HMGET", fabric.store.fleet.lease("lead"), "holder", "epoch")
    holder, epoch = (raw[0] or b"").decode(), int(raw[1] or 0)
    status = await fabric.store.status(fabric.pools[0])
    assert status is not None
    known = int(status.settings.get("epoch", 0))
    return (holder, epoch) if holder in names and above < epoch == known else None


async def heir(fabric: Fabric, above: int, names: Collection[str]) -> tuple[str, int]:
    """Return the same once one of these leads."""
    found: tuple[str, int] = await until(lambda: leads(fabric, above, names), within=30)
    return found


async def test_leaders_killed_in_a_row_cost_no_call_its_one_answer(fabric: Fabric) -> None:
    spare = (f"coordinator.{number}" for number in range(2 + KILLS))
    coordinators = {name: fabric.coordinator(name) for name in itertools.islice(spare, 2)}
    workers = {name: fabric.worker(name) for name in ("one", "two")}
    producer = fabric.producer()
    await fabric.usable(*workers.values())
    died: dict[str, str] = {}
    for number in range(KILLS):
        leader, epoch = await heir(fabric, 0, coordinators)
        owed = fabric.call("ask", ms=1500)
        producer.tell([owed, *fabric.load(A_ROUND, seed=number)])
        await fabric.begun(producer, owed)
        died[owed["nonce"]] = await fabric.holder(producer.ids()[owed["nonce"]])
        coordinators.pop(leader).kill()
        workers.pop(died[owed["nonce"]]).kill()  # what it holds the next leader owes its callers
        name = next(spare)
        coordinators[name] = fabric.coordinator(name)
        workers[f"worker{number}"] = fabric.worker(f"worker{number}")
        await heir(fabric, epoch, coordinators)
        await producer.told(owed["nonce"], within=60)
    await fabric.verdict()
    assert len(producer.outcomes()) == KILLS * (A_ROUND + 1)
    for nonce, worker in died.items():
        outcome = producer.outcomes()[nonce]
        assert (outcome["code"], outcome["attempts"][0][1:3]) == ("OK", [worker, "WORKER_DIED"])
