"""Whether the worker may pull work now, and how much: every reason against it in one place.

Above stand the slots, which ask. Below: the breaker, the session's state. Whoever closes or opens a reason
tells the gate, and the gate tells its listeners, once for each change. It must never know how work is
pulled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweft_schemas.circuit import SHUT
from mcpweft_workers.breaker import Outcome, Permit, State, Transition

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from mcpweft_workers.breaker import Breaker


class Gate:
    """Open while no reason stands against it and the breaker admits calls."""

    def __init__(
        self,
        breaker: Breaker,
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        on_move: Callable[[Transition], None],
    ) -> None:
        self.breaker = breaker
        self._clock = clock
        self._loop = loop
        self._on_move = on_move
        self._against: dict[str, str] = {}
        self._listeners: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._generation = 0

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    def close(self, who: str, reason: str) -> None:
        """Let `who` hold the gate shut, with a reason for people."""
        if self._against.get(who) != reason:
            self._against[who] = reason
            self._tell()

    def open(self, who: str) -> None:
        """Take back what `who` had against it."""
        if self._against.pop(who, None) is not None:
            self._tell()

    @property
    def is_open(self) -> bool:
        """Whether any call may go."""
        return not self._against and self.breaker.room(self._clock()) > 0

    @property
    def reason(self) -> str:
        """Why it is shut, for people; empty where it is open."""
        if self._against:
            return "; ".join(self._against.values())
        state = self.breaker.state(self._clock())
        if state not in SHUT:
            return ""
        what = "cordoned" if state is State.CORDONED else "breaker open"
        return f"{what}: {self.breaker.snapshot(self._clock()).reason}"

    def room(self) -> int:
        """Return how many calls may go now, as far as the reasons and the breaker are concerned."""
        return 0 if self._against else self.breaker.room(self._clock())

    def admit(self) -> Permit | None:
        """Return leave for one call that was fetched, or None where it must be given back."""
        return None if self._against else self.breaker.acquire(self._clock())

    def book(self, permit: Permit, outcome: Outcome, took: float) -> None:
        """Tell the breaker how a call ended, after `took` seconds."""
        move = self.breaker.record(permit, outcome, took, self._clock())
        if move is not None or self.breaker.state(self._clock()) is State.HALF_OPEN:
            self._tell()

    def changed(self) -> None:
        """Look at the breaker anew: somebody has moved it."""
        self._tell()

    def _tell(self) -> None:
        self._watch_breaker()
        for listener in self._listeners:
            listener()

    def _watch_breaker(self) -> None:
        """Report the breaker's moves, those that time made as well, and look again when its wait is over."""
        now = self._clock()
        state = self.breaker.state(now)
        last = self.breaker.last
        if last is not None and last.generation != self._generation:
            self._generation = last.generation
            self._on_move(last)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wait = self.breaker.retry_at(now) - now
        if state in {State.OPEN, State.HALF_OPEN} and 0 < wait < float("inf"):
            self._timer = self._loop.call_later(wait + 0.001, self._tell)

    def shut_down(self) -> None:
        """Stop looking at the clock."""
        if self._timer is not None:
            self._timer.cancel()
