"""Virtual time: what is to happen, in order. Nobody sleeps.

Above stands everything simulated. It must never know what it calls.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Clockwork:
    """A clock that jumps from event to event; those of one moment happen in the order asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0

    def at(self, when: float, call: Callable[..., None], *args: Any) -> None:
        """Call `call(*args)` at `when` seconds, or next if that is over."""
        self._number += 1
        heappush(self._events, (max(when, self.now), self._number, call, args))

    def after(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        """Call `call(*args)` in so many seconds."""
        self.at(self.now + seconds, call, *args)

    def run(self, until: float) -> None:
        """Let everything happen that falls before `until`."""
        events = self._events
        while events and events[0][0] < until:
            self.now, _, call, args = heappop(events)
            call(*args)
        self.now = until
