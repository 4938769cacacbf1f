"""The circuit breaker of one MCP server: says whether, and how many, calls may go to it now.

    CLOSED ──trip──▶ OPEN ──wait over──▶ HALF_OPEN ──enough probes succeed──▶ CLOSED
                       ▲                     │
                       └────a probe fails────┘
    any ──force──▶ FORCED_OPEN | CORDONED | DISABLED | METRICS_ONLY ──reset──▶ CLOSED

Above stand the reader, which fetches no more requests than there is `room`, and the runner, which takes
a permit before a call and records how the call ended; below stands the window that counts calls.
It must never know what time it is, nor where its state is shared: `now` (seconds on any clock that only
grows) and the random source are arguments.

One that is `shared` counts alone and moves with others. It trips at once and leaves a `Finding` for whoever
tells the record of all; it follows what that record says; half open, it admits as many probes as it was
granted there. Until it is told otherwise, its own judgement holds.

Every transition starts a new generation, and a permit carries the generation that granted it: the result
of a call that began before a transition says nothing about the server since, and is not counted.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from mcpweft_schemas.circuit import BY_HAND, MOVES, SHUT, Act, Event, State
from mcpweft_workers.policy import Policy
from mcpweft_workers.window import Window

if TYPE_CHECKING:
    import random

    from mcpweft_schemas.circuit import Circuit

__all__ = [
    "MOVES",
    "UNLIMITED",
    "Breaker",
    "Event",
    "Finding",
    "Outcome",
    "Permit",
    "Policy",
    "Snapshot",
    "State",
    "Transition",
]

UNLIMITED = sys.maxsize
"""The `room` of a breaker that holds nothing back."""


class Outcome(StrEnum):
    """What a call says about its server."""

    SUCCESS = "success"
    """It answered; a tool's own error is an answer."""
    FAILURE = "failure"
    """It hung, or broke the protocol."""
    DOWN = "down"
    """It died, or could not be reached: a failure that needs no figures beside it."""
    NOTHING = "nothing"
    """The call never reached it, or was cancelled: its permit is given back uncounted."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call; hand it to `record` once, with that call's outcome."""

    generation: int
    number: int
    grant: str = ""
    """What the record of all workers calls it, where it is a shared breaker's probe."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a shared breaker found out, and the record of all workers has yet to be told."""

    act: Act
    generation: int
    """Of the record that it was found out under."""
    reason: str
    hard: bool = False
    grant: str = ""


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

    def __init__(self, policy: Policy, rng: random.Random, now: float = 0.0, *, shared: bool = False) -> None:
        self.policy = policy
        self.shared = shared
        self.told = 0
        """Generation of the record that it follows; 0 for one that nothing has moved."""
        self.findings: list[Finding] = []
        """What the record is to be told, in this order."""
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
        self._down = 0  # those that need no figures, in a row
        self._probing: dict[int, float] = {}  # permit number → when its place is given to another
        self._proved = 0
        self._spare: list[str] = []  # granted, and no call has it yet
        self._used: dict[int, str] = {}  # permit number → the grant that its call runs under

    def state(self, now: float) -> State:
        """Return the state at `now`."""
        self._pass_time(now)
        return self._state

    def room(self, now: float) -> int:
        """Return how many permits may be taken now; `UNLIMITED` when calls are not held back."""
        self._pass_time(now)
        if self._state in SHUT:
            return 0
        if self._state is not State.HALF_OPEN:
            return UNLIMITED
        if self.shared:
            return len(self._spare)
        wanted = min(self.policy.probes, self.policy.successes - self._proved)
        return max(0, wanted - len(self._probing))

    def acquire(self, now: float) -> Permit | None:
        """Take a permit for one call, or return None when no call may go."""
        if not self.room(now):
            return None
        self._number += 1
        if self._state is State.HALF_OPEN and self.shared:
            grant = self._used[self._number] = self._spare.pop()
            return Permit(self._generation, self._number, grant)
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
        self._used.pop(permit.number, None)
        if outcome is Outcome.NOTHING or self._state is State.DISABLED:
            return None
        failed, slow = outcome is not Outcome.SUCCESS, took >= self.policy.slow_after
        self._window.add(now, failed=failed, slow=slow)
        self._streak = self._streak + 1 if failed else 0
        self._down = self._down + 1 if outcome is Outcome.DOWN else 0
        if self._state is State.HALF_OPEN:
            return self._judge(permit, now, failed=failed, slow=slow)
        reason = self._excess()
        if not reason or self._state is not State.CLOSED:
            return None
        most = self.policy.consecutive_failures
        hard, down = most is not None and self._down >= most, self._down
        self._find(Act.TRIP, reason, hard=hard)
        move = self._move(Event.TRIP, reason, now)
        self._down = down  # should the figures be overruled, what is beyond them still counts
        return move

    # --- what it shares

    def _find(self, act: Act, reason: str, *, hard: bool = False, grant: str = "") -> None:
        if self.shared:
            self.findings.append(Finding(act, self.told, reason, hard, grant))

    def follow(self, record: Circuit, now: float) -> Transition | None:
        """Stand as the record of all workers does; return the move that was, if any.

        What was counted before a move that this worker did not know of says nothing of the time after it.
        """
        self._proved = record.proved if record.state is State.HALF_OPEN else 0
        if record.generation == self.told:
            return None
        self._pass_time(now)
        self.told = record.generation
        self.findings = [found for found in self.findings if found.generation == self.told]
        return self._stand(record, now)

    def overruled(self, record: Circuit, now: float) -> Transition | None:
        """Go back to where the record stands: a trip of this worker's was refused there."""
        down = self._down
        move = self._stand(record, now)
        self._down = down
        return move

    def _stand(self, record: Circuit, now: float) -> Transition | None:
        before, self._state = self._state, record.state
        self._generation = max(self._generation + 1, record.generation)
        self._since = now - max(0, record.now_ms - record.since_ms) / 1000
        self._reason = record.reason
        self._wait = record.wait_ms / 1000
        self._open_until = now + (record.open_until_ms - record.now_ms) / 1000
        self._begin()
        self._proved = record.proved
        if before is self._state:
            return None
        event = next((event for event, after in MOVES[before].items() if after is self._state), Event.RESET)
        self.last = Transition(self._generation, before, event, self._state, now, record.reason)
        return self.last

    def grant(self, grants: tuple[str, ...], fresh: tuple[str, ...] = ()) -> None:
        """Hold no other grants than these: `fresh` ones, and those that no call has yet, admit a probe each.

        One whose call has ended meanwhile is neither.
        """
        if self._state is State.HALF_OPEN:
            self._spare = [name for name in grants if name in self._spare or name in fresh]

    @property
    def spare(self) -> tuple[str, ...]:
        """Grants that no call has yet."""
        return tuple(self._spare)

    @property
    def used(self) -> tuple[str, ...]:
        """Grants under which calls run."""
        return tuple(self._used.values())

    # --- by hand

    def force(self, state: State, reason: str, now: float) -> Transition:
        """Go to FORCED_OPEN, CORDONED, DISABLED or METRICS_ONLY and stay there until `reset`.

        Raises ValueError for the other states, which only calls and time lead to.
        """
        for event, target in BY_HAND.items():
            if target is state and event is not Event.RESET:
                return self._must(event, reason, now)
        raise ValueError(f"{state} cannot be forced; forced_open, cordoned, disabled and metrics_only can")

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
            probing=len(self._probing) + len(self._used),
            proved=self._proved,
        )

    def _pass_time(self, now: float) -> None:
        if self._state is State.OPEN and now >= self._open_until:
            self._move(Event.WAITED, "the wait for recovery is over", now)
        if self._probing:
            self._probing = {number: end for number, end in self._probing.items() if now < end}

    def _judge(self, permit: Permit, now: float, *, failed: bool, slow: bool) -> Transition | None:
        bad = ""
        if failed:
            bad = "a probe failed"
        elif slow and self.policy.slow_rate is not None:
            bad = "a probe was slow"
        if bad:
            self._find(Act.DISPROVE, bad, grant=permit.grant)
            return self._move(Event.DISPROVED, bad, now)
        self._proved += 1
        if self.shared:  # others probe too: the record knows how many have succeeded
            self._find(Act.PROVE, "a probe succeeded", grant=permit.grant)
            return None
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
