"""The life of a request: its states, the events that move it, and the one table that says which may when.

The scripts in `lua/` carry these moves out; the tests walk the whole table against them, and the
picture in docs/protocol.md is drawn from it. Nothing here knows that a store exists.
"""

from __future__ import annotations

from enum import StrEnum


class Class(StrEnum):
    """A priority class, and the name of its work stream."""

    CRITICAL = "critical"
    """Priority 9 and 10: 8 of 15 turns."""
    HIGH = "high"
    """Priority 7 and 8: 4 of 15 turns."""
    NORMAL = "normal"
    """Priority 4 to 6: 2 of 15 turns."""
    LOW = "low"
    """Priority 0 to 3: 1 of 15 turns."""

    @classmethod
    def of(cls, priority: int) -> Class:
        """Return the class of a priority from 0 to 10; ValueError outside."""
        if not 0 <= priority <= 10:  # noqa: PLR2004  # the scale's ends
            raise ValueError(f"priority {priority} is not between 0 and 10")
        for floor, name in ((9, cls.CRITICAL), (7, cls.HIGH), (4, cls.NORMAL)):
            if priority >= floor:
                return name
        return cls.LOW


class State(StrEnum):
    """Where a request stands."""

    QUEUED = "queued"
    """In its class's stream, untouched."""
    DELAYED = "delayed"
    """Waiting for a time: the caller's delay, or a retry's backoff."""
    RUNNING = "running"
    """Delivered to a worker, which has not settled it."""
    DONE = "done"
    """Ended with the server's answer, be it a result, a tool's error or a refusal."""
    DEAD = "dead"
    """Ended without an answer and kept for replay."""
    CANCELLED = "cancelled"
    """Ended by a cancel."""
    EXPIRED = "expired"
    """Ended by its deadline, its `start_within`, or for want of a server."""


FINAL = frozenset({State.DONE, State.DEAD, State.CANCELLED, State.EXPIRED})
"""The states that no event leaves."""


class Event(StrEnum):
    """What may happen to a request."""

    FETCH = "fetch"
    """A worker with room takes it."""
    PROMOTE = "promote"
    """Its delay is over: it joins its class's stream."""
    POSTPONE = "postpone"
    """A worker that cannot read its version leaves it for a newer one."""
    DONE = "done"
    """Its worker settles it with an answer."""
    RETRY = "retry"
    """Its worker settles it for another attempt."""
    GIVE_UP = "give up"
    """No further attempt is allowed."""
    RELEASE = "release"
    """Its worker gives it back unstarted."""
    CANCEL = "cancel"
    """Somebody cancels it (a running one first gets a second of grace)."""
    EXPIRE = "expire"
    """Its time is over."""
    RECLAIM = "reclaim"
    """Its worker is dead and it may run again."""
    LOSE = "lose"
    """Its worker is dead, or its grace over, and it must not run again."""


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.QUEUED, Event.FETCH): State.RUNNING,
    (State.QUEUED, Event.POSTPONE): State.DELAYED,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    (State.QUEUED, Event.EXPIRE): State.EXPIRED,
    (State.DELAYED, Event.FETCH): State.RUNNING,
    (State.DELAYED, Event.PROMOTE): State.QUEUED,
    (State.DELAYED, Event.CANCEL): State.CANCELLED,
    (State.DELAYED, Event.EXPIRE): State.EXPIRED,
    (State.RUNNING, Event.DONE): State.DONE,
    (State.RUNNING, Event.RETRY): State.DELAYED,
    (State.RUNNING, Event.RELEASE): State.DELAYED,
    (State.RUNNING, Event.RECLAIM): State.DELAYED,
    (State.RUNNING, Event.GIVE_UP): State.DEAD,
    (State.RUNNING, Event.LOSE): State.DEAD,
    (State.RUNNING, Event.CANCEL): State.CANCELLED,
    (State.RUNNING, Event.EXPIRE): State.EXPIRED,
}
"""Every lawful move. What is not here changes nothing."""


def step(state: State, event: Event) -> State | None:
    """Return the state after `event`, or None where the event is not lawful and changes nothing."""
    return TRANSITIONS.get((state, event))


def picture() -> str:
    """Draw the table as a Mermaid state diagram, for docs/protocol.md."""
    lines = ["stateDiagram-v2", "    [*] --> queued: enqueue", "    [*] --> delayed: enqueue with delay"]
    arrows: dict[tuple[State, State], list[str]] = {}
    for (start, event), end in TRANSITIONS.items():
        arrows.setdefault((start, end), []).append(event.value)
    lines += [f"    {start} --> {end}: {', '.join(events)}" for (start, end), events in arrows.items()]
    lines += [f"    {state} --> [*]" for state in State if state in FINAL]
    return "\n".join(lines)
