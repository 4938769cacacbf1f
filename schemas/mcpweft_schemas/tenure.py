"""A lease as its holder sees it: held only as long as that is beyond doubt.

The store decides by its clock who holds a lease; the holder cannot see that clock, so it counts on its own
from the moment at which it *sent* the renewal that succeeded, and stops a margin earlier. A holder whose
link is cut, or whose process was stopped, thus stops before another can begin; and if it acts all the same
(stopped between the look and the act), the epoch of its term is refused by every pool that the next holder
has sealed.

Above stand `sweeper` (lease `lead`) and whoever runs an exclusive server (lease `server.<name>`). Below is
the store. This module must never know what a lease is good for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft_schemas.store import Lease, Store

_MARGIN = 0.1  # of the ttl: what two clocks may drift apart in it, and the way of a command to the store
_GIVE_UP_S = 0.5


@dataclass(frozen=True, slots=True)
class Term:
    """One uninterrupted holding of a lease."""

    epoch: int


class Tenure:
    """One party's hold on one lease, renewed by whoever owns this object."""

    def __init__(self, store: Store, name: str, holder: str, ttl_ms: int, clock: Callable[[], float]) -> None:
        self.name = name
        self.holder = holder
        self.ttl_ms = ttl_ms
        self._store = store
        self._clock = clock
        self._term: Term | None = None
        self._until = 0.0

    @property
    def term(self) -> Term | None:
        """The term that surely lasts at this moment, or None."""
        return self._term if self._term is not None and self._clock() < self._until else None

    async def renew(self) -> Lease:
        """Take or renew the lease.

        Raises:
            TimeoutError: no answer within the ttl.
            StoreUnreachableError: as every move. In both cases the lease may have been taken.

        """
        sent = self._clock()
        async with asyncio.timeout(self.ttl_ms / 1000):
            lease = await self._store.lease(self.name, self.holder, self.ttl_ms)
        if lease.word is not Word.OK:
            self._term = None
            return lease
        if self._term is None or self._term.epoch != lease.epoch:
            self._term = Term(lease.epoch)
        self._until = sent + self.ttl_ms / 1000 * (1 - _MARGIN)
        return lease

    async def give_up(self) -> None:
        """End the term, and let the next holder begin at once if the store can be told in time."""
        self._term = None
        async with asyncio.timeout(_GIVE_UP_S):
            await self._store.lease(self.name, self.holder, 0)
