"""Events that wait to be told: bounded, and those alike within a second gathered into one.

    put      the first of its likeness is ready at once; the next ones are gathered, and ready a second after
             that first one, as one event: the newest, with `count`
    take     what is ready, oldest first

So a storm costs each likeness (kind, pool, server, worker, and the cause or the state it went to) one event a
second, and the whole process `ROOM` places. What finds no place is dropped, and counted.

Above stands `herald`. This module must never know a store, nor the time but by `now`, in seconds on any clock
that only grows.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcpweft_schemas.event import Event

ROOM = 256
"""Events that wait at most."""
WINDOW_S = 1.0
"""How long events alike are gathered."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event, and when it happened."""

    event: Event
    at: float


@dataclass(slots=True)
class _Gathered:
    """What was gathered of one likeness since its last was ready."""

    since: float
    newest: Waiting | None = None
    count: int = 0


@dataclass(slots=True)
class Outbox:
    """The waiting events of one process."""

    dropped: int = 0
    """Events that found no room."""
    _ready: deque[Waiting] = field(default_factory=deque[Waiting])
    _gathered: dict[tuple[str, ...], _Gathered] = field(default_factory=dict[tuple[str, ...], _Gathered])

    def put(self, event: Event, now: float) -> None:
        """Let an event wait. Never waits itself, never raises."""
        likeness = event.likeness
        same = self._gathered.get(likeness)
        if same is None or now - same.since >= WINDOW_S:
            self._settle(now)
            same = self._gathered.get(likeness)
        if same is not None:
            same.newest = Waiting(event, now)
            same.count += int(event.data.get("count", 1))
            return
        if len(self._ready) + len(self._gathered) >= ROOM:
            self.dropped += 1
            return
        self._gathered[likeness] = _Gathered(now)
        self._ready.append(Waiting(event, now))

    def take(self, now: float, most: int, *, all_of_it: bool = False) -> list[Waiting]:
        """Return up to `most` that are ready; `all_of_it`: what is still being gathered too."""
        self._settle(now, all_of_it=all_of_it)
        return [self._ready.popleft() for _ in range(min(most, len(self._ready)))]

    def next_in(self, now: float) -> float | None:
        """Return the seconds until something is ready; None where nothing waits."""
        if self._ready:
            return 0.0
        since = [same.since for same in self._gathered.values() if same.newest is not None]
        return max(0.0, min(since) + WINDOW_S - now) if since else None

    def _settle(self, now: float, *, all_of_it: bool = False) -> None:
        """Make ready what was gathered for long enough, and forget what was alone."""
        for likeness, same in list(self._gathered.items()):
            if not all_of_it and now - same.since < WINDOW_S:
                continue
            del self._gathered[likeness]
            if same.newest is not None:
                self._ready.append(_as_one(same.newest, same.count))
                self._gathered[likeness] = _Gathered(now)


def _as_one(newest: Waiting, count: int) -> Waiting:
    event = newest.event
    data: dict[str, Any] = {**event.data, "count": count}
    told = replace(event, data=data) if count > 1 or "count" in event.data else event
    return replace(newest, event=told)
