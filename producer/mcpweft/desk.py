"""The desk: where requests are handed in, waited for and left. One for each client.

Above stands the client's surface. Below are the enqueuer (what goes out), the reader (what comes back), the
table of waits between them, and the chores that they all run as. A call costs one future and no task: it is
resolved by the enqueuer when the store refuses, else by the reader.

Order of the end: refuse new work, end all waits, let cancels go out, stop what runs, let the reply streams
go, close the link.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from mcpweft.chores import Chores
from mcpweft.enqueuer import Enqueuer
from mcpweft.reader import Reader, expire_at, hard_limit
from mcpweft.refusal import refusal, unknown_capability
from mcpweft.ticket import Ticket, left_of
from mcpweft.waits import Wait, Waits
from mcpweft_schemas.errors import (
    FabricError,
    McpweftError,
    RequestTimeoutError,
    ResourceExhaustedError,
    ResultExpiredError,
    ShuttingDownError,
)
from mcpweft_schemas.ident import producer_id
from mcpweft_schemas.keys import capability_of
from mcpweft_schemas.outcome import Executed
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcpweft.terms import Listener
    from mcpweft_schemas.store import Standing, Store
    from mcpweft_schemas.wire import Accepted, Reply, Submission

_log = logging.getLogger("mcpweft")

_CLOSE_S = 2.0
_COMMANDS = 16  # single commands under way at once: each takes a connection of its own
_FAR = 1e12
_ROOM_S = 1.0  # between two tries on a store that is full


class Desk:
    """Hands requests in, waits for their outcomes, and leaves them."""

    def __init__(self, store: Store, outstanding: int) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self.producer = producer_id()
        self.waits = Waits()
        self.chores = Chores(self._broken)
        self.reader = Reader(store, self.producer, self.waits, self.chores)
        self._enqueuer = Enqueuer(store, self.chores, self.reader.ready, self.reader.told)
        self._room = outstanding
        self._queue: deque[asyncio.Future[None]] = deque()
        self._commands = asyncio.Semaphore(_COMMANDS)
        self._submitting: set[asyncio.Future[str]] = set()
        self.closed = False
        self.chores.start(self.reader.beat(), name="beat")

    # -- room ----------------------------------------------------------------------------------------------

    async def _enter(self, until: float | None = None) -> None:
        """Take one of the places for open requests, in the order of asking.

        Raises RequestTimeoutError where none was free by then.
        """
        if self.closed:
            raise _closing(None, Executed.NO)
        if self._room > 0 and not self._queue:
            self._room -= 1
            return
        turn: asyncio.Future[None] = self._loop.create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout_at(until):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._exit()  # the place was given just as its taker went away
            if isinstance(error, TimeoutError):
                raise _crowded() from None
            raise

    def _exit(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._room += 1

    # -- calling -------------------------------------------------------------------------------------------

    async def ask(
        self,
        capability: str,
        submission: Submission,
        *,
        patient: bool,
        stop: bool,
        on_progress: Listener | None = None,
    ) -> Reply:
        """Hand a request in and return its outcome; a cancelled caller leaves it, ending it if `stop`.

        Raises McpweftError where it is refused, or where no outcome can be had.
        """
        deadline = self._loop.time() + submission.timeout_ms / 1000
        await self._enter(deadline)
        wait = self._hand_in(capability, submission, deadline, patient=patient, on_progress=on_progress)
        try:
            return await wait.future
        except asyncio.CancelledError:
            self._leave(wait, stop=stop)
            raise
        except RequestTimeoutError:
            self._leave(wait, stop=stop)  # given up here: the store may still hold it
            raise
        finally:
            self.waits.remove(wait)
            self._exit()

    def _hand_in(
        self,
        capability: str,
        submission: Submission,
        deadline: float,
        *,
        patient: bool,
        on_progress: Listener | None,
    ) -> Wait:
        now = self._loop.time()
        future: asyncio.Future[Reply] = self._loop.create_future()
        wait = Wait(capability, submission.id, future, since=now, hard=hard_limit(deadline))
        wait.on_progress = on_progress
        self.waits.add(wait)
        self.waits.later(wait, expire_at(deadline))
        self.reader.wake()

        def failed(_: Ticket, error: Exception) -> None:
            self.waits.remove(wait)
            wait.fail(error)

        def taken(ticket: Ticket, accepted: Accepted) -> None:
            self._taken(wait, ticket, accepted)

        within = left_of(submission, deadline - now)
        ticket = wait.ticket = Ticket(capability, within, taken, failed, deadline, patient)
        self._enqueuer.put(ticket)
        return wait

    def _taken(self, wait: Wait, ticket: Ticket, accepted: Accepted) -> None:
        """Carry on with a call by what the store said of it."""
        if wait.future.done():
            if accepted.word in _LIVE and ticket.left:
                self._cancel_later(wait.capability, accepted.id, stop=True)
            return
        match accepted.word:
            case Word.OK:
                wait.accepted = True
            case Word.REPEAT:
                wait.accepted = True  # by an earlier send: its outcome may have been told before we listened
                self.reader.check(wait.capability, [wait.id])
            case Word.ATTACHED:
                self.waits.rename(wait, accepted.id)
                wait.accepted = True
            case Word.SETTLED:
                self.waits.rename(wait, accepted.id)
                wait.accepted = True
                self.reader.check(wait.capability, [accepted.id])
            case Word.UNKNOWN:
                self.waits.remove(wait)
                self.chores.start(self._unknown(wait.capability, wait.future), name="name pools")
            case _:
                self.waits.remove(wait)
                wait.fail(refusal(wait.capability, ticket.submission, accepted))

    async def _unknown(self, capability: str, future: asyncio.Future[Any]) -> None:
        known: tuple[str, ...] = ()
        with contextlib.suppress(McpweftError):
            known = await self._store.pools()
        if not future.done():
            future.set_exception(unknown_capability(capability, known))

    # -- leaving -------------------------------------------------------------------------------------------

    def _leave(self, wait: Wait, *, stop: bool) -> None:
        """Cease to wait; the request is left, and ended if `stop` and nobody else waits for it."""
        last = self.waits.remove(wait) or not self.waits.of(wait.capability, wait.id)
        ticket = wait.ticket
        if ticket is not None and not ticket.answered:
            if not ticket.sent or stop:
                ticket.left = True  # the enqueuer drops it, or its answer has it cancelled
            return
        if last and not self.closed:
            self._cancel_later(wait.capability, wait.id, stop=stop)

    def _cancel_later(self, capability: str, request_id: str, *, stop: bool) -> None:
        self.chores.start(self._cancel(capability, request_id, stop=stop), name=f"cancel {request_id}")

    async def _cancel(self, capability: str, request_id: str, *, stop: bool) -> None:
        try:
            await self.run_cancel(capability, request_id, self.producer, stop=stop)
        except FabricError as error:
            _log.warning("request %s could not be cancelled: %s", request_id, error.what)

    async def run_cancel(self, capability: str, request_id: str, producer: str, *, stop: bool) -> Word:
        """End a request for everybody, or leave it as `producer`; a few at a time."""
        async with self._commands:
            return await self._store.cancel(capability, request_id, producer, stop=stop)

    # -- submitting and following --------------------------------------------------------------------------

    async def submit(self, capability: str, submission: Submission, *, patient: bool) -> str:
        """Hand a request in and return the id to follow. Raises McpweftError where it is refused."""
        deadline = self._loop.time() + submission.timeout_ms / 1000
        await self._enter(deadline)
        future: asyncio.Future[str] = self._loop.create_future()
        self._submitting.add(future)

        def failed(_: Ticket, error: Exception) -> None:
            if not future.done():
                future.set_exception(error)

        def taken(ticket: Ticket, accepted: Accepted) -> None:
            if future.done():
                return
            if accepted.word in _LIVE or accepted.word is Word.SETTLED:
                future.set_result(accepted.id)
            elif accepted.word is Word.UNKNOWN:
                self.chores.start(self._unknown(capability, future), name="name pools")
            else:
                future.set_exception(refusal(capability, ticket.submission, accepted))

        within = left_of(submission, deadline - self._loop.time())
        ticket = Ticket(capability, within, taken, failed, deadline, patient)
        self._enqueuer.put(ticket)
        try:
            return await future
        finally:
            ticket.left = not future.done() or future.cancelled()
            self._submitting.discard(future)
            self._exit()

    async def follow(self, request_id: str, *, on_progress: Listener | None = None) -> Reply:
        """Return the outcome of a request that anybody enqueued. A cancelled caller only ceases to wait.

        Raises ResultExpiredError where nothing is known of it, or its outcome is gone; StoreUnreachableError,
        which says nothing of the request.
        """
        capability = _pool_of(request_id)
        await self._enter()
        future: asyncio.Future[Reply] = self._loop.create_future()
        wait = Wait(capability, request_id, future, since=self._loop.time(), hard=_FAR)
        wait.on_progress = on_progress
        try:
            kept = await self._find(capability, request_id)  # most are over by now, and need no stream
            if kept is None:
                self.waits.add(wait)
                self.reader.wake()
                kept = await self._attach(capability, request_id)
            if kept is not None:
                return kept
            wait.accepted = True
            return await future
        except asyncio.CancelledError:
            self._leave(wait, stop=False)
            raise
        except FabricError as error:
            if error.request_id is None:  # trouble with the store: the request goes its way
                error.executed, error.request_id = Executed.MAYBE, request_id
            raise
        finally:
            self.waits.remove(wait)
            self._exit()

    async def _find(self, capability: str, request_id: str) -> Reply | None:
        """Return an outcome that was kept; None where the request is under way."""
        async with self._commands:
            _, found = await self._store.lookup(capability, [request_id])
        return _kept(found[request_id], request_id)

    async def _attach(self, capability: str, request_id: str) -> Reply | None:
        """Join a request's waiters, or return its outcome. A full store takes none, and is asked again."""
        while True:
            try:
                await self.reader.ready(capability)
                async with self._commands:
                    standing = await self._store.attach(capability, request_id, self.producer)
            except ResourceExhaustedError:
                await asyncio.sleep(_ROOM_S)
                if (kept := await self._find(capability, request_id)) is not None:
                    return kept
            else:
                return _kept(standing, request_id)

    @contextlib.asynccontextmanager
    async def command(self) -> AsyncGenerator[Store]:
        """Lend the store for one command, a few at a time."""
        if self.closed:
            raise _closing(None, Executed.NO)
        async with self._commands:
            yield self._store

    # -- the end -------------------------------------------------------------------------------------------

    def _broken(self, error: Exception) -> None:
        """End every wait: a task that they rely on has failed."""
        for wait in self.waits.all():
            self.waits.remove(wait)
            wait.fail(error)
        for future in self._submitting:
            if not future.done():
                future.set_exception(error)

    async def close(self) -> None:
        """End all waits with SHUTTING_DOWN, then everything that runs; bounded. Repeat freely."""
        if self.closed:
            return
        self.closed = True
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_exception(_closing(None, Executed.NO))
        self._enqueuer.stop(lambda ran: _closing(None, ran))
        for wait in self.waits.all():
            self.waits.remove(wait)
            wait.fail(_closing(wait.id, Executed.MAYBE))
        await self.chores.finish("cancel", _CLOSE_S)
        await self.chores.close()
        for future in self._submitting:
            if not future.done():
                future.set_exception(_closing(None, Executed.MAYBE))
        with contextlib.suppress(TimeoutError, FabricError):
            async with asyncio.timeout(_CLOSE_S):
                await self.reader.close()


_LIVE = frozenset({Word.OK, Word.REPEAT, Word.ATTACHED})


def _pool_of(request_id: str) -> str:
    try:
        return capability_of(request_id)
    except ValueError:
        raise ResultExpiredError(
            f"{request_id!r} is not the id of a request",
            advice="An id looks like <capability>~<uuid>, as submit gave it.",
        ) from None


def _kept(standing: Standing, request_id: str) -> Reply | None:
    """Return the outcome that was kept; None where the request is under way."""
    if standing.outcome is not None:
        return standing.outcome
    if standing.word in (Word.ATTACHED, Word.OK):
        return None
    if standing.word is Word.SETTLED:
        raise ResultExpiredError(
            f"request {request_id} ended as {standing.code}; its outcome was told to its caller and not kept",
            advice="Outcomes are kept for submit and for calls with an idempotency_key.",
            executed=Executed.MAYBE,
            request_id=request_id,
        )
    raise ResultExpiredError(
        f"nothing is known of request {request_id}: its outcome was kept for its time, or there was none",
        advice="Fetch outcomes within queue.result_ttl (an hour by default), and check id and namespace.",
        executed=Executed.MAYBE,
        request_id=request_id,
    )


def _crowded() -> RequestTimeoutError:
    error = RequestTimeoutError(
        "the deadline came before this client had a place for the request, and it was not sent",
        advice="Have fewer requests open at a time, or raise `call.outstanding`.",
        executed=Executed.NO,
    )
    error.phase = "queue"
    return error


def _closing(request_id: str | None, ran: Executed) -> ShuttingDownError:
    if ran is Executed.NO:
        return ShuttingDownError(
            "the client is closed, and the request was not sent",
            advice="Call it within the client's `async with`.",
        )
    return ShuttingDownError(
        "the client was closed while the request was waiting, and the request goes on",
        advice="Its outcome is kept for a minute: `client.result(id)` of another client has it."
        if request_id
        else "Wait for your calls before you close the client.",
        executed=ran,
        request_id=request_id,
    )
