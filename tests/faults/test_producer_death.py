"""Producers that die while they wait: what they asked for goes on, and whoever has the id has the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from waiting import until

if TYPE_CHECKING:
    from faults.fabric import Fabric

pytestmark = pytest.mark.slow


async def test_what_a_killed_producer_waited_for_is_there_for_another_process(fabric: Fabric) -> None:
    fabric.coordinator()
    worker, killed = fabric.worker("worker"), fabric.producer("killed")
    other, third = fabric.producer("other"), fabric.producer("third")
    await fabric.usable(worker)
    submitted = [fabric.call("say", ms=300, how="submit"), fabric.call("ask", ms=300, how="submit")]
    keyed = fabric.call("say", ms=300, idempotency_key="once")
    plain = fabric.call("say", ms=300)
    calls = [*submitted, keyed, plain]
    killed.tell(calls)
    await fabric.begun(killed, *calls)
    fabric.kill_producer(killed)
    other.tell(fabric.load(20))
    ids = killed.ids()
    kept = [*submitted, keyed]
    await until(lambda: _all_ended(fabric, [ids[call["nonce"]] for call in calls]))
    other.tell([fabric.again(call, "follow", id=ids[call["nonce"]]) for call in kept])
    third.tell([fabric.again(keyed, "call")])
    await other.told(*(call["nonce"] for call in kept))
    evidence = await fabric.verdict()
    assert all(evidence.ledger.count(call["nonce"]) == 1 for call in calls)
    assert not killed.outcomes()
    assert {other.outcomes()[call["nonce"]]["answer"] for call in kept} == {call["nonce"] for call in kept}
    assert third.outcomes()[keyed["nonce"]]["id"] == ids[keyed["nonce"]]


async def _all_ended(fabric: Fabric, request_ids: list[str]) -> bool:
    seen = [await fabric.store.inspect("echo", request_id) for request_id in request_ids]
    return all(one is not None and one.state == "done" for one in seen)
