"""Pulls work from one pool: as many requests as there are free slots, and never more.

    reserve slots ─▶ fetch ─▶ start what came ─▶ pool drained? ─▶ wait on its bell, or watch ─▶ reserve …
                       │
                       └─ no answer ─▶ raise the epoch, adopt what is pending here ─▶ start it

At most one fetch is under way in a pool; slots that come free meanwhile go into the next one. A fetch is
never sent twice and never cut off: its answer may hold requests. Where it is lost all the same, adopt
brings them back and makes every older fetch stale.

Above stands the worker. Below: slots (how many), allotment (how soon), runner (start), binding (as whom), the
store. It must never know how a call is run.
"""

from __future__ import annotations

import asyncio
import logging
import math
from asyncio import FIRST_COMPLETED
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mcpweft_schemas.connect import BLOCK_S, StoreUnreachableError
from mcpweft_schemas.errors import McpweftError
from mcpweft_schemas.wire import READS
from mcpweft_schemas.word import Word
from mcpweft_workers.log import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft_schemas.connect import Waiter
    from mcpweft_schemas.store import Reader
    from mcpweft_schemas.wire import Delivery, Fetched
    from mcpweft_workers.allotment import Allotment
    from mcpweft_workers.backoff import Patience
    from mcpweft_workers.binding import Binding
    from mcpweft_workers.metrics import Metrics
    from mcpweft_workers.runner import Runner
    from mcpweft_workers.slots import Slots

LOOK_AGAIN = 10.0
"""Seconds after which an idle fetcher looks for itself, should a ring have been lost."""
_NUDGE = 0.05  # seconds between two tries to wake the bell's waiter
_APART, _LOOK_UP = 0.005, 0.02  # seconds that one who watches lets pass once work came, at least and at most


@dataclass(frozen=True, slots=True)
class Turn:
    """What one fetch came to."""

    used: int = 0
    """Slots in which something runs now."""
    drained: bool = False
    """Whether nothing is left that this worker could take now."""
    due_ms: int | None = None
    """When there is, counted from `now_ms`; None where that is not known."""
    now_ms: int = 0
    """By the store's clock."""


_NOTHING = Turn()


class Fetcher:
    """The fetcher of one pool; `run` is its owner task and ends after `stop`."""

    def __init__(
        self,
        binding: Binding,
        *,
        slots: Slots,
        allotment: Allotment,
        runner: Runner,
        metrics: Metrics,
        patience: Patience,
        clock: Callable[[], float],
    ) -> None:
        self._binding = binding
        self._store = binding.store
        self._capability = binding.capability
        self._slots = slots
        self._allotment = allotment
        self._runner = runner
        self._metrics = metrics
        self._patience = patience
        self._clock = clock
        self._bell = self._store.keys(self._capability).bell
        self._waiter: Waiter | None = None
        self._waiting = False
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Pull until `stop`; runs are tasks of `group`."""
        self._waiter = self._store.link.waiter(self._bell)
        try:
            await self._inherit()
            while not self._stopping.is_set():
                slots = await self._slots.reserve(self._capability)
                turn = _NOTHING
                try:
                    turn = await self._turn(group, slots)
                finally:
                    self._slots.give_back(self._capability, slots - turn.used)
                if turn.drained:
                    await self._idle(turn)
        finally:
            self._ended.set()
            await self._waiter.close()

    def halt(self) -> None:
        """Pull no more from here on."""
        self._stopping.set()

    async def stop(self) -> None:
        """Pull no more; return when the fetch under way has been answered."""
        self.halt()
        while not self._ended.is_set():
            if self._waiting and self._waiter is not None:
                with suppress(McpweftError):
                    await self._store.link.unblock(self._waiter, self._bell)
            with suppress(TimeoutError):
                async with asyncio.timeout(_NUDGE):
                    await self._ended.wait()

    # --- one turn

    async def _turn(self, group: asyncio.TaskGroup, slots: int) -> Turn:
        """Fetch once."""
        reader = self._binding.reader
        if reader is None:
            await self._until_joined()
            return _NOTHING
        if slots == 0:
            return _NOTHING
        fetched = await self._fetch(reader, slots)
        if fetched is None:
            return _NOTHING
        if fetched.word is not Word.OK:
            await self._refused(reader, fetched.word)
            return _NOTHING
        started = 0
        for delivery in fetched.deliveries:
            if self._start(group, delivery, fetched.now_ms, room=started < slots):
                started += 1
        drained = len(fetched.deliveries) < slots and not fetched.more
        return Turn(started, drained, fetched.next_due_ms, fetched.now_ms)

    def _start(self, group: asyncio.TaskGroup, delivery: Delivery, now_ms: int, *, room: bool) -> bool:
        if not room or self._stopping.is_set():
            self._runner.give_back(self._binding, delivery)
            return False
        waited_ms = max(0, now_ms - delivery.accepted_ms)
        if delivery.attempt == 1:
            self._metrics.waited(self._capability, delivery.klass, waited_ms)
        return self._runner.start(group, self._binding, delivery, waited_ms)

    async def _fetch(self, reader: Reader, slots: int) -> Fetched | None:
        depth = self._allotment.of(self._capability).depth
        try:
            fetched = await self._store.fetch(
                self._capability, reader, slots, READS, hold_ms=self._hold_ms, depth=depth
            )
        except Exception as error:  # noqa: BLE001  # whatever went wrong, requests may be on their way here
            event(logging.WARNING, "fetch without an answer", pool=self._capability, error=str(error))
            self._metrics.lost_fetch(self._capability)
            return await self._adopt()
        self._patience.reset()
        return fetched

    async def _adopt(self) -> Fetched | None:
        """Take over what is pending here and not held; None where the worker has to register first."""
        while True:  # while stopping too: what is pending here is given back sooner than it is reclaimed
            await asyncio.sleep(self._patience.next())
            reader = self._binding.raise_epoch()
            if reader is None:
                return None
            try:
                adopted = await self._store.adopt(self._capability, reader, self._binding.held)
            except StoreUnreachableError:
                continue
            except Exception as error:  # noqa: BLE001  # as above
                event(logging.ERROR, "adopt failed", pool=self._capability, error=str(error))
                continue
            self._patience.reset()
            event(logging.INFO, "adopted", pool=self._capability, requests=len(adopted.deliveries))
            return replace(adopted, more=True)  # nothing was learnt of what waits in the pool

    async def _refused(self, reader: Reader, word: Word) -> None:
        if word is Word.STALE:  # another process of this id, or an epoch from before: go above it
            event(logging.WARNING, "stale epoch", pool=self._capability, epoch=reader.epoch)
            await self._pause()
            self._binding.raise_epoch()
        else:
            self._binding.lost(reader)
            await self._until_joined()

    async def _inherit(self) -> None:
        """End what an earlier process of this id left pending: it may have run."""
        await self._until_joined()
        while not self._stopping.is_set():
            if (reader := self._binding.reader) is None:
                return
            try:
                left = await self._store.adopt(self._capability, reader, ())
            except Exception as error:  # noqa: BLE001  # tried until it is answered: nothing is pulled before
                event(logging.WARNING, "adopt failed", pool=self._capability, error=str(error))
                await self._pause()
            else:
                for delivery in left.deliveries:
                    self._runner.disown(self._binding, delivery)
                return

    # --- waiting

    async def _idle(self, turn: Turn) -> None:
        """Wait until there may be work. A ring that cannot be followed is passed on."""
        wait = LOOK_AGAIN if turn.due_ms is None else min(LOOK_AGAIN, turn.due_ms / 1000 + 0.001)
        end = self._clock() + wait
        while not self._stopping.is_set() and (left := end - self._clock()) > 0:
            hold_s = self._hold_ms / 1000
            seconds = min(BLOCK_S, left)
            try:
                came = await (self._watch(seconds, turn.now_ms) if hold_s else self._listen(seconds))
            except StoreUnreachableError:
                await self._pause()
                return
            if came and hold_s:
                await asyncio.sleep(min(max(_APART, hold_s), _LOOK_UP))
            elif came and (self._stopping.is_set() or not self._slots.open_to(self._capability)):
                with suppress(McpweftError):
                    await self._store.ring(self._capability)
            if came:
                return

    @property
    def _hold_ms(self) -> int:
        """How long others go first at this moment."""
        return math.ceil(self._allotment.of(self._capability).hold(self._runner.in_flight))

    async def _listen(self, seconds: float) -> bool:
        """Wait so long for the bell."""
        assert self._waiter is not None, "run has made it"  # noqa: S101  # nothing else calls this
        self._waiting = True
        try:
            return await self._store.wait_bell(self._waiter, self._capability, seconds)
        finally:
            self._waiting = False

    async def _watch(self, seconds: float, since_ms: int) -> bool:
        """Wait so long for work to come, and leave the bell to those who do not hold back.

        Where only calls in flight held this worker back, it goes to the bell with the end of the last one.
        """
        assert self._waiter is not None, "run has made it"  # noqa: S101  # nothing else calls this
        share = self._allotment.of(self._capability)
        calm = asyncio.create_task(self._runner.idle()) if share.hold(0) == 0 else None
        watching = asyncio.create_task(self._store.watch(self._waiter, self._capability, since_ms, seconds))
        self._waiting = True
        try:
            await asyncio.wait({watching} if calm is None else {watching, calm}, return_when=FIRST_COMPLETED)
            while not watching.done():
                await self._store.link.unblock(self._waiter, self._bell)
                await asyncio.wait({watching}, timeout=_NUDGE)
            return watching.result()
        finally:
            self._waiting = False
            watching.cancel()
            if calm is not None:
                calm.cancel()

    async def _until_joined(self) -> None:
        while not (self._binding.joined.is_set() or self._stopping.is_set()):
            with suppress(TimeoutError):
                async with asyncio.timeout(_NUDGE):
                    await self._binding.joined.wait()

    async def _pause(self) -> None:
        """Wait before the next try, or until the stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience.next()):
                await self._stopping.wait()
