"""The worker's slots, shared by its capabilities: who may take how many requests now.

A slot is one call that may run on the server at a time. Each capability's fetcher asks for slots and is
dealt some as they come free, by deficit round robin over those that ask: an idle capability's slots serve
the others, and among busy ones each gets its weight's part. A capability may have a cap: no more of its calls
at a time, however much is free. What was dealt and not used is given back.

Above stand the fetchers and the runner. Below: `allowed`, which says how many requests may be pulled at
all (the breaker, the session, a drain). It must never know what a request is.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Slots:
    """A ledger: limit = free + reserved + running, unless the limit was lowered under what is in use."""

    def __init__(
        self,
        limit: int,
        weights: Mapping[str, float],
        allowed: Callable[[], int],
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Make a ledger. `on_change` hears that slots are asked for in vain, and that some were not used."""
        self.limit = limit
        self.running = 0
        """Calls under way."""
        self.reserved = 0
        """Dealt to a fetcher, and no request has come for them yet."""
        self._allowed = allowed
        self._on_change = on_change
        self._weights = dict(weights)
        self._quantum = _quanta(weights)
        self._caps: dict[str, int] = {}
        self._used = dict.fromkeys(weights, 0)
        self._ring = list(weights)
        self._at = 0
        self._deficit = dict.fromkeys(weights, 0.0)
        self._asking: dict[str, asyncio.Future[int]] = {}
        self._closed = False
        self._due: asyncio.Handle | None = None

    @property
    def free(self) -> int:
        """Slots that nobody has."""
        return max(0, self.limit - self.running - self.reserved)

    @property
    def wished(self) -> int:
        """How many calls could begin here beside those that slots are reserved for, had they leave to.

        As many as fit where somebody waits for slots; else one, for what the next ring of a bell may bring.
        """
        if self._closed:
            return 0
        asked = any(not asked.done() for asked in self._asking.values())
        return self.free if asked else min(1, self.free)

    def open_to(self, capability: str) -> bool:
        """Whether a request of a capability could be taken now."""
        return not self._closed and min(self.room(), self._own(capability)) > 0

    def room(self) -> int:
        """Return how many more requests may be pulled now."""
        return max(0, min(self.free, self._allowed() - self.reserved))

    def _own(self, capability: str) -> int:
        """Return how many more calls of a capability its cap admits."""
        cap = self._caps.get(capability)
        return sys.maxsize if cap is None else max(0, cap - self._used[capability])

    async def reserve(self, capability: str) -> int:
        """Wait until slots are dealt to `capability`; return how many, or 0 once closed. One asker each.

        Where nobody else asks, what is free is had at once: so the next fetch goes out before what the last
        one brought begins to run.
        """
        if self._closed:
            return 0
        if not self._asking and (room := self.room()) and (dealt := self.divide(room, {capability})):
            return self._take(capability, dealt[capability])
        asked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._asking[capability] = asked
        self.poke()
        self._on_change()
        try:
            return await asked
        except asyncio.CancelledError:
            if asked.done() and not asked.cancelled():
                self.give_back(capability, asked.result())
            raise
        finally:
            self._asking.pop(capability, None)

    def _take(self, capability: str, dealt: int) -> int:
        self.reserved += dealt
        self._used[capability] += dealt
        return dealt

    def start(self) -> None:
        """Turn one reserved slot into a running call."""
        self.reserved -= 1
        self.running += 1

    def finish(self, capability: str) -> None:
        """End a running call."""
        self.running -= 1
        self._used[capability] -= 1
        self.poke()

    def give_back(self, capability: str, unused: int) -> None:
        """Give back reserved slots for which no request came."""
        self.reserved -= unused
        self._used[capability] -= unused
        if unused:
            self.poke()
            self._on_change()

    def allot(self, capability: str, cap: int | None, weight: float) -> None:
        """Change how many calls of a capability may run (None: as many as fit), and what it weighs.

        Calls over the cap run to their end.
        """
        if cap is None:
            self._caps.pop(capability, None)
        else:
            self._caps[capability] = cap
        self._weights[capability] = weight
        self._quantum = _quanta(self._weights)
        self.poke()

    def resize(self, limit: int) -> None:
        """Change the limit; calls over it run to their end."""
        self.limit = limit
        self.poke()

    def close(self) -> None:
        """Deal no more: whoever asks is told 0."""
        self._closed = True
        for asked in self._asking.values():
            if not asked.done():
                asked.set_result(0)

    def poke(self) -> None:
        """Look again, once this turn of the loop is over: calls that end together are dealt together."""
        if self._due is None and self._asking and not self._closed:
            self._due = asyncio.get_running_loop().call_soon(self._deal)

    def _deal(self) -> None:
        self._due = None
        asking = {name for name, asked in self._asking.items() if not asked.done()}
        for name, count in self.divide(self.room(), asking).items():
            self._asking[name].set_result(self._take(name, count))

    def divide(self, room: int, asking: set[str]) -> dict[str, int]:
        """Divide `room` slots among those that ask; the deficits are carried to the next deal."""
        own = {name: most for name in asking if (most := self._own(name)) > 0}
        dealt: dict[str, int] = {}
        if self._closed or room <= 0:
            return dealt
        if len(own) == 1:  # as a rule; turn by turn it would take a step for each slot
            self._deficit = dict.fromkeys(self._deficit, 0.0)
            return {name: min(room, most) for name, most in own.items()}
        while room > 0 and own:
            name = self._ring[self._at]
            if name not in own:
                self._deficit[name] = 0.0
                self._at = (self._at + 1) % len(self._ring)
                continue
            if self._deficit[name] < 1:
                self._deficit[name] += self._quantum[name]
            count = min(room, int(self._deficit[name]), own[name])
            self._deficit[name] -= count
            dealt[name] = dealt.get(name, 0) + count
            room -= count
            own[name] -= count
            if not own[name]:
                del own[name]
            if name not in own or self._deficit[name] < 1:
                self._at = (self._at + 1) % len(self._ring)
        return dealt


def _quanta(weights: Mapping[str, float]) -> dict[str, float]:
    least = min(weights.values())
    return {name: weight / least for name, weight in weights.items()}
