"""Event loops that stand still for longer than anybody waits for an answer: a worker's, and a producer's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from waiting import until

if TYPE_CHECKING:
    from faults.fabric import Fabric

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

STALL = 5.5
"""Seconds: more than a worker may be silent, and than a command to the store may take."""


async def test_a_worker_whose_loop_stands_still_is_not_dead_and_gets_no_work_and_ends_what_it_has(
    fabric: Fabric,
) -> None:
    fabric.serve_app("stalling:server")
    fabric.coordinator()
    workers, producer = [fabric.worker("one"), fabric.worker("two")], fabric.producer()
    await fabric.usable(*workers)
    once: dict[str, Any] = {"attempt_timeout": 25, "max_attempts": 1}
    stall = fabric.call("say", arguments={"stall": True}, **once)
    busy = [fabric.call(tool, ms=300, **once) for tool in ("ask", "say")]
    producer.tell([*busy, stall])  # told in one breath, they are one batch, and one fetch takes it
    await fabric.begun(producer, stall)
    go_at = time.monotonic() + STALL
    fresh = [fabric.call(tool, ms=50) for tool in ("ask", "say") for _ in range(5)]
    producer.tell(fresh)
    await producer.told(*(call["nonce"] for call in fresh))
    await until(lambda: time.monotonic() >= go_at)
    assert stall["nonce"] not in producer.outcomes()
    (fabric.ledger.path.parent / "go").touch()
    evidence = await fabric.verdict()

    outcomes = producer.outcomes()
    ((_, stalled, _, _),) = outcomes[stall["nonce"]]["attempts"]
    (other,) = {"one", "two"} - {stalled}
    for calls, by in (([*busy, stall], stalled), (fresh, other)):
        for call in calls:
            assert outcomes[call["nonce"]]["attempts"] == [["echo", by, "OK", "yes"]]
            assert evidence.ledger.count(call["nonce"]) == 1


async def test_a_producer_whose_loop_stood_still_is_told_what_became_of_its_calls(fabric: Fabric) -> None:
    fabric.coordinator()
    worker, producer = fabric.worker("worker"), fabric.producer()
    await fabric.usable(worker)
    calls = [fabric.call(tool, ms=500, how=how) for tool in ("ask", "say") for how in ("call", "submit")]
    calls += [fabric.call("progress", how="progress", arguments={"steps": 5, "ms": 100})]
    short = [fabric.call(tool, ms=300, timeout=1.5) for tool in ("ask", "say")]  # over during the stall
    over = fabric.call("ask", ms=4000, timeout=1.5)
    producer.tell([*calls, *short, over])
    await fabric.begun(producer, *calls, *short, over)
    producer.stall(STALL)
    producer.tell(fabric.load(10))
    evidence = await fabric.verdict()

    outcomes = producer.outcomes()
    assert producer.events("stalled")
    for call in [*calls, *short]:
        assert outcomes[call["nonce"]]["code"] == "OK"
        assert evidence.ledger.count(call["nonce"]) == 1
    assert outcomes[over["nonce"]]["code"] == "TIMEOUT"
