"""The breaker against an oracle that remembers every call; and broken breakers that it must tell apart."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mcpweft_workers import breaker as real

MANY = 1_000_000
SOURCE = Path(real.__file__).read_text()
CLEAR = {"forced_open": 0, "cordoned": 0, "disabled": MANY, "metrics_only": MANY, "closed": MANY, "open": 0}


@dataclass
class Oracle:
    """The breaker's rules, told from the full history: slow, unbounded, and obvious."""

    policy: real.Policy
    state: str = "closed"
    generation: int = 0
    calls: list[tuple[float, bool, bool]] = field(default_factory=list[tuple[float, bool, bool]])
    probes: dict[int, float] = field(default_factory=dict[int, float])
    proved: int = 0
    failed_recoveries: int = 0
    due: float = 0.0

    def go(self, state: str) -> None:
        if state == "open":
            self.failed_recoveries += 1
        elif state != "half_open":
            self.failed_recoveries = 0
        self.state, self.generation = state, self.generation + 1
        self.calls, self.probes, self.proved = [], {}, 0

    def pass_time(self, now: float) -> None:
        if self.state == "open" and now >= self.due:
            self.go("half_open")

    def shortest_wait(self) -> float:
        grown = self.policy.recovery * self.policy.growth ** (self.failed_recoveries - 1)
        return min(grown, self.policy.longest_recovery)

    def room(self, now: float) -> int:
        if self.state != "half_open":
            return CLEAR[self.state]
        out = sum(now < end for end in self.probes.values())
        return max(0, min(self.policy.probes, self.policy.successes - self.proved) - out)

    def window(self, now: float) -> list[tuple[float, bool, bool]]:
        if self.policy.window_calls:
            return self.calls[-self.policy.window_calls :]
        cell = self.policy.window / 30
        return [call for call in self.calls if call[0] // cell > now // cell - 30]

    def streak(self) -> int:
        outcomes = "".join("f" if failed else "." for _, failed, _ in self.calls)
        return len(outcomes) - len(outcomes.rstrip("f"))

    def record(self, permit: Any, outcome: str, took: float, now: float) -> None:
        if permit.generation != self.generation:
            return
        self.probes.pop(permit.number, None)
        if outcome == "nothing" or self.state == "disabled":
            return
        failed, slow = outcome == "failure", took >= self.policy.slow_after
        self.calls.append((now, failed, slow))
        if self.state == "half_open":
            if failed or (slow and self.policy.slow_rate is not None):
                self.go("open")
                return
            self.proved += 1
            if self.proved == self.policy.successes:
                self.go("closed")
        elif self.state == "closed" and self.must_trip(now):
            self.go("open")

    def must_trip(self, now: float) -> bool:
        policy, window = self.policy, self.window(now)
        if policy.consecutive_failures is not None and self.streak() >= policy.consecutive_failures:
            return True
        if len(window) < policy.minimum_calls:
            return False
        failures, slow = sum(call[1] for call in window), sum(call[2] for call in window)
        by_failures = policy.failure_rate is not None and failures / len(window) >= policy.failure_rate
        by_slowness = policy.slow_rate is not None and slow / len(window) >= policy.slow_rate
        return by_failures or by_slowness


POLICIES = st.builds(
    real.Policy,
    window=st.just(30.0),
    window_calls=st.sampled_from([None, None, 6]),
    minimum_calls=st.sampled_from([4, 6]),
    consecutive_failures=st.sampled_from([None, 3]),
    failure_rate=st.sampled_from([None, 0.5, 0.5]),
    slow_after=st.just(2.0),
    slow_rate=st.sampled_from([None, 0.75]),
    recovery=st.just(10.0),
    longest_recovery=st.just(35.0),
    jitter=st.sampled_from([0.0, 0.5]),
    probes=st.sampled_from([1, 2]),
    successes=st.sampled_from([2, 3]),
    probe_life=st.just(8.0),
)


class Machine(RuleBasedStateMachine):
    """Random histories of calls, waits and hands; after each step both must tell the same."""

    module: ModuleType = real  # or a mutant

    @initialize(policy=POLICIES, seed=st.integers(0, 99))
    def begin(self, policy: real.Policy, seed: int) -> None:
        self.now = 0.0
        self.oracle = Oracle(policy)
        values = {name: getattr(policy, name) for name in real.Policy.__slots__}
        self.subject = self.module.Breaker(self.module.Policy(**values), random.Random(seed))
        self.permits: list[Any] = []

    def call(self, outcome: str, took: float) -> None:
        permit = self.subject.acquire(self.now)
        assert (permit is not None) == (self.oracle.room(self.now) > 0)
        if permit is not None:
            self.take(permit)
            self.end(self.permits.pop(), outcome, took)

    def take(self, permit: Any) -> None:
        assert permit.generation == self.oracle.generation
        if self.oracle.state == "half_open":
            self.oracle.probes[permit.number] = self.now + self.oracle.policy.probe_life
        self.permits.append(permit)

    def end(self, permit: Any, outcome: str, took: float) -> None:
        before = self.oracle.generation
        moved = self.subject.record(permit, self.module.Outcome(outcome), took, self.now)
        self.oracle.record(permit, outcome, took, self.now)
        assert (moved is not None) == (self.oracle.generation > before)
        self.note_wait()

    def note_wait(self) -> None:
        """Take over the wait that chance has chosen, once it is seen to lie within its bounds."""
        if self.oracle.state == "open" and not self.oracle.calls and self.subject.state(self.now) == "open":
            wait = self.subject.retry_at(self.now) - self.subject.last.at
            shortest = self.oracle.shortest_wait()
            assert shortest <= wait <= shortest * (1 + self.oracle.policy.jitter)
            self.oracle.due = self.subject.retry_at(self.now)

    @rule(
        outcomes=st.lists(
            st.sampled_from(["success", "failure", "failure", "nothing"]), min_size=1, max_size=7
        )
    )
    def calls(self, outcomes: list[str]) -> None:
        for outcome in outcomes:
            self.call(outcome, 0.5)

    @rule(count=st.integers(1, 5), took=st.sampled_from([1.0, 2.0, 3.0]))
    def slow_calls(self, count: int, took: float) -> None:
        for _ in range(count):
            self.call("success", took)

    @rule()
    def acquire(self) -> None:
        permit = self.subject.acquire(self.now)
        assert (permit is not None) == (self.oracle.room(self.now) > 0)
        if permit is not None:
            self.take(permit)

    @precondition(lambda self: self.permits)
    @rule(which=st.integers(0, 99), outcome=st.sampled_from(["success", "failure", "nothing"]))
    def report(self, which: int, outcome: str) -> None:
        self.end(self.permits.pop(which % len(self.permits)), outcome, 1.0)

    @rule(seconds=st.sampled_from([0.25, 1.0, 7.5, 8.0, 29.0, 30.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.oracle.pass_time(self.now)

    @precondition(lambda self: self.oracle.state == "open")
    @rule(offset=st.sampled_from([-0.5, 0.0]))
    def wait_until_due(self, offset: float) -> None:
        self.wait(max(0.0, self.oracle.due + offset - self.now))

    @rule(state=st.sampled_from(["forced_open", "cordoned", "disabled", "metrics_only", *3 * ["closed"]]))
    def by_hand(self, state: str) -> None:
        if state == "closed":
            self.subject.reset(self.now)
        else:
            self.subject.force(self.module.State(state), "by hand", self.now)
        self.oracle.go(state)

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "oracle"):
            return
        now, oracle, shown = self.now, self.oracle, self.subject.snapshot(self.now)
        window = oracle.window(now)
        assert (shown.state, shown.generation) == (oracle.state, oracle.generation)
        assert min(self.subject.room(now), MANY) == oracle.room(now)
        assert (shown.calls, shown.failures) == (len(window), sum(call[1] for call in window))
        assert (shown.slow, shown.consecutive_failures) == (sum(call[2] for call in window), oracle.streak())
        assert (shown.retry_at <= now) == (oracle.room(now) > 0)


TestBreakerMachine = Machine.TestCase
TestBreakerMachine.settings = settings(max_examples=150, stateful_step_count=40)

MUTANTS = {
    "trips above the rate only": ("/ window.calls >= limit", "/ window.calls > limit"),
    "trips one failure late": (
        "self._streak >= policy.consecutive_failures",
        "self._streak > policy.consecutive_failures",
    ),
    "judges by too few calls": (
        "if window.calls < policy.minimum_calls",
        "if window.calls < policy.minimum_calls - 1",
    ),
    "counts results of an earlier generation": (
        "if permit.generation != self._generation:",
        "if permit.generation < 0:",
    ),
    "probes without bound": ("return max(0, wanted - len(self._probing))", "return wanted"),
    "lost probes hold their place for ever": ("if now < end}", "if end}"),
    "a failed probe is forgiven": (
        '        if failed:\n            bad = "a probe failed"',
        '        if 0:\n            bad = "a probe failed"',
    ),
    "a slow probe is forgiven": ("if slow and self.policy.slow_rate is not None", "if slow and 0"),
    "waits do not grow": ("self._wait * self.policy.growth or self.policy.recovery", "self.policy.recovery"),
    "waits grow without bound": ("self.policy.longest_recovery\n            )", "1e9\n            )"),
    "recovers a moment late": ("now >= self._open_until", "now > self._open_until"),
    "a success does not end the row": ("self._streak + 1 if failed else 0", "self._streak + failed"),
    "a call that said nothing counts": ("outcome is Outcome.NOTHING or ", ""),
    "closing keeps the long wait": ("            self._wait = 0.0\n", "            pass\n"),
    "metrics only trips": (
        "if not reason or self._state is not State.CLOSED:\n            return None",
        "if not reason:\n            return None\n        self._state = State.CLOSED",
    ),
    "the window survives a move": (
        "        self._begin()\n        return self.last",
        "        return self.last",
    ),
}


def machine_of(source: str, monkeypatch: pytest.MonkeyPatch) -> type[Machine]:
    name = "copy_of_breaker"
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)  # dataclasses look their module up
    exec(compile(source, name, "exec"), module.__dict__)  # noqa: S102  # our own source
    return type("Copy", (Machine,), {"module": module})


def check(machine: type[Machine], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            print_blob=False,
        ),
    )


def test_an_unbroken_copy_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    check(machine_of(SOURCE, monkeypatch), 100)


@pytest.mark.parametrize("fault", MUTANTS)
def test_a_broken_breaker_is_told_from_a_sound_one(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sound, broken = MUTANTS[fault]
    assert SOURCE.count(sound) == 1, f"the line that {fault!r} breaks has changed"
    with pytest.raises(AssertionError):
        check(machine_of(SOURCE.replace(sound, broken), monkeypatch), 500)
