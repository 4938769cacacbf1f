"""The breaker of one server as all of its workers share it: its states, its lawful moves, its record.

    CLOSED ──trip──▶ OPEN ──waited──▶ HALF_OPEN ──proved──▶ CLOSED
                       ▲                  │
                       └────disproved─────┘
    any ──by hand──▶ FORCED_OPEN | CORDONED | DISABLED | METRICS_ONLY ──reset──▶ CLOSED

Each worker counts for itself and says what it found out; breaker.lua moves the record, by this table. Above
stand the workers and whoever looks after them; below is nothing. It must never know how a call is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mcpweft_schemas.word import Word


class State(StrEnum):
    """What the breaker does with calls."""

    CLOSED = "closed"
    """Admits all and watches."""
    OPEN = "open"
    """Admits none until its wait is over."""
    HALF_OPEN = "half_open"
    """Admits a few probes, which decide."""
    FORCED_OPEN = "forced_open"
    """Admits none until somebody resets it; calls under way that may run twice are tried elsewhere."""
    CORDONED = "cordoned"
    """Admits none until somebody resets it; calls under way finish."""
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
    """A probe has failed, or its permit ran out."""
    FORCE_OPEN = "force_open"
    """Somebody takes the server out."""
    CORDON = "cordon"
    """Somebody lets the server finish what it has, and take nothing more."""
    DISABLE = "disable"
    """Somebody switches the breaker off."""
    OBSERVE = "observe"
    """Somebody lets the breaker count only."""
    RESET = "reset"
    """Somebody undoes all of that."""


BY_HAND = {
    Event.FORCE_OPEN: State.FORCED_OPEN,
    Event.CORDON: State.CORDONED,
    Event.DISABLE: State.DISABLED,
    Event.OBSERVE: State.METRICS_ONLY,
    Event.RESET: State.CLOSED,
}
"""What somebody orders, and where it leads from every state."""
MOVES: dict[State, dict[Event, State]] = {
    State.CLOSED: {Event.TRIP: State.OPEN, **BY_HAND},
    State.OPEN: {Event.WAITED: State.HALF_OPEN, **BY_HAND},
    State.HALF_OPEN: {Event.PROVED: State.CLOSED, Event.DISPROVED: State.OPEN, **BY_HAND},
    State.FORCED_OPEN: BY_HAND,
    State.CORDONED: BY_HAND,
    State.DISABLED: BY_HAND,
    State.METRICS_ONLY: BY_HAND,
}
"""All lawful moves. A pair that is not here changes nothing."""
STICKS = frozenset({State.FORCED_OPEN, State.CORDONED, State.DISABLED, State.METRICS_ONLY})
"""States that only a hand leads to, and only a hand ends."""
SHUT = frozenset({State.OPEN, State.FORCED_OPEN, State.CORDONED})
"""States that admit no call."""


class Act(StrEnum):
    """What the store is asked to do with a record."""

    ASK = "ask"
    """Tell how it stands; writes nothing."""
    TRIP = "trip"
    """A window has reached a threshold."""
    PROBE = "probe"
    """Hold these permits for probes, as many of them as may be held, and give back all others."""
    PROVE = "prove"
    """The probe of a permit has succeeded."""
    DISPROVE = "disprove"
    """The probe of a permit has failed."""
    FORCE_OPEN = "force_open"
    """Take the server out."""
    CORDON = "cordon"
    """Let the server finish what it has."""
    DISABLE = "disable"
    """Switch its breaker off."""
    OBSERVE = "observe"
    """Let its breaker count only."""
    RESET = "reset"
    """Undo all of that."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a breaker may recover, as the caller's policy says. Milliseconds."""

    first_ms: int = 60_000
    growth: float = 2.0
    longest_ms: int = 600_000
    stretch: float = 1.0
    """What the next wait is multiplied by, drawn by the caller, so that a fleet does not probe in step."""
    probes: int = 3
    successes: int = 3
    life_ms: int = 3_000
    """After which a permit that was not asked for again takes the breaker back to OPEN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appeal:
    """One thing that is said of a server, by one of its workers or by hand."""

    act: Act
    server: str
    instance: str = ""
    """Whose record: the server where workers share one, else the worker; empty by hand."""
    worker: str = ""
    """Empty by hand."""
    generation: int | None = None
    """Of the record that this was decided on; another one makes it STALE. None by hand: whatever it is."""
    reason: str = ""
    hard: bool = False
    """Whether a TRIP is for failures that need no statistics."""
    mark: str = ""
    """By hand: what this order is known by, should it be repeated."""
    by: str = ""
    """By hand: who orders it."""
    pace: Pace = field(default_factory=Pace)
    permits: tuple[str, ...] = ()
    """PROBE: all that this worker holds or wants. PROVE, DISPROVE: the probe's own."""

    def arguments(self) -> tuple[Any, ...]:
        """Return what breaker.lua is handed."""
        pace = self.pace
        return (
            self.act.value, self.server, self.instance, self.worker,
            "" if self.generation is None else self.generation, self.reason, int(self.hard), self.mark,
            self.by,
            pace.first_ms, pace.growth, pace.longest_ms, pace.stretch, pace.probes, pace.successes,
            pace.life_ms, *self.permits,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Circuit:
    """A record as it is now. Milliseconds of the store's clock."""

    word: Word
    """OK, REPEAT, STALE (decided on another record), LAST (refused), UNKNOWN (no such pool or worker)."""
    now_ms: int = 0
    state: State = State.CLOSED
    generation: int = 0
    """0 where there is no record: nothing ever moved it. It grows with each move, past any deletion."""
    since_ms: int = 0
    reason: str = ""
    wait_ms: int = 0
    """Of the present series of openings, before it was stretched; 0 where closed."""
    open_until_ms: int = 0
    proved: int = 0
    by: str = ""
    """Who ordered it; empty where nobody did."""
    permits: tuple[str, ...] = ()
    """Those that the caller holds."""

    @classmethod
    def read(cls, raw: list[Any]) -> Circuit:
        """Read breaker.lua's answer."""
        word = Word(raw[0].decode())
        if len(raw) == 1:
            return cls(word)
        now, state, generation, since, reason, wait, until, proved, by = (
            value.decode() for value in raw[1:10]
        )
        return cls(
            word, int(now), State(state), int(generation), int(since), reason, int(wait), int(until),
            int(proved), by, tuple(name.decode() for name in raw[10:]),
        )  # fmt: skip


def by_hand(event: Event, server: str, reason: str, mark: str, by: str = "") -> Appeal:
    """Return the order that moves `server`, for all its workers. Raises ValueError for what no hand does."""
    if event not in BY_HAND:
        raise ValueError(f"{event} is found out, not ordered")
    return Appeal(act=Act(event.value), server=server, reason=reason, mark=mark, by=by)


def question(server: str) -> Appeal:
    """Return what asks how the record of `server` stands, for whoever is none of its workers."""
    return Appeal(act=Act.ASK, server=server, instance=server)


def home_of(capabilities: list[str] | tuple[str, ...]) -> str:
    """Return the pool in whose slot the record of a server with these capabilities lies."""
    return min(capabilities)


def picture() -> str:
    """Draw the table, for docs/breakers.md."""
    lines = ["stateDiagram-v2", "    [*] --> closed"]
    for state, moves in MOVES.items():
        lines += [f"    {state} --> {to}: {event}" for event, to in moves.items() if event not in BY_HAND]
    lines += [f"    any --> {to}: {event}" for event, to in BY_HAND.items()]
    return "\n".join(lines)
