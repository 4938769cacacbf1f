"""The breaker, rule by rule."""

from __future__ import annotations

import math
import random
import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from mcpweft_schemas.circuit import SHUT, Act, Circuit, picture
from mcpweft_schemas.word import Word
from mcpweft_workers.breaker import (
    MOVES,
    UNLIMITED,
    Breaker,
    Event,
    Finding,
    Outcome,
    Permit,
    Policy,
    State,
    Transition,
)

OK, BAD, NOTHING = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NOTHING
PLAIN = Policy(jitter=0)  # the defaults, with waits that can be foretold


def breaker(policy: Policy = PLAIN) -> Breaker:
    return Breaker(policy, random.Random(7))


def call(subject: Breaker, outcome: Outcome, now: float, took: float = 0.1) -> Transition | None:
    permit = subject.acquire(now)
    assert permit is not None
    return subject.record(permit, outcome, took, now)


def bring(state: State) -> tuple[Breaker, float]:
    """Return a breaker in `state`, and the time it is then."""
    subject = breaker()
    if state in {State.FORCED_OPEN, State.CORDONED, State.DISABLED, State.METRICS_ONLY}:
        subject.force(state, "by hand", 0)
    elif state is not State.CLOSED:
        for _ in range(5):
            call(subject, BAD, 0)
    now = 60.0 if state is State.HALF_OPEN else 0.0
    assert subject.state(now) is state
    return subject, now


def fire(subject: Breaker, event: Event, now: float) -> None:
    """Bring `event` about by its own cause, as far as the state lets that happen."""
    by_hand = {
        Event.FORCE_OPEN: State.FORCED_OPEN,
        Event.CORDON: State.CORDONED,
        Event.DISABLE: State.DISABLED,
        Event.OBSERVE: State.METRICS_ONLY,
    }
    if event in by_hand:
        subject.force(by_hand[event], "by hand", now)
    elif event is Event.RESET:
        subject.reset(now)
    elif event is Event.WAITED:
        subject.state(now + 60)
    else:
        count, outcome = {Event.TRIP: (5, BAD), Event.PROVED: (3, OK), Event.DISPROVED: (1, BAD)}[event]
        for _ in range(count):
            if permit := subject.acquire(now):
                subject.record(permit, outcome, 0.1, now)


# Five failures cannot trip a half-open breaker: the first of them is a failed probe, a pair of its own.
PAIRS = [pair for pair in product(State, Event) if pair != (State.HALF_OPEN, Event.TRIP)]


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_each_event_moves_each_state_as_the_table_says_and_no_other_way(state: State, event: Event) -> None:
    subject, now = bring(state)
    before = subject.snapshot(now).generation
    fire(subject, event, now)
    after = subject.snapshot(now)
    if event in MOVES[state]:
        assert after.state is MOVES[state][event]
        assert after.generation == before + 1
        assert subject.last is not None
        assert (subject.last.before, subject.last.event, subject.last.after) == (state, event, after.state)
    else:
        assert (after.state, after.generation) == (state, before)


def test_the_picture_in_the_docs_is_drawn_from_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "breakers.md").read_text()
    found = re.search(r"<!-- breaker -->\n```mermaid\n(.*?)\n```\n<!-- /breaker -->", page, re.DOTALL)
    assert found is not None
    assert found[1] == picture()


def test_the_defaults_are_five_failures_in_a_row_half_of_ten_and_a_minute() -> None:
    subject = breaker()
    assert [call(subject, BAD, 0) for _ in range(4)] == [None] * 4
    moved = call(subject, BAD, 0)
    assert moved is not None
    assert (moved.after, moved.reason) == (State.OPEN, "5 failures in a row")
    assert (subject.retry_at(0), subject.state(59.9), subject.state(60)) == (60, State.OPEN, State.HALF_OPEN)


def test_a_rate_trips_when_it_is_reached_but_not_before_the_minimum_of_calls() -> None:
    subject = breaker()
    for _ in range(4):
        assert call(subject, BAD, 0) is None
        assert call(subject, OK, 0) is None
    assert call(subject, BAD, 0) is None  # 5 of 9, but 9 are too few to judge by
    moved = call(subject, OK, 0)
    assert moved is not None
    assert moved.reason == "5 of 10 calls failed"


def test_slow_calls_trip_only_where_the_policy_asks_for_it() -> None:
    for rate, reason in ((None, None), (0.3, "4 of 10 calls were slow")):
        subject = breaker(replace(PLAIN, slow_rate=rate))
        moves = [call(subject, OK, 0, took=10 if n % 3 == 0 else 1) for n in range(10)]
        assert [moved.reason if moved else None for moved in moves] == [*[None] * 9, reason]


def test_a_window_by_time_forgets_what_is_older_than_its_span() -> None:
    subject = breaker(replace(PLAIN, consecutive_failures=None))
    for _ in range(9):
        call(subject, BAD, 5)
    assert subject.snapshot(299).calls == 9
    assert subject.snapshot(300).calls == 0
    assert call(subject, OK, 300) is None


def test_a_window_by_calls_forgets_all_but_the_last() -> None:
    subject = breaker(Policy(window_calls=10, failure_rate=1.0, consecutive_failures=None))
    for n in range(25):
        call(subject, BAD if n < 20 and n % 2 else OK, float(n) * 1000)
    assert (subject.snapshot(0).calls, subject.snapshot(0).failures) == (10, 3)


def test_a_success_ends_the_row_of_failures() -> None:
    subject = breaker(replace(PLAIN, failure_rate=None))
    for outcome in [*[BAD] * 4, OK] * 10:
        assert call(subject, outcome, 0) is None


def test_a_call_that_never_reached_the_server_says_nothing_about_it() -> None:
    subject, now = bring(State.HALF_OPEN)
    before = subject.snapshot(now)
    assert call(subject, NOTHING, now) is None
    assert subject.snapshot(now) == before


def test_half_open_admits_so_many_probes_and_closes_when_all_have_succeeded() -> None:
    subject, now = bring(State.HALF_OPEN)
    assert subject.room(now) == 3
    permits = [subject.acquire(now) for _ in range(3)]
    assert (subject.room(now), subject.acquire(now), subject.retry_at(now)) == (0, None, now + 60)
    for permit in permits:
        assert permit is not None
        subject.record(permit, OK, 0.1, now + 1)
    assert (subject.state(now + 1), subject.room(now + 1)) == (State.CLOSED, UNLIMITED)


def test_one_failed_probe_opens_again_and_the_others_no_longer_count() -> None:
    subject, now = bring(State.HALF_OPEN)
    first, second = subject.acquire(now), subject.acquire(now)
    assert first is not None
    assert second is not None
    moved = subject.record(first, BAD, 0.1, now)
    assert moved is not None
    assert moved.after is State.OPEN
    again = now + 120  # the second wait is twice the first
    assert (subject.state(again - 1), subject.state(again)) == (State.OPEN, State.HALF_OPEN)
    assert subject.record(second, BAD, 0.1, again) is None
    assert subject.state(again) is State.HALF_OPEN


def test_a_probe_that_never_reports_makes_room_when_its_life_is_over() -> None:
    subject, now = bring(State.HALF_OPEN)
    lost = [subject.acquire(now) for _ in range(3)]
    assert (subject.room(now + 59), subject.room(now + 60)) == (0, 3)
    assert lost[0] is not None
    moved = subject.record(lost[0], BAD, 60, now + 60)  # late, but true of this server at this time
    assert moved is not None
    assert moved.after is State.OPEN


def test_a_slow_probe_fails_where_slowness_counts() -> None:
    for rate, state in ((None, State.HALF_OPEN), (0.5, State.OPEN)):
        subject = breaker(replace(PLAIN, slow_rate=rate))
        for _ in range(5):
            call(subject, BAD, 0)
        call(subject, OK, 60, took=10)
        assert subject.state(60) is state


def test_waits_grow_to_their_bound_and_start_anew_after_a_recovery() -> None:
    subject, now, waits = breaker(), 0.0, list[float]()
    for _ in range(5):
        call(subject, BAD, now)
    for _ in range(6):
        waits.append(subject.retry_at(now) - now)
        now = subject.retry_at(now)
        call(subject, BAD, now)
    assert waits == [60, 120, 240, 480, 600, 600]
    now = subject.retry_at(now)
    for outcome in [*[OK] * 3, *[BAD] * 5]:
        call(subject, outcome, now)
    assert subject.retry_at(now) - now == 60


def test_jitter_only_lengthens_a_wait_and_differs_between_breakers() -> None:
    waits: set[float] = set()
    for seed in range(20):
        subject = Breaker(Policy(jitter=0.1), random.Random(seed))
        for _ in range(5):
            call(subject, BAD, 0)
        waits.add(subject.retry_at(0))
    assert len(waits) == 20
    assert all(60 <= wait <= 66 for wait in waits)


@pytest.mark.parametrize("state", [State.FORCED_OPEN, State.CORDONED, State.DISABLED, State.METRICS_ONLY])
def test_a_state_by_hand_sticks_until_it_is_reset(state: State) -> None:
    subject = breaker()
    early = subject.acquire(0)
    assert early is not None
    subject.force(state, "disk is being replaced", 1)
    for now in range(2, 2000, 100):
        if permit := subject.acquire(now):
            subject.record(permit, BAD, 99, now)
        assert subject.state(now) is state
    assert subject.record(early, BAD, 1, 2000) is None
    shown = subject.snapshot(2000)
    assert (shown.reason, shown.since) == ("disk is being replaced", 1)
    assert shown.calls == (2 if state is State.METRICS_ONLY else 0)  # of the last 300 s
    assert subject.retry_at(2000) == (math.inf if state in SHUT else 2000)
    assert subject.reset(2001).after is State.CLOSED
    assert subject.snapshot(2001).failure_rate is None


@pytest.mark.parametrize("state", [State.CLOSED, State.OPEN, State.HALF_OPEN])
def test_states_that_calls_and_time_decide_cannot_be_forced(state: State) -> None:
    subject = breaker()
    with pytest.raises(ValueError, match="cannot be forced"):
        subject.force(state, "", 0)
    assert subject.last is None


def test_a_result_from_before_a_reset_does_not_count() -> None:
    subject = breaker()
    old = [subject.acquire(0) for _ in range(9)]
    subject.reset(1)
    for permit in old:
        assert isinstance(permit, Permit)
        assert subject.record(permit, BAD, 0.1, 2) is None
    assert subject.snapshot(2).calls == 0


# -- shared ------------------------------------------------------------------------------------------------


def shared(state: State = State.CLOSED, generation: int = 0, **fields: Any) -> Breaker:
    subject = Breaker(PLAIN, random.Random(7), shared=True)
    subject.follow(told(state, generation, **fields), 0)
    return subject


def told(state: State, generation: int, **fields: Any) -> Circuit:
    return Circuit(Word.OK, state=state, generation=generation, reason="told", **fields)


def test_a_shared_breaker_trips_at_once_and_leaves_word_of_it() -> None:
    for outcome, hard in ((BAD, False), (Outcome.DOWN, True)):
        subject = shared(State.CLOSED, 4)
        for _ in range(5):
            call(subject, outcome, 0)
        assert subject.state(0) is State.OPEN
        assert subject.findings == [Finding(Act.TRIP, 4, "5 failures in a row", hard)]


def test_it_follows_the_record_and_what_was_before_no_longer_counts() -> None:
    subject = shared()
    early = subject.acquire(0)
    assert early is not None
    moved = subject.follow(told(State.OPEN, 9, now_ms=1000, since_ms=500, open_until_ms=3000), 7)
    assert moved is not None
    assert (moved.before, moved.event, moved.after) == (State.CLOSED, Event.TRIP, State.OPEN)
    assert (subject.retry_at(7), subject.snapshot(7).since, subject.told) == (9, 6.5, 9)
    assert subject.record(early, BAD, 0.1, 8) is None
    assert subject.snapshot(8).calls == 0
    assert subject.follow(told(State.OPEN, 9), 8) is None


def test_half_open_it_admits_what_it_was_granted_and_says_how_each_probe_ended() -> None:
    subject = shared(State.HALF_OPEN, 5)
    assert subject.room(0) == 0
    subject.grant(("a", "b"), fresh=("a", "b", "c"))
    assert subject.room(0) == 2
    permits = [subject.acquire(0) for _ in range(2)]
    assert subject.acquire(0) is None
    for permit, outcome in zip(permits, (OK, BAD), strict=True):
        assert permit is not None
        subject.record(permit, outcome, 0.1, 1)
    assert [(found.act, found.grant) for found in subject.findings] == [
        (Act.PROVE, permits[0].grant if permits[0] else ""),
        (Act.DISPROVE, permits[1].grant if permits[1] else ""),
    ]
    assert subject.state(1) is State.OPEN


def test_a_grant_whose_call_has_ended_admits_no_second_one() -> None:
    subject = shared(State.HALF_OPEN, 5)
    subject.grant(("a",), fresh=("a",))
    permit = subject.acquire(0)
    assert permit is not None
    subject.record(permit, NOTHING, 0.1, 0)
    subject.grant(("a",))
    assert (subject.room(0), subject.findings) == (0, [])


def test_a_trip_that_was_refused_is_undone_and_deaths_go_on_counting() -> None:
    subject = shared()
    for outcome in [BAD, *[Outcome.DOWN] * 4]:
        call(subject, outcome, 0)
    assert not subject.findings.pop().hard
    subject.overruled(told(State.CLOSED, 0), 0)
    assert (subject.state(0), subject.snapshot(0).calls) == (State.CLOSED, 0)
    for _ in range(4):
        assert call(subject, Outcome.DOWN, 0) is None
    assert call(subject, Outcome.DOWN, 0) is not None
    assert subject.findings.pop().hard


def test_until_it_is_told_otherwise_its_own_judgement_holds() -> None:
    subject = shared()
    for _ in range(5):
        call(subject, BAD, 0)
    assert (subject.state(59), subject.state(60), subject.room(60)) == (State.OPEN, State.HALF_OPEN, 0)
    subject.follow(told(State.CLOSED, 0), 60)  # the record has not heard of it yet
    assert (subject.state(60), len(subject.findings)) == (State.HALF_OPEN, 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"window": 0}, "window is 0, but must be above 0"),
        ({"probes": -1}, "probes is -1"),
        ({"failure_rate": 0}, "failure_rate is 0, but must be above 0, or none"),
        ({"slow_rate": 1.5}, "slow_rate is 1.5, but must be 1 at most"),
        ({"recovery": 700.0}, "longest_recovery is 600.0, but must be at least 700.0"),
        ({"growth": math.nan}, "growth is nan, but must be at least 1"),
        ({"window_calls": 5}, "minimum_calls is 10, but window_calls holds 5 only"),
    ],
)
def test_a_policy_that_cannot_work_is_refused_by_name(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_a_busy_window_by_time_keeps_few_cells() -> None:
    subject = breaker(replace(PLAIN, failure_rate=None, consecutive_failures=None))
    for n in range(20_000):
        call(subject, BAD, n / 10)
    assert len(subject._window._cells) <= 30
    assert 2900 <= subject.snapshot(2000).calls <= 3000
