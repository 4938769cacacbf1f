"""Tells the fleet's events to the store: one for each process that sees any.

`tell` puts an event into the outbox and returns: it never waits and never raises, whatever the store does.
One owner task, `run`, sends what is ready, a batch at a time and at most ten batches a second. An event is
told at most once: a batch whose answer was lost is not sent again, for it may be there, and counts as lost.
While the store is away the others wait in their places.

Above stand workers and coordinators, which own the task. Below are the outbox, which decides, and the store.
This module must never know what an event means.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mcpweft_schemas.connect import StoreUnreachableError
from mcpweft_schemas.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft_schemas.event import Event
    from mcpweft_schemas.outbox import Waiting
    from mcpweft_schemas.store import Store

LOG = logging.getLogger("mcpweft.events")
BATCH = 50
_PAUSE_S = 0.1  # between two batches
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 2.0


class Herald:
    """Tells the events of one process."""

    def __init__(self, store: Store, keep: int, clock: Callable[[], float]) -> None:
        """Make one, on a running event loop."""
        self._store = store
        self.keep = keep
        """About so many events stay on the stream."""
        self._clock = clock
        self._outbox = Outbox()
        self._lost = 0
        self._news = asyncio.Event()

    @property
    def dropped(self) -> int:
        """Events that were not told, or whose telling was not confirmed."""
        return self._outbox.dropped + self._lost

    def tell(self, event: Event) -> None:
        """Have an event told soon. Call it on the loop's own thread."""
        self._outbox.put(event, self._clock())
        self._news.set()

    async def run(self) -> None:
        """Tell what there is until cancelled."""
        while True:
            due = self._outbox.next_in(self._clock())
            if due is None or due > 0:
                self._news.clear()
                await self._nap(due)
                continue
            if not await self._send(self._outbox.take(self._clock(), BATCH)):
                await self._until_back()
            await asyncio.sleep(_PAUSE_S)

    async def last_words(self) -> None:
        """Tell what is left, gathered or not, as far as the store takes it at once. Bound it."""
        while batch := self._outbox.take(self._clock(), BATCH, all_of_it=True):
            if not await self._send(batch):
                return

    async def _nap(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass

    async def _send(self, batch: list[Waiting]) -> bool:
        """Send a batch; return whether the store answered."""
        now = self._clock()
        entries = [waiting.event.fields(round((now - waiting.at) * 1000)) for waiting in batch]
        try:
            await self._store.tell(entries, self.keep)
        except StoreUnreachableError as error:
            self._miss(batch, error)
            return False
        except Exception as error:  # noqa: BLE001  # a full store, a missing right: news must not end a process
            self._miss(batch, error)
        return True

    def _miss(self, batch: list[Waiting], error: Exception) -> None:
        self._lost += len(batch)
        LOG.info("events not told", extra={"fields": {"events": len(batch), "error": str(error)}})

    async def _until_back(self) -> None:
        """Wait until the store answers, so that an outage costs one batch and not all that happens in it."""
        wait = _FIRST_WAIT_S
        while True:
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_S)
            try:
                await self._store.pools()
            except StoreUnreachableError:
                continue
            except Exception:  # noqa: BLE001  # it answered
                return
            return
