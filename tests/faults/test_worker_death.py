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
    await until(dying.ended, 15.0)
    await fabric.usable(healthy)
    await producer.told(safe["nonce"])
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


async def test_a_killed_worker_leaves_no_server_behind_however_stubborn(fabric: Fabric) -> None:
    fabric.serve_with("--stubborn")
    worker, producer = fabric.worker("worker"), fabric.producer()
    await fabric.usable(worker)
    call = fabric.call("say", ms=20_000)
    producer.tell([call])
    await fabric.begun(producer, call)
    worker.kill()
    await until(lambda: fabric.left() == {producer.popen.pid})
    await fabric.bury(worker)
    await fabric.verdict()
    assert producer.outcomes()[call["nonce"]]["code"] == "OUTCOME_UNKNOWN"


async def test_a_worker_that_was_stopped_and_wakes_up_settles_only_what_is_still_its_own(
    fabric: Fabric,
) -> None:
    fabric.coordinator()
    workers = [fabric.worker("one"), fabric.worker("two")]
    producer = fabric.producer()
    await fabric.usable(*workers)
    safe = [fabric.call("ask", ms=250) for _ in range(3)]
    ended = fabric.call("say", ms=250, timeout=1.5)
    patient = fabric.call("say", ms=250, attempt_timeout=25, max_attempts=1)
    long = fabric.call("ask", ms=4000, attempt_timeout=9)
    producer.tell(
        [*safe, ended, patient, long]
    )  # told in one breath, they are one batch, and one fetch takes it
    await fabric.begun(producer, *safe, ended, patient, long)
    holders = {await fabric.holder(request_id) for request_id in producer.ids().values()}
    (sleeper,) = [worker for worker in workers if worker.name in holders]
    (other,) = [worker for worker in workers if worker is not sleeper]
    sleeper.pause()
    outcomes = producer.outcomes
    await producer.told(*(call["nonce"] for call in [*safe, ended]))
    assert patient["nonce"] not in outcomes(), "it is unsafe and its worker may live: nobody may end it yet"

    await until(lambda: fabric.executed().count(long["nonce"]) == 2)
    sleeper.resume()
    await producer.told(patient["nonce"])
    # Its own run of the long one ends while the other's is under way: only the other may settle it.
    await until(lambda: sleeper.said().count('"settle lost"') == 5)
    assert '"settle lost"' not in other.said()
    producer.tell(fabric.load(20))
    await fabric.verdict()

    assert outcomes()[ended["nonce"]]["code"] == "OUTCOME_UNKNOWN"
    assert outcomes()[patient["nonce"]]["attempts"] == [["echo", sleeper.name, "OK", "yes"]]
    for call in [*safe, long]:
        tries = [(worker, cause) for _, worker, cause, _ in outcomes()[call["nonce"]]["attempts"]]
        assert tries == [(sleeper.name, "WORKER_DIED"), (other.name, "OK")]


async def test_a_request_that_kills_each_worker_ends_as_a_dead_letter_that_lists_its_attempts(
    fabric: Fabric,
) -> None:
    fabric.coordinator()
    victims = [fabric.worker(f"victim{i}", at="fetched", each=True) for i in range(2)]
    producer = fabric.producer()
    await fabric.usable(*victims)
    harmless = fabric.load(20)
    producer.tell(harmless)
    await producer.told(count=len(harmless))
    poison = fabric.call("ask", arguments={"_die": True}, max_attempts=2)
    producer.tell([poison])
    await producer.told(poison["nonce"])
    letters = await fabric.store.dead("echo", 0, 10)
    await fabric.verdict()

    assert all(victim.ended() for victim in victims)
    outcome = producer.outcomes()[poison["nonce"]]
    assert outcome["code"] == "FAILOVER_EXHAUSTED"
    assert {(worker, cause) for _, worker, cause, _ in outcome["attempts"]} == {
        ("victim0", "WORKER_DIED"),
        ("victim1", "WORKER_DIED"),
    }
    assert [(letter.id, len(letter.attempts)) for letter in letters] == [(outcome["id"], 2)]
