"""MCP servers that die or stop in the middle of a call, while their worker lives on."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

import leak

if TYPE_CHECKING:
    from faults.fabric import Fabric

pytestmark = pytest.mark.slow


async def test_a_killed_server_costs_only_the_unsafe_calls_it_was_busy_with(fabric: Fabric) -> None:
    fabric.coordinator()
    worker, producer = fabric.worker("worker"), fabric.producer()
    await fabric.usable(worker)
    safe, unsafe = fabric.call("ask", ms=500), fabric.call("say", ms=500)
    producer.tell([safe, unsafe])
    await fabric.begun(producer, safe, unsafe)
    (server,) = fabric.servers()
    os.kill(server, signal.SIGKILL)
    producer.tell(fabric.load(20))
    await fabric.verdict()

    outcomes = producer.outcomes()
    assert [cause for _, _, cause, _ in outcomes[safe["nonce"]]["attempts"]] == ["SERVER_DIED", "OK"]
    assert outcomes[unsafe["nonce"]]["code"] == "OUTCOME_UNKNOWN"
    assert outcomes[unsafe["nonce"]]["executed"] == "maybe"
    assert sum(one["code"] in {"OK", "TOOL_ERROR"} for one in outcomes.values()) == 21


async def test_a_request_that_kills_its_server_each_time_ends_as_a_dead_letter_and_the_rest_go_on(
    fabric: Fabric,
) -> None:
    fabric.coordinator()
    worker, producer = fabric.worker("worker"), fabric.producer()
    await fabric.usable(worker)
    poison, once = fabric.call("crash", idempotent=True), fabric.call("crash")
    producer.tell([poison])
    await producer.told(poison["nonce"])
    producer.tell([once])
    await producer.told(once["nonce"])
    producer.tell(fabric.load(10))
    letters = await fabric.store.dead("echo", 0, 10)
    evidence = await fabric.verdict()

    outcomes = producer.outcomes()
    assert outcomes[poison["nonce"]]["code"] == "FAILOVER_EXHAUSTED"
    assert [cause for _, _, cause, _ in outcomes[poison["nonce"]]["attempts"]] == ["SERVER_DIED"] * 3
    assert evidence.ledger.count(poison["nonce"]) == 3
    assert outcomes[once["nonce"]]["code"] == "OUTCOME_UNKNOWN"
    assert {letter.id for letter in letters} == {
        outcomes[poison["nonce"]]["id"],
        outcomes[once["nonce"]]["id"],
    }


async def test_a_stopped_server_is_replaced_once_an_attempt_on_it_has_timed_out(fabric: Fabric) -> None:
    fabric.coordinator()
    worker, producer = fabric.worker("worker"), fabric.producer()
    await fabric.usable(worker)
    safe = fabric.call("ask", ms=300, attempt_timeout=3.0)
    unsafe = fabric.call("say", ms=300, attempt_timeout=3.0)
    producer.tell([safe, unsafe])
    await fabric.begun(producer, safe, unsafe)
    (server,) = fabric.servers()
    os.kill(server, signal.SIGSTOP)
    await producer.told(safe["nonce"], unsafe["nonce"])
    producer.tell(fabric.load(10))
    await fabric.finish()
    assert server not in leak.ours(str(fabric.ledger.path.parent)), "the hung server was not ended"
    await fabric.verdict()

    outcomes = producer.outcomes()
    assert outcomes[safe["nonce"]]["code"] == "OK"
    assert outcomes[safe["nonce"]]["attempts"][0][2] == "ATTEMPT_TIMEOUT"
    assert outcomes[unsafe["nonce"]]["code"] == "OUTCOME_UNKNOWN"
