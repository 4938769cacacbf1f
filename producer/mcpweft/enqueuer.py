"""The enqueuer: everything handed in during one turn of the event loop goes in one enqueue per capability.

Above stands the desk, which hands in tickets and learns what was said of each. Below is `Store.enqueue`,
which may be repeated for 30 s after a lost answer. One batch of a capability is under way at a time, so what
one producer hands in stays in order, and what arrives meanwhile makes the next batch larger.

Requests that met a full queue and are patient wait here, in order, class by class; while some of a class
wait, newcomers of that class stand behind them. This module must never know who waits for an outcome.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcpweft.refusal import refusal
from mcpweft.ticket import left_of
from mcpweft_schemas.connect import StoreRefusedError, StoreUnreachableError, StoreUnwritableError
from mcpweft_schemas.errors import ConnectionFailedError, McpweftError, ResourceExhaustedError
from mcpweft_schemas.outcome import Executed
from mcpweft_schemas.store import BATCH, BATCH_BYTES
from mcpweft_schemas.wire import Accepted
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcpweft.chores import Chores
    from mcpweft.ticket import Ticket
    from mcpweft_schemas.life import Class
    from mcpweft_schemas.store import Enqueued, Store

REPEAT_S = 30.0
"""How long an enqueue may be repeated: its record lives for twice that, so a repeat always finds it."""
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0
_NO_ROOM = (Word.FULL, Word.OOM, Word.UNWRITABLE)
_OVERHEAD = 400  # bytes of one request's flat fields, about


@dataclass(slots=True)
class _Lane:
    """What is to be enqueued on one capability."""

    fresh: deque[Ticket] = field(default_factory=deque["Ticket"])
    parked: dict[Class, deque[Ticket]] = field(default_factory=dict["Class", "deque[Ticket]"])
    open_at: dict[Class, float] = field(default_factory=dict["Class", float])
    news: asyncio.Event = field(default_factory=asyncio.Event)
    running: bool = False


class Enqueuer:
    """Hands tickets over to the store, in batches."""

    def __init__(
        self,
        store: Store,
        chores: Chores,
        ready: Callable[[str], Awaitable[None]],
        told: Callable[[str, Enqueued], None],
        *,
        rng: random.Random | None = None,
    ) -> None:
        self._store = store
        self._chores = chores
        self._ready = ready
        self._told = told
        self._lanes: dict[str, _Lane] = {}
        self._rng = rng or random.Random()  # noqa: S311  # jitter, not a secret
        self._clock = asyncio.get_running_loop().time

    def put(self, ticket: Ticket) -> None:
        """Take a ticket; it is sent at the end of this turn of the loop, with all others of this turn."""
        lane = self._lanes.get(ticket.capability)
        if lane is None:
            lane = self._lanes[ticket.capability] = _Lane()
        lane.fresh.append(ticket)
        if lane.running:
            lane.news.set()
        else:
            lane.running = True
            self._chores.start(self._drain(ticket.capability, lane), name=f"enqueue {ticket.capability}")

    def stop(self, error: Callable[[Executed], McpweftError]) -> None:
        """Fail whatever was not handed over."""
        for lane in self._lanes.values():
            rest = [*lane.fresh, *(ticket for parked in lane.parked.values() for ticket in parked)]
            lane.fresh.clear()
            lane.parked.clear()
            for ticket in rest:
                ticket.failed(ticket, error(_ran(sent=ticket.sent)))

    async def _drain(self, capability: str, lane: _Lane) -> None:
        try:
            while True:
                batch = self._take(lane)
                if batch:
                    await self._send(capability, lane, batch)
                elif not await self._pause(lane):
                    return
        finally:
            lane.running = False

    async def _pause(self, lane: _Lane) -> bool:
        """Wait for news or for a parked class's turn; return False where nothing is left at all."""
        if lane.fresh:
            return True
        if not lane.parked:
            return False
        lane.news.clear()
        until = min(lane.open_at[klass] for klass in lane.parked)
        try:
            async with asyncio.timeout_at(until):
                await lane.news.wait()
        except TimeoutError:
            pass
        return True

    def _take(self, lane: _Lane) -> list[Ticket]:
        """Take the next batch: parked ones whose time has come first, then those that are new."""
        now = self._clock()
        batch: list[Ticket] = []
        size = 0
        for klass in [k for k in lane.parked if lane.open_at[k] <= now]:
            queue = lane.parked[klass]
            size = self._fill(batch, queue, size, now)
            if not queue:
                del lane.parked[klass]
        while lane.parked and lane.fresh and self._must_wait(lane, lane.fresh[0]):
            self._park(lane, lane.fresh.popleft())
        self._fill(batch, lane.fresh, size, now, lane)
        return batch

    @staticmethod
    def _park(lane: _Lane, ticket: Ticket) -> None:
        line = lane.parked[ticket.submission.klass]
        ticket.last = line[0].last
        line.append(ticket)

    @staticmethod
    def _must_wait(lane: _Lane, ticket: Ticket) -> bool:
        return ticket.patient and ticket.submission.klass in lane.parked

    def _fill(
        self, batch: list[Ticket], queue: deque[Ticket], size: int, now: float, lane: _Lane | None = None
    ) -> int:
        while queue and len(batch) < BATCH:
            ticket = queue[0]
            more = len(ticket.submission.body) + _OVERHEAD
            if batch and size + more > BATCH_BYTES:
                break
            queue.popleft()
            if ticket.left:
                continue
            if lane is not None and lane.parked and self._must_wait(lane, ticket):
                self._park(lane, ticket)
                continue
            if lane is None and ticket.deadline <= now:
                ticket.failed(ticket, _no_room(ticket, ticket.last.word if ticket.last else Word.FULL))
                continue
            batch.append(ticket)
            size += more
        return size

    async def _send(self, capability: str, lane: _Lane, batch: list[Ticket]) -> None:
        """Send a batch, repeat it while the store does not answer, and say what came of each."""
        started, pause = self._clock(), _FIRST_PAUSE
        while batch:
            try:
                words = await self._try(capability, batch)
            except StoreUnreachableError as error:
                batch = self._give_up(batch, error, started)
                if batch:
                    await asyncio.sleep(pause * (0.5 + self._rng.random()))
                    pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self._hear(lane, batch, words)
                return

    async def _try(self, capability: str, batch: list[Ticket]) -> tuple[Accepted, ...]:
        """Send a batch once; return a word each, or nothing where all were failed."""
        unsent = [ticket for ticket in batch if not ticket.sent]
        try:
            await self._ready(capability)
            for ticket in unsent:
                ticket.sent = True
            answer = await self._store.enqueue(capability, [ticket.submission for ticket in batch])
        except (StoreUnwritableError, ResourceExhaustedError) as error:
            for ticket in unsent:
                ticket.sent = False  # it wrote nothing
            if len(unsent) < len(batch):  # what was sent before may have been accepted then
                raise StoreUnreachableError(error.what, advice=error.advice) from error
            word = Word.OOM if isinstance(error, ResourceExhaustedError) else Word.UNWRITABLE
            return tuple(Accepted(word, ticket.submission.id, None, 1000) for ticket in batch)
        except StoreUnreachableError as error:
            if never_sent(error):
                for ticket in unsent:
                    ticket.sent = False
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, its callers must hear of it
            for ticket in batch:
                named = error if isinstance(error, McpweftError) else _broken(error, sent=ticket.sent)
                ticket.failed(ticket, named)
            return ()
        self._told(capability, answer)
        return answer.items

    def _give_up(self, batch: list[Ticket], error: StoreUnreachableError, started: float) -> list[Ticket]:
        """Fail the tickets whose time is over; return those to try again."""
        now = self._clock()
        over = now - started >= REPEAT_S
        rest: list[Ticket] = []
        for ticket in batch:
            if ticket.left and not ticket.sent:
                continue
            if over or ticket.deadline <= now:
                ticket.failed(ticket, _unreachable(error, sent=ticket.sent))
            else:
                rest.append(ticket)
        return rest

    def _hear(self, lane: _Lane, batch: list[Ticket], words: tuple[Accepted, ...]) -> None:
        now = self._clock()
        again: dict[Class, list[Ticket]] = {}
        for ticket, accepted in zip(batch, words, strict=bool(words)):
            if accepted.word in _NO_ROOM and ticket.patient and not ticket.left:
                klass = ticket.submission.klass
                wait = max(0.02, accepted.retry_after_ms / 1000) * (0.75 + 0.5 * self._rng.random())
                if klass not in again:
                    lane.open_at[klass] = now + min(wait, 1.0)  # the rate it was reckoned from may rise
                if now + 0.001 >= ticket.deadline:
                    ticket.failed(ticket, _no_room(ticket, accepted.word))
                    continue
                ticket.submission = left_of(ticket.submission, ticket.deadline - now)
                ticket.sent, ticket.last = False, accepted
                again.setdefault(klass, []).append(ticket)
            else:
                ticket.answered = True
                ticket.taken(ticket, accepted)
        for klass, tickets in again.items():
            lane.parked.setdefault(klass, deque()).extendleft(reversed(tickets))


def _ran(*, sent: bool) -> Executed:
    """Return what is known of a request that was not answered: a sent one may have been accepted and run."""
    return Executed.MAYBE if sent else Executed.NO


def never_sent(error: BaseException) -> bool:
    """Return whether the store was not even connected to, so that nothing can have happened."""
    seen: BaseException | None = error
    refused = {errno.ECONNREFUSED, errno.ENOENT, errno.EHOSTUNREACH, errno.ENETUNREACH}
    while seen is not None:
        if isinstance(seen, socket.gaierror) or (isinstance(seen, OSError) and seen.errno in refused):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _unreachable(error: StoreUnreachableError, *, sent: bool) -> ConnectionFailedError:
    advice = error.advice
    if sent:
        advice += " The request may have been accepted: repeat it with an idempotency_key only."
    failed = ConnectionFailedError(error.what, advice=advice, executed=_ran(sent=sent))
    failed.__cause__ = error
    return failed


def _broken(error: Exception, *, sent: bool) -> McpweftError:
    """Return what a move is called that broke on its way: some of its batch may have been accepted before."""
    failed = StoreRefusedError(
        f"the store broke off: {error}",
        advice="Look at the store's log: its data may be of another kind. Repeat the request with an "
        "idempotency_key only.",
        executed=_ran(sent=sent),
    )
    failed.__cause__ = error
    return failed


def _no_room(ticket: Ticket, word: Word) -> McpweftError:
    return refusal(ticket.capability, ticket.submission, Accepted(word, ticket.submission.id, None, 1000))
