"""Ends deliveries: tells the store what the runner decided, batch by batch, until it has answered.

What is put in one turn of the event loop goes in one move. A batch whose answer was lost is sent again as
it is: the store answers REPEAT for what it had written. So nothing that a server answered is lost while
this process lives; past its request's own life an item is given up, because no record is left to settle.

Above stand the runner and the fetcher (which gives back). Below: the store. It must never decide how a
request ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mcpweft_schemas.connect import StoreUnreachableError
from mcpweft_schemas.store import BATCH, BATCH_BYTES
from mcpweft_workers.binding import token
from mcpweft_workers.log import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft_schemas.wire import Settlement
    from mcpweft_schemas.word import Word
    from mcpweft_workers.backoff import Patience
    from mcpweft_workers.binding import Binding

_OVERHEAD = 300  # bytes of an item beside its body, about


@dataclass(frozen=True, slots=True)
class _Item:
    settlement: Settlement
    until: float
    alone: bool = False
    """Whether it was in a batch that the store rejected: it must not spoil another."""

    @property
    def size(self) -> int:
        return len(self.settlement.body) + _OVERHEAD


class Settler:
    """The settler of one pool."""

    def __init__(
        self,
        binding: Binding,
        *,
        patience: Patience,
        clock: Callable[[], float],
        on_word: Callable[[str, Settlement, Word | None], None],
    ) -> None:
        self._binding = binding
        self._patience = patience
        self._clock = clock
        self._on_word = on_word
        self._waiting: deque[_Item] = deque()
        self._open = 0
        self._news = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def backlog(self) -> int:
        """Items that the store has not answered yet."""
        return self._open

    def put(self, settlement: Settlement, until: float) -> None:
        """End a delivery; give up once the clock shows `until`."""
        self._open += 1
        self._empty.clear()
        self._queue(_Item(settlement, until))

    def _queue(self, item: _Item) -> None:
        self._waiting.append(item)
        self._news.set()

    async def drained(self) -> None:
        """Wait until the store has answered everything."""
        await self._empty.wait()

    async def run(self) -> None:
        """Settle until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(0)  # what else ends in this turn comes along
            while batch := self._take():
                await self._settle(batch)
            self._news.clear()

    def _take(self) -> list[_Item]:
        batch: list[_Item] = []
        size = 0
        while self._waiting and len(batch) < BATCH:
            size += self._waiting[0].size
            if batch and (size > BATCH_BYTES or self._waiting[0].alone):
                break
            batch.append(self._waiting.popleft())
            if batch[-1].alone:
                break
        return batch

    async def _settle(self, batch: list[_Item]) -> None:
        """Send a batch until it is answered, rejected, or past its time."""
        binding = self._binding
        while batch := self._still_alive(batch):
            settlements = [item.settlement for item in batch]
            try:
                words = await binding.store.settle(binding.capability, binding.identity.instance, settlements)
            except StoreUnreachableError:
                await asyncio.sleep(self._patience.next())
            except Exception as error:  # noqa: BLE001  # the store's own word on one item must not hold the rest
                event(logging.ERROR, "not settled", pool=binding.capability, error=str(error))
                self._part(batch)
                return
            else:
                self._patience.reset()
                for item, word in zip(batch, words, strict=True):
                    self._end(item, word)
                return

    def _part(self, batch: list[_Item]) -> None:
        """Send the items of a rejected batch one by one, and one that is rejected again later."""
        for item in batch:
            if len(batch) > 1:
                self._queue(replace(item, alone=True))
            else:
                again = replace(item, alone=True)
                asyncio.get_running_loop().call_later(self._patience.next(), self._queue, again)

    def _still_alive(self, batch: list[_Item]) -> list[_Item]:
        now = self._clock()
        for item in batch:
            if item.until <= now:
                self._end(item, None)
        return [item for item in batch if item.until > now]

    def _end(self, item: _Item, word: Word | None) -> None:
        self._open -= 1
        self._binding.held.pop(token(item.settlement), None)
        self._on_word(self._binding.capability, item.settlement, word)
        if not self._open:
            self._empty.set()
