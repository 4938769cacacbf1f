"""The waits of one client: who waits for which request, and when each is to be looked after.

Above stand the reader, which resolves waits by id, and the desk, which opens and closes them. Below is
nothing: this module must never know a store. Times are seconds of the clock that is handed in.

Deadlines lie on a wheel of `TICK` seconds, not in a timer each: a wait that ends in time costs one set
removal, however many there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Iterator

    from mcpweft.result import Progress
    from mcpweft.terms import Listener
    from mcpweft.ticket import Ticket
    from mcpweft_schemas.wire import Reply

TICK = 0.25
"""The wheel's step, s."""


class Wait:
    """One caller who waits for one request's outcome."""

    __slots__ = (
        "accepted", "attempt", "capability", "due", "future", "hard", "heard", "id", "missed", "on_progress",
        "since", "ticket",
    )  # fmt: skip

    def __init__(
        self, capability: str, request_id: str, future: asyncio.Future[Reply], *, since: float, hard: float
    ) -> None:
        self.capability = capability
        self.id = request_id
        self.future = future
        self.since = since
        self.hard = hard
        """When it ends with or without an outcome."""
        self.accepted = False
        """Whether the store has taken the request: before that, its absence says nothing."""
        self.due: int | None = None
        """Where it lies on the wheel."""
        self.attempt = 0
        self.missed: int | None = None
        """Once its request was seen to have ended: the read of its stream that proves its reply lost."""
        self.ticket: Ticket | None = None
        """How its request was handed in, where it was handed in here."""
        self.on_progress: Listener | None = None
        self.heard: Progress | None = None

    def fail(self, error: Exception) -> None:
        """End it with an error, unless it has ended."""
        if not self.future.done():
            self.future.set_exception(error)

    def tell(self, reply: Reply) -> None:
        """End it with an outcome, unless it has ended."""
        if not self.future.done():
            self.future.set_result(reply)


class Waits:
    """The table of waits and their wheel."""

    def __init__(self) -> None:
        self._by_id: dict[str, dict[str, list[Wait]]] = {}
        self._wheel: dict[int, set[Wait]] = {}
        self._turned = 0
        self.open = 0

    def add(self, wait: Wait) -> None:
        """Begin to wait."""
        pool = self._by_id.get(wait.capability)
        if pool is None:
            pool = self._by_id[wait.capability] = {}
        present = pool.get(wait.id)
        if present is None:
            pool[wait.id] = [wait]
        else:
            present.append(wait)
        self.open += 1

    def remove(self, wait: Wait) -> bool:
        """Cease to wait; return whether nobody here waits for that request any more. Repeat freely."""
        self.later(wait, None)
        pool = self._by_id.get(wait.capability, {})
        present = pool.get(wait.id)
        if present is None or wait not in present:
            return False
        self.open -= 1
        present.remove(wait)
        if present:
            return False
        del pool[wait.id]
        return True

    def rename(self, wait: Wait, request_id: str) -> None:
        """Wait for another request instead: the one that holds the idempotency key."""
        due = wait.due
        self.remove(wait)
        wait.id = request_id
        self.add(wait)
        if due is not None:
            self._put(wait, due)

    def of(self, capability: str, request_id: str) -> list[Wait]:
        """Return who waits for a request."""
        return list(self._by_id.get(capability, {}).get(request_id, ()))

    def pop(self, capability: str, request_id: str) -> list[Wait]:
        """Return who waits for a request, and end their waiting."""
        pool = self._by_id.get(capability)
        found = pool.pop(request_id, None) if pool else None
        if found is None:
            return []
        self.open -= len(found)
        for wait in found:
            self.later(wait, None)
        return found

    def capabilities(self) -> list[str]:
        """Return the capabilities on whose requests somebody waits."""
        return [name for name, pool in self._by_id.items() if pool]

    def ids(self, capability: str, since: float) -> list[str]:
        """Return the accepted requests of a capability that were waited for since before `since`."""
        pool = self._by_id.get(capability, {})
        return [i for i, waits in pool.items() if any(w.accepted and w.since <= since for w in waits)]

    def any_of(self, capability: str) -> bool:
        """Return whether somebody waits on a capability."""
        return bool(self._by_id.get(capability))

    def all(self) -> Iterator[Wait]:
        """Go through all waits, as they are now."""
        yield from [wait for pool in self._by_id.values() for waits in pool.values() for wait in waits]

    def later(self, wait: Wait, when: float | None) -> None:
        """Have a wait looked after at `when`; None: not at all."""
        if wait.due is not None:
            bucket = self._wheel.get(wait.due)
            if bucket is not None:
                bucket.discard(wait)
                if not bucket:
                    del self._wheel[wait.due]
            wait.due = None
        if when is not None:
            self._put(wait, int(when / TICK) + 1)

    def postpone(self, seconds: float) -> None:
        """Let every wait end so much later: the event loop stood still, and could hear nothing."""
        for wait in self.all():
            wait.hard += seconds

    def _put(self, wait: Wait, due: int) -> None:
        wait.due = max(due, self._turned + 1)
        bucket = self._wheel.get(wait.due)
        if bucket is None:
            bucket = self._wheel[wait.due] = set()
        bucket.add(wait)

    def turn(self, now: float) -> Iterable[Wait]:
        """Return the waits whose time to be looked after has come, and take them off the wheel."""
        tick = int(now / TICK)
        if tick <= self._turned:
            return ()
        span = range(self._turned + 1, tick + 1)
        ticks: Iterable[int] = span if len(span) < len(self._wheel) else [t for t in self._wheel if t <= tick]
        self._turned = tick
        due = [wait for t in sorted(ticks) for wait in self._wheel.pop(t, ())]
        for wait in due:
            wait.due = None
        return due
