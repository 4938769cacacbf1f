"""Workers that die or stop, with requests in their hands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from waiting import until

if TYPE_CHECKING:
    from faults.fabric import Fabric

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("point", ["fetched", "calling", "answered", "settled"])
async def test_a_worker_killed_at_this_point_loses_nothing_and_repeats_nothing_unsafe(
    fabric: Fabric, point: str
) -> None:
    fabric.coordinator()
    dying, producer = fabric.worker("dying", at=point), fabric.producer()
    await fabric.usable(dying)
    safe = fabric.call("ask", arguments={"_die": True}, priority="critical")
    unsafe = fabric.call("say", arguments={"_die": True}, priority="low")
    producer.tell([safe, unsafe, *fabric.load(40)])
    healthy = fabric.worker("healthy")
    await until(lambda: dying.ended, 15.0)
    await fabric.usable(healthy)
    await until(lambda: safe["nonce"] in producer.outcomes(), 15.0)
    await fabric.bury(dying)
    evidence = await fabric.verdict()

    outcomes = producer.outcomes()
    ran = evidence.ledger.count
    settled = point == "settled"
    assert outcomes[safe["nonce"]]["code"] == "OK"
    assert outcomes[unsafe["nonce"]]["code"] == ("OK" if settled else "OUTCOME_UNKNOWN")
    assert ran(safe["nonce"]) == (1 if point in {"fetched", "settled"} else 2)
    assert ran(unsafe["nonce"]) == (0 if point == "fetched" else 1)
    causes = [cause for _, _, cause, _ in outcomes[safe["nonce"]]["attempts"]]
    assert causes == (["OK"] if settled else ["WORKER_DIED", "OK"])
