"""`[breaker]`: when the breaker that a worker was given opens, and when it closes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.config import Config
from mcpweft_workers.breaker import UNLIMITED, Breaker, Outcome, State
from mcpweft_workers.entry import WorkerOptions, plan_of

if TYPE_CHECKING:
    from mcpweft_workers.plan import Plan

OFTEN = 10_000
"""A figure that no test reaches, to switch a rule off."""


def planned(**keys: Any) -> Plan:
    config = Config.model_validate({"servers": {"echo": {"command": "echo"}}, "breaker": keys})
    return plan_of(WorkerOptions(config=config, store_url="redis://x", server="echo"))


class Played:
    """The breaker of a worker with these keys, at a time that the test makes pass."""

    def __init__(self, **keys: Any) -> None:
        self.breaker = Breaker(planned(**keys).breaker, random.Random(1))
        self.now = 0.0

    def call(self, outcome: Outcome, took: float = 0.0, apart: float = 1.0) -> None:
        self.now += apart
        permit = self.breaker.acquire(self.now)
        if permit is not None:
            self.breaker.record(permit, outcome, took, self.now)

    def fail(self, count: int, apart: float = 1.0) -> Played:
        for _ in range(count):
            self.call(Outcome.FAILURE, apart=apart)
        return self

    def succeed(self, count: int, took: float = 0.0) -> Played:
        for _ in range(count):
            self.call(Outcome.SUCCESS, took)
        return self

    @property
    def state(self) -> State:
        return self.breaker.state(self.now)


def test_so_many_failures_in_a_row_open_it() -> None:
    assert Played(failure_threshold=3).fail(2).state is State.CLOSED
    assert Played(failure_threshold=3).fail(3).state is State.OPEN
    assert Played(failure_threshold=7).fail(6).state is State.CLOSED


def test_the_window_is_one_of_time_or_of_outcomes() -> None:
    keys = {"failure_threshold": OFTEN, "min_calls": 4, "window": "1m", "count": 4}
    assert Played(kind="count", **keys).fail(4, apart=3600).state is State.OPEN
    assert Played(kind="time", **keys).fail(4, apart=3600).state is State.CLOSED


def test_a_window_of_time_forgets_what_is_older() -> None:
    keys = {"failure_threshold": OFTEN, "min_calls": 4}
    assert Played(window="10s", **keys).fail(8, apart=5).state is State.CLOSED
    assert Played(window="1m", **keys).fail(8, apart=5).state is State.OPEN


def test_a_window_of_outcomes_forgets_what_is_older() -> None:
    keys = {"failure_threshold": OFTEN, "min_calls": 4, "kind": "count"}
    assert Played(count=4, **keys).succeed(20).fail(2).state is State.OPEN
    assert Played(count=100, **keys).succeed(20).fail(2).state is State.CLOSED


def test_no_rate_opens_it_before_there_are_so_many_calls() -> None:
    assert Played(failure_threshold=OFTEN, min_calls=8).fail(7).state is State.CLOSED
    assert Played(failure_threshold=OFTEN, min_calls=8).fail(8).state is State.OPEN


def test_that_part_of_failures_opens_it() -> None:
    keys = {"failure_threshold": OFTEN, "min_calls": 10}
    assert Played(failure_rate=0.3, **keys).succeed(10).fail(6).state is State.OPEN
    assert Played(failure_rate=0.6, **keys).succeed(10).fail(6).state is State.CLOSED


def test_calls_that_take_longer_are_slow() -> None:
    assert Played(slow_call="2s").succeed(10, took=3.0).state is State.OPEN
    assert Played(slow_call="4s").succeed(10, took=3.0).state is State.CLOSED
    assert Played().succeed(10, took=300.0).state is State.CLOSED  # a tool may be slow by nature


def test_that_part_of_slow_calls_opens_it() -> None:
    assert Played(slow_call="2s", slow_rate=0.3).succeed(7).succeed(5, took=3.0).state is State.OPEN
    assert Played(slow_call="2s", slow_rate=0.8).succeed(7).succeed(5, took=3.0).state is State.CLOSED


def test_it_stays_open_for_its_time() -> None:
    played = Played(recovery="20s").fail(5)
    opened = played.now
    played.now = opened + 19.9
    assert (played.state, played.breaker.room(played.now)) == (State.OPEN, 0)
    played.now = opened + 22.0  # up to a tenth later, so that a fleet does not probe in step
    assert played.state is State.HALF_OPEN


def test_so_many_probes_go_and_must_succeed() -> None:
    for probes in (1, 2, 5):
        played = Played(recovery="20s", probes=probes).fail(5)
        played.now += 22.0
        assert played.breaker.room(played.now) == probes
        assert played.succeed(probes - 1).state is State.HALF_OPEN
        assert played.succeed(1).state is State.CLOSED
        assert played.breaker.room(played.now) == UNLIMITED


def test_what_counts_as_a_failure_is_told() -> None:
    assert planned().rules.weights == {
        "SERVER_DIED": Outcome.DOWN,
        "CONNECTION_FAILED": Outcome.DOWN,
        "SESSION_LOST": Outcome.DOWN,
        "ATTEMPT_TIMEOUT": Outcome.FAILURE,
        "PROTOCOL": Outcome.FAILURE,
    }
    assert planned(failures=["tool_error"]).rules.weights == {"TOOL_ERROR": Outcome.FAILURE}
