"""The fake desk: takes requests where the real one would send them, and answers them from a script.

Above stands the real client, which cannot tell the two apart. A request is a task of this desk's; those that
share an idempotency key share one. It makes one attempt, has room for all, and keeps what it accepted when a
client is closed. This module must never judge what a caller may ask: that is done when it gets here.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from mcpweft.chores import Chores
from mcpweft.desk import _closing, _kept, _pool_of  # the real words
from mcpweft.refusal import refusal, unknown_capability
from mcpweft.testing.answer import Answer, Script
from mcpweft.testing.call import Call, Calls
from mcpweft.testing.reply import (
    Said,
    fresh,
    refused,
    said_cut_off,
    said_failure,
    said_misfit,
    said_no_tool,
    said_value,
)
from mcpweft.testing.request import Request
from mcpweft.testing.shelf import Shelf
from mcpweft_schemas.answer import Standing
from mcpweft_schemas.errors import McpweftError
from mcpweft_schemas.ident import producer_id
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.packing import unpack_map
from mcpweft_schemas.wire import DURABLE, STORED, Accepted
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from mcpweft.terms import Listener
    from mcpweft.testing.call import Way
    from mcpweft_schemas.wire import Reply, Submission

ASKED: ContextVar[tuple[Way, Mapping[str, Any]]] = ContextVar("asked")
"""The method and the options of the call that is under way: what a submission does not hold."""


class Stage:
    """What all clients of one fake share: what is said, what was asked, and what was accepted."""

    def __init__(self) -> None:
        self.script = Script()
        self.calls = Calls()
        self.requests: dict[str, Request] = {}
        self.keys: dict[tuple[str, str], str] = {}
        """(capability, digest of the idempotency key) → the request that has it."""
        self.shelf = Shelf(self.script, self.requests)
        self.closers: list[Callable[[], None]] = []
        """What is to be closed at the end: threads of SyncClients."""

    def end(self) -> None:
        """Close what is to be closed, and stop what still runs; the loop that it is of sees to the rest."""
        for close in self.closers:
            close()
        for request in self.requests.values():
            request.stop()


class FakeDesk:
    """Takes and answers the requests of one client."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._waiting: set[asyncio.Future[Any]] = set()
        self.producer = producer_id()
        self.chores = Chores(lambda _: None)
        """None are ever started: what a real client starts beside its calls, a fake has no need of."""
        self.closed = False

    # -- what the client asks ------------------------------------------------------------------------------

    async def ask(
        self,
        capability: str,
        submission: Submission,
        *,
        patient: bool,
        stop: bool,
        on_progress: Listener | None = None,
    ) -> Reply:
        """Take a request in and return its outcome; as `Desk.ask`."""
        del patient  # there is room
        request = self._accept(capability, submission)
        request.waiters += 1
        try:
            return await self._end_of(request, on_progress)
        except asyncio.CancelledError:
            if stop and request.waiters == 1 and DURABLE not in request.submission.flags:
                self._cancel(request)
            raise
        finally:
            request.waiters -= 1

    async def submit(self, capability: str, submission: Submission, *, patient: bool) -> str:
        """Take a request in and return the id to follow; as `Desk.submit`."""
        del patient
        return self._accept(capability, submission).id

    async def follow(self, request_id: str, *, on_progress: Listener | None = None) -> Reply:
        """Return the outcome of a request, waiting for it; as `Desk.follow`."""
        _pool_of(request_id)
        if self.closed:
            raise _closing(None, Executed.NO)
        request = self._stage.requests.get(request_id)
        if request is None:
            standing = Standing(Word.UNKNOWN, None, None, None)
        elif request.reply is None:
            return await self._end_of(request, on_progress)
        else:
            told = request.reply if STORED in request.submission.flags else None
            standing = Standing(Word.SETTLED, request.state, request.reply.code, told)
        reply = _kept(standing, request_id)
        assert reply is not None, "it has ended"  # noqa: S101  # _kept raises otherwise
        return reply

    async def run_cancel(self, capability: str, request_id: str, producer: str, *, stop: bool) -> Word:
        """End a request for everybody; as `Desk.run_cancel`."""
        del capability, producer, stop
        request = self._stage.requests.get(request_id)
        if request is None:
            return Word.UNKNOWN
        if request.reply is not None:
            return Word.SETTLED
        self._cancel(request)
        return Word.OK

    @contextlib.asynccontextmanager
    async def command(self) -> AsyncGenerator[Shelf]:
        """Lend what stands for the store."""
        if self.closed:
            raise _closing(None, Executed.NO)
        yield self._stage.shelf

    async def close(self) -> None:
        """End all waits with SHUTTING_DOWN; what was accepted is found again by another client."""
        self.closed = True
        for waiting in list(self._waiting):
            waiting.cancel()
        await asyncio.sleep(0)

    # -- taking in -----------------------------------------------------------------------------------------

    def _accept(self, capability: str, submission: Submission) -> Request:
        """Return the request to wait for: a new one, or the one that has its idempotency key."""
        if self.closed:
            raise _closing(None, Executed.NO)
        stage, key = self._stage, (capability, submission.key)
        arguments: dict[str, Any] = unpack_map(submission.body)["arguments"]
        held = stage.requests.get(stage.keys.get(key, "")) if submission.key else None
        way, options = ASKED.get(("call", {}))
        stage.calls.add(
            Call(capability, submission.tool, arguments, options, way, held.id if held else submission.id)
        )
        if held is not None:
            if held.submission.print != submission.print:
                raise refusal(capability, submission, Accepted(Word.CONFLICT, held.id, held.state, 0))
            return held
        request = Request(capability, submission, arguments, self._answer(capability, submission))
        stage.requests[request.id] = request
        if submission.key:
            stage.keys[key] = request.id
        self._start(request)
        return request

    def _answer(self, capability: str, submission: Submission) -> Answer | None:
        """Return what a new request is told; None where its tool is unknown. Raises what refuses it."""
        script = self._stage.script
        if not script.serves(capability):
            raise _hinted(unknown_capability(capability, script.pools()), f"{capability}.{submission.tool}")
        answers = script.find(capability, submission.tool)
        if answers is None:
            return None
        answer = answers.take()
        if (error := refused(answer, capability, submission, script.pools())) is not None:
            raise fresh(error)
        return answer

    # -- answering -----------------------------------------------------------------------------------------

    def _start(self, request: Request) -> None:
        request.task = asyncio.get_running_loop().create_task(self._run(request), name=f"fake {request.id}")

    async def _end_of(self, request: Request, on_progress: Listener | None) -> Reply:
        if request.reply is not None:
            return request.reply
        if not request.under_way:
            self._start(request)  # its loop has gone: what was accepted is begun again
        waiting = asyncio.ensure_future(asyncio.shield(request.over))
        self._waiting.add(waiting)
        try:
            with request.heard_by(on_progress):
                await waiting
        except asyncio.CancelledError:
            if self.closed:
                raise _closing(request.id, Executed.MAYBE) from None
            raise
        finally:
            self._waiting.discard(waiting)
        assert request.reply is not None, "it is over"  # noqa: S101  # for the type checkers
        return request.reply

    async def _run(self, request: Request) -> None:
        submission = request.submission
        limit = asyncio.timeout(submission.timeout_ms / 1000)
        try:
            async with limit:
                if submission.delay_ms:
                    await asyncio.sleep(submission.delay_ms / 1000)
                said = await self._said(request)
        except TimeoutError as error:
            if limit.expired():
                said = said_cut_off(submission, Code.TIMEOUT, began=bool(request.started_ms))
            else:
                said = Said(Code.TOOL_ERROR, error=error)
        except Exception as error:  # noqa: BLE001  # a callable's own: it is raised to whoever asks
            said = Said(Code.TOOL_ERROR, error=error)
        self._end(request, said)

    async def _said(self, request: Request) -> Said:
        """Return what a request is told, in its time."""
        request.begin()
        answer = request.answer
        if answer is None:
            request.note = _hint(f"{request.capability}.{request.submission.tool}")
            return said_no_tool(request.submission.tool, self._stage.script.tools(request.capability))
        for step in answer.progress:
            request.tell(step)
        if answer.delay:
            await asyncio.sleep(answer.delay)
        if answer.code is not Code.OK:
            return said_failure(answer, request.submission.tool)
        value = answer.value
        if not callable(value):
            return said_value(answer, value)
        misfit = said_misfit(value, request.submission.tool, request.arguments)
        if misfit is not None:
            return misfit
        try:
            made = value(**request.arguments)
            return said_value(answer, await made if inspect.isawaitable(made) else made)
        except McpweftError as error:
            return said_failure(Answer.failure_of(error, None, 0), request.submission.tool)

    def _cancel(self, request: Request) -> None:
        request.stop()
        began = bool(request.started_ms)
        self._end(request, said_cut_off(request.submission, Code.CANCELLED, began=began))

    def _end(self, request: Request, said: Said) -> None:
        request.end(said)
        keys, key = self._stage.keys, (request.capability, request.submission.key)
        if said.executed is Executed.NO and keys.get(key) == request.id:  # what never ran frees its key
            del keys[key]


def _hint(name: str) -> str:
    return f"The test has no answer for it: mcpweft_fake.returns({name!r}, …)"


def _hinted(error: McpweftError, name: str) -> McpweftError:
    error.add_note(_hint(name))
    return error
