"""The checker finds every kind of lie in forged logs, and none in honest ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from checker import Accepted, Evidence, Outcome, Sent, Stored, faults

ALPHA = Sent("n1", "alpha", "red", safe=False, answer="n1")
BETA = Sent("n2", "beta", "", safe=True, answer="n2")
ENDED = Stored("id1", "n1", "done", "red", ("alpha",), "OK", "yes", kept=True, answer="n1")
TOLD = Stored("id2", None, "done", "", ("beta",), "OK", "yes", told=("beta",))
HONEST = Evidence(
    sent=(ALPHA, BETA),
    accepted=(Accepted("id1", "n1", "alpha"), Accepted("id2", "n2", "beta")),
    outcomes=(
        Outcome("id1", "n1", "alpha", "OK", "yes", "n1"),
        Outcome("id2", "n2", "beta", "OK", "yes", "n2"),
    ),
    ledger=("n1", "n2", "n2"),
    stored=(ENDED, TOLD),
)
HEARD = HONEST.outcomes


def forged(**changes: Any) -> list[str]:
    return faults(replace(HONEST, **changes))


def first(**changes: Any) -> list[Outcome]:
    """The outcomes, the first of them altered."""
    return [replace(HEARD[0], **changes), HEARD[1]]


def record(**changes: Any) -> list[Stored]:
    """The records, the first of them altered."""
    return [replace(ENDED, **changes), TOLD]


def test_honest_logs_hold_no_fault() -> None:
    assert not faults(HONEST)


def test_an_outcome_that_waits_in_the_store_for_a_killed_producer_is_no_fault() -> None:
    assert not forged(outcomes=HEARD[1:], dead_producers=frozenset({"alpha"}))
    assert not forged(outcomes=HEARD[:1], dead_producers=frozenset({"beta"}))


def test_one_who_shares_or_follows_a_request_may_hear_its_outcome() -> None:
    shared = Sent("n1", "beta", "red", safe=False, answer="n1")
    heard = Outcome("id1", "n1", "beta", "OK", "yes", "n1")
    assert not forged(
        sent=(*HONEST.sent, shared), outcomes=(*HEARD, heard), stored=record(waiters=("alpha", "beta"))
    )


def test_a_producer_that_gave_up_contradicts_nobody() -> None:
    assert not forged(outcomes=first(code="STORE_LOST", executed="maybe", answer=None))
    assert not forged(outcomes=first(code="TIMEOUT", executed="maybe", answer=None))
    unrun = {"ledger": ("n2",), "stored": record(code="TIMEOUT", executed="no", answer=None)}
    assert not forged(outcomes=first(code="TIMEOUT", executed="maybe", answer=None), **unrun)


def test_whoever_only_hands_a_request_in_or_was_killed_waits_for_nothing() -> None:
    assert not forged(outcomes=HEARD[1:], sent=(replace(ALPHA, heard=False), BETA))
    assert not forged(outcomes=HEARD[1:], dead_producers=frozenset({"alpha"}))


def test_a_key_that_was_freed_unrun_may_be_used_again() -> None:
    unrun = Outcome("id3", "n1", "beta", "QUEUE_FULL", "no")
    both = (ALPHA, replace(ALPHA, producer="beta"), BETA)
    assert forged(sent=both, outcomes=(*HEARD, unrun))
    keyed = tuple(replace(one, keyed=True) for one in both)
    assert not forged(sent=keyed, outcomes=(*HEARD, unrun))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        # one outcome for each accepted request
        ({"outcomes": HEARD[1:], "stored": (TOLD,)}, "n1 was accepted and has no outcome: it has no record"),
        (
            {"outcomes": HEARD[1:], "stored": record(kept=False)},
            "n1 was accepted and has no outcome: it is done in the store, its producer was told nothing",
        ),
        (
            {"outcomes": HEARD[1:], "stored": record(kept=False), "dead_producers": frozenset({"alpha"})},
            "n1 was accepted and has no outcome: it is done in the store, its producer was killed",
        ),
        ({"outcomes": (*HEARD, HEARD[0])}, "n1 was answered 2 times to alpha"),
        (
            {"outcomes": (*HEARD, replace(HEARD[0], code="CANCELLED", answer=None))},
            "n1 has different outcomes",
        ),
        ({"stored": record(state="running", code="", executed="")}, "id1 never ended: it is running"),
        ({"stored": record(state="delayed", code="", executed="")}, "id1 never ended: it is delayed"),
        (
            {"stored": record(code="OUTCOME_UNKNOWN", executed="maybe")},
            "n1 was answered as OK/yes and is stored as OUTCOME_UNKNOWN/maybe",
        ),
        # unsafe ones at most once
        ({"ledger": ("n1", "n1", "n2")}, "n1 is unsafe and ran 2 times"),
        ({"ledger": ("n1", *["n2"] * 4)}, "n2 ran 4 times, where 3 were allowed"),
        # every caller is told
        ({"outcomes": HEARD[1:]}, "alpha still waits for n1"),
        # nothing invented
        ({"ledger": ("n1", "n2", "n3")}, "n3 ran, and nobody sent it"),
        ({"accepted": (*HONEST.accepted, Accepted("id3", "n3", "alpha"))}, "n3 was accepted, and nobody"),
        ({"outcomes": (*HEARD, Outcome("id3", "n3", "alpha", "OK", "yes"))}, "n3 has an outcome, and nobody"),
        ({"stored": record(nonce="n3")}, "id1 holds n3, which nobody sent"),
        ({"outcomes": first(id="id2"), "stored": (ENDED, replace(TOLD, nonce="n2"))}, "the outcome of n2"),
        ({"ledger": ("n2",)}, "n1 has an answer, and never ran"),
        ({"outcomes": first(code="CANCELLED", executed="no", answer=None)}, "n1 is said not to have run"),
        ({"ledger": ("n2",), "outcomes": first(code="CANCELLED")}, "n1 is said to have run (CANCELLED)"),
        ({"outcomes": first(answer="n2")}, "n1 was answered 'n2', where 'n1' is right"),
        ({"stored": record(answer="n2")}, "n1 was answered 'n2', where 'n1' is right"),
        ({"stored": record(executed="no")}, "n1 is said not to have run (OK), and did"),
        # nothing in a wrong tenant or with a wrong producer
        ({"outcomes": first(producer="beta")}, "n1 is alpha's and came to beta"),
        ({"accepted": (replace(HONEST.accepted[0], producer="beta"),)}, "n1 is alpha's and came to beta"),
        ({"stored": record(tenant="blue")}, "n1 is of tenant 'red' and lies in 'blue'"),
        ({"stored": record(waiters=("beta",))}, "n1 is alpha's, and beta is told of it"),
        ({"stored": record(told=("beta",))}, "n1 is alpha's, and beta is told of it"),
        # nothing left
        ({"leaked_keys": ("mcpweft:t:{echo}:x",)}, "key mcpweft:t:{echo}:x has neither a TTL nor an owner"),
        ({"left_processes": ("17: echo.py",)}, "process 17: echo.py was left"),
        ({"broken": ("one ended with 1: oh",)}, "one ended with 1"),
    ],
)
def test_a_forged_log_is_found_out(changes: dict[str, Any], said: str) -> None:
    assert any(said in fault for fault in forged(**changes)), forged(**changes)
