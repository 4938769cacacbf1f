"""The circuit breaker of one MCP server: says whether, and how many, calls may go to it now.

    CLOSED ──trip──▶ OPEN ──wait over──▶ HALF_OPEN ──enough probes succeed──▶ CLOSED
                       ▲                     │
                       └────a probe fails────┘
    any ──force──▶ FORCED_OPEN | DISABLED | METRICS_ONLY ──reset──▶ CLOSED

Above stand the reader, which fetches no more requests than there is `room`, and the runner, which takes
a permit before a call and records how the call ended; below stands the window that counts calls.
It must never know what time it is, nor where its state is shared: `now` (seconds on any clock that only
grows) and the random source are arguments.

Every transition starts a new generation, and a permit carries the generation that granted it: the result
of a call that began before a transition says nothing about the server since, and is not counted.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from mcpweft_workers.window import Window

if TYPE_CHECKING:
    import random

UNLIMITED = sys.maxsize
"""The `room` of a breaker that holds nothing back."""


class State(StrEnum):
    """What the breaker does with calls."""

    CLOSED = "closed"
    """Admits all and watches."""
    OPEN = "open"
    """Admits none until its wait is over."""
    HALF_OPEN = "half_open"
    """Admits a few probes, which decide."""
    FORCED_OPEN = "forced_open"
    """Admits none until somebody resets it."""
    DISABLED = "disabled"
    """Admits all and counts nothing until somebody resets it."""
    METRICS_ONLY = "metrics_only"
    """Admits all and counts, but never trips, until somebody resets it."""


class Event(StrEnum):
    """What moves the breaker from state to state."""

    TRIP = "trip"
    """The window has reached a threshold."""
    WAITED = "waited"
    """The wait for recovery is over."""
    PROVED = "proved"
    """As many probes as the policy asks for have succeeded."""
    DISPROVED = "disproved"
    """A probe has failed."""
    FORCE_OPEN = "force_open"
    """Somebody takes the server out."""
    DISABLE = "disable"
    """Somebody switches the breaker off."""
    OBSERVE = "observe"
    """Somebody lets the breaker count only."""
    RESET = "reset"
    """Somebody undoes all of that."""


_BY_HAND = {
    Event.FORCE_OPEN: State.FORCED_OPEN,
    Event.DISABLE: State.DISABLED,
    Event.OBSERVE: State.METRICS_ONLY,
    Event.RESET: State.CLOSED,
}
MOVES: dict[State, dict[Event, State]] = {
    State.CLOSED: {Event.TRIP: State.OPEN, **_BY_HAND},
    State.OPEN: {Event.WAITED: State.HALF_OPEN, **_BY_HAND},
    State.HALF_OPEN: {Event.PROVED: State.CLOSED, Event.DISPROVED: State.OPEN, **_BY_HAND},
    State.FORCED_OPEN: _BY_HAND,
    State.DISABLED: _BY_HAND,
    State.METRICS_ONLY: _BY_HAND,
}
"""All lawful moves. A pair that is not here changes nothing."""


class Outcome(StrEnum):
    """What a call says about its server."""

    SUCCESS = "success"
    """It answered; a tool's own error is an answer."""
    FAILURE = "failure"
    """It died, hung, or broke the protocol."""
    NOTHING = "nothing"
    """The call never reached it, or was cancelled: its permit is given back uncounted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When to trip and how to recover; times in seconds, rates from 0 to 1. None switches a rule off.

    A threshold trips when it is reached (≥). Rates count over the window, once it holds `minimum_calls`.
    """

    window: float = 300.0
    """Span of the window by time."""
    window_calls: int | None = None
    """If given, the window is the last so many calls instead."""
    minimum_calls: int = 10
    consecutive_failures: int | None = 5
    failure_rate: float | None = 0.5
    slow_after: float = 10.0
    """A call that takes this long, however it ends, is slow."""
    slow_rate: float | None = None
    """Off by default: a tool may be slow by nature. When on, a slow probe fails."""
    recovery: float = 60.0
    """The first wait; it grows by `growth` with each failed recovery, up to `longest_recovery`."""
    growth: float = 2.0
    longest_recovery: float = 600.0
    jitter: float = 0.1
    """Each wait is longer by a random part of itself, up to this: the fleet must not probe in step."""
    probes: int = 3
    """At most so many probes at a time."""
    successes: int = 3
    """So many probes must succeed to close."""
    probe_life: float = 60.0
    """A probe that has not reported by then makes room for another: its worker may be gone."""

    def __post_init__(self) -> None:
        """Check each figure's range; ValueError names the first that is out of it."""
        for name in (
            "window",
            "minimum_calls",
            "slow_after",
            "recovery",
            "probes",
            "successes",
            "probe_life",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be above 0")
        for name in ("window_calls", "consecutive_failures", "failure_rate", "slow_rate"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"{name} is {value}, but must be above 0, or none to switch it off")
            if value is not None and name.endswith("rate") and value > 1:
                raise ValueError(f"{name} is {value}, but must be 1 at most")
        for name, floor in (("growth", 1), ("longest_recovery", self.recovery), ("jitter", 0)):
            if not getattr(self, name) >= floor:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least {floor}")
        if self.window_calls is not None and self.window_calls < self.minimum_calls:
            raise ValueError(
                f"minimum_calls is {self.minimum_calls}, but window_calls holds {self.window_calls} only"
            )


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call; hand it to `record` once, with that call's outcome."""

    generation: int
    number: int


@dataclass(frozen=True, slots=True)
class Transition:
    """A move that was made: from where to where, when, and why in words."""

    generation: int
    before: State
    event: Event
    after: State
    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The breaker at one moment, for status and metrics. Rates are None while nothing was counted."""

    state: State
    generation: int
    since: float
    reason: str
    retry_at: float
    """When the next call may go: now or earlier if at once, inf if only a reset or a result can tell."""
    calls: int
    failures: int
    slow: int
    consecutive_failures: int
    probing: int
    proved: int

    @property
    def failure_rate(self) -> float | None:
        """Failed calls by all calls in the window."""
        return self.failures / self.calls if self.calls else None

    @property
    def slow_rate(self) -> float | None:
        """Slow calls by all calls in the window."""
        return self.slow / self.calls if self.calls else None


class Breaker:
    """The state machine. Time passes in whatever method is told a `now`; there is no timer."""

    def __init__(self, policy: Policy, rng: random.Random, now: float = 0.0) -> None:
        self.policy = policy
        self._rng = rng
        self._state = State.CLOSED
        self._generation = 0
        self._since = now
        self._reason = "started"
        self._number = 0  # of the last permit
        self._wait = 0.0  # the wait of the current series of openings, without jitter; 0: none
        self._open_until = 0.0
        self._begin()
        self.last: Transition | None = None
        """The latest move, for whoever reports moves that were made by time alone."""

    def _begin(self) -> None:
        self._window = Window(self.policy.window, self.policy.window_calls)
        self._streak = 0  # failures in a row
        self._probing: dict[int, float] = {}  # permit number → when its place is given to another
        self._proved = 0

    def state(self, now: float) -> State:
        """Return the state at `now`."""
        self._pass_time(now)
        return self._state

    def room(self, now: float) -> int:
        """Return how many permits may be taken now; `UNLIMITED` when calls are not held back."""
        self._pass_time(now)
        if self._state in {State.OPEN, State.FORCED_OPEN}:
            return 0
        if self._state is not State.HALF_OPEN:
            return UNLIMITED
        wanted = min(self.policy.probes, self.policy.successes - self._proved)
        return max(0, wanted - len(self._probing))

    def acquire(self, now: float) -> Permit | None:
        """Take a permit for one call, or return None when no call may go."""
        if not self.room(now):
            return None
        self._number += 1
        if self._state is State.HALF_OPEN:
            self._probing[self._number] = now + self.policy.probe_life
        return Permit(self._generation, self._number)

    def record(self, permit: Permit, outcome: Outcome, took: float, now: float) -> Transition | None:
        """Book how the call of `permit` ended, after `took` seconds; return the move it caused, if any.

        A permit of an earlier generation is ignored. One whose place as a probe was given to another
        still counts: what it says about the server is true.
        """
        self._pass_time(now)
        if permit.generation != self._generation:
            return None
        self._probing.pop(permit.number, None)
        if outcome is Outcome.NOTHING or self._state is State.DISABLED:
            return None
        failed, slow = outcome is Outcome.FAILURE, took >= self.policy.slow_after
        self._window.add(now, failed=failed, slow=slow)
        self._streak = self._streak + 1 if failed else 0
        if self._state is State.HALF_OPEN:
            return self._judge(now, failed=failed, slow=slow)
        reason = self._excess()
        return self._move(Event.TRIP, reason, now) if reason else None

    def force(self, state: State, reason: str, now: float) -> Transition:
        """Go to FORCED_OPEN, DISABLED or METRICS_ONLY and stay there until `reset`.

        Raises ValueError for the other states, which only calls and time lead to.
        """
        for event, target in _BY_HAND.items():
            if target is state and event is not Event.RESET:
                return self._must(event, reason, now)
        raise ValueError(f"{state} cannot be forced; forced_open, disabled and metrics_only can")

    def reset(self, now: float, reason: str = "reset") -> Transition:
        """Go to CLOSED with nothing counted and the first wait ahead."""
        return self._must(Event.RESET, reason, now)

    def retry_at(self, now: float) -> float:
        """Return when a call may go: `now`, a later time, or inf if only a reset or a result can tell."""
        if self.room(now):
            return now
        if self._state is State.OPEN:
            return self._open_until
        return min(self._probing.values(), default=math.inf)

    def snapshot(self, now: float) -> Snapshot:
        """Return all figures at `now`."""
        retry_at = self.retry_at(now)
        self._window.move(now)
        return Snapshot(
            state=self._state,
            generation=self._generation,
            since=self._since,
            reason=self._reason,
            retry_at=retry_at,
            calls=self._window.calls,
            failures=self._window.failures,
            slow=self._window.slow,
            consecutive_failures=self._streak,
            probing=len(self._probing),
            proved=self._proved,
        )

    def _pass_time(self, now: float) -> None:
        if self._state is State.OPEN and now >= self._open_until:
            self._move(Event.WAITED, "the wait for recovery is over", now)
        if self._probing:
            self._probing = {number: end for number, end in self._probing.items() if now < end}

    def _judge(self, now: float, *, failed: bool, slow: bool) -> Transition | None:
        if failed:
            return self._move(Event.DISPROVED, "a probe failed", now)
        if slow and self.policy.slow_rate is not None:
            return self._move(Event.DISPROVED, "a probe was slow", now)
        self._proved += 1
        if self._proved < self.policy.successes:
            return None
        return self._move(Event.PROVED, f"{self._proved} probes succeeded", now)

    def _excess(self) -> str:
        """Return which threshold is reached, in words, or the empty string."""
        policy, window = self.policy, self._window
        if policy.consecutive_failures is not None and self._streak >= policy.consecutive_failures:
            return f"{self._streak} failures in a row"
        if window.calls < policy.minimum_calls:
            return ""
        rules = (
            ("failed", window.failures, policy.failure_rate),
            ("were slow", window.slow, policy.slow_rate),
        )
        for what, count, limit in rules:
            if limit is not None and count / window.calls >= limit:
                return f"{count} of {window.calls} calls {what}"
        return ""

    def _must(self, event: Event, reason: str, now: float) -> Transition:
        move = self._move(event, reason, now)
        assert move is not None, f"{event} is lawful in every state"  # noqa: S101  # MOVES says so
        return move

    def _move(self, event: Event, reason: str, now: float) -> Transition | None:
        after = MOVES[self._state].get(event)
        if after is None:
            return None
        if after is State.OPEN:
            self._wait = min(
                self._wait * self.policy.growth or self.policy.recovery, self.policy.longest_recovery
            )
            self._open_until = now + self._wait * (1 + self.policy.jitter * self._rng.random())
        elif after is not State.HALF_OPEN:
            self._wait = 0.0
        self._generation += 1
        self.last = Transition(self._generation, self._state, event, after, now, reason)
        self._state, self._since, self._reason = after, now, reason
        self._begin()
        return self.last
