"""The two streams that the SDK's session reads and writes, and what is known of each call on its way.

Every transport hands its messages to one `Wire`. It keeps count of what is in flight, so that a call can be
failed alone, with its true cause, from the place that sees the fault; it takes progress, list changes and
requests for input out of the traffic before they cost the SDK a task each; and it ends the session by ending
the stream. Nothing here ever blocks: that is what lets every timeout fire.

Above stand link.py and the SDK. Below: the transports. It must never know how bytes travel.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from mcp.shared.message import SessionMessage
from mcp_types import (
    INTERNAL_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)

from mcpweft_schemas.outcome import Executed
from mcpweft_workers.failure import Cause

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from types import TracebackType

log = logging.getLogger(__name__)

COURTESY = 2.0
"""Seconds for a request whose answer nobody waits for: a notification, or a call that was given up."""
ROOM = 1024
"""Messages that may wait for the SDK; beyond it the transport stops reading, so a flood costs the server."""
_INPUT = frozenset({"elicitation/create", "sampling/createMessage", "roots/list"})
_FOR_THE_SDK = frozenset({"notifications/cancelled", "notifications/subscriptions/acknowledged"})
PASSAGE: ContextVar[Passage | None] = ContextVar("passage", default=None)
"""The call that is being made: set by whoever calls, read where its bytes are written."""


@dataclass(slots=True, eq=False)
class Passage:
    """What is known of one call on its way through a transport."""

    executed: Executed = Executed.NO
    cause: Cause | None = None
    message: str = ""
    respite: float = 0.0
    request_id: RequestId | None = None
    on_progress: Callable[[float, float | None, str | None], None] | None = None
    _until: float | None = None
    _waits: set[asyncio.Timeout] = field(default_factory=set["asyncio.Timeout"])

    @asynccontextmanager
    async def waiting(self) -> AsyncGenerator[None]:
        """Bound a wait for bytes: by nothing, until nobody wants the answer. Then it raises TimeoutError."""
        async with asyncio.timeout_at(self._until) as wait:
            self._waits.add(wait)
            try:
                yield
            finally:
                self._waits.discard(wait)

    def give_up(self) -> None:
        """Want the answer no more: what is still waited for ends within moments."""
        self._until = asyncio.get_running_loop().time() + COURTESY
        for wait in self._waits:
            wait.reschedule(self._until)

    def fault(self, cause: Cause, message: str, executed: Executed | None = None) -> None:
        """Note why the call fails; the first reason stands."""
        if self.cause is None:
            self.cause, self.message = cause, message
            self.executed = executed or self.executed


class Inbound:
    """The stream that the SDK reads: an unbounded queue whose feeder is told when to pause."""

    def __init__(self) -> None:
        self.on_room: Callable[[], None] | None = None
        self._queue: deque[SessionMessage | Exception] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._ended = False

    @property
    def full(self) -> bool:
        """Whether the feeder should pause until `on_room`."""
        return len(self._queue) >= ROOM

    def feed(self, message: JSONRPCMessage) -> None:
        """Queue a message for the SDK."""
        if not self._ended:
            self._queue.append(SessionMessage(message))
            self._wake()

    def end(self) -> None:
        """End the stream once the queue is read: the SDK then fails all that is in flight."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def receive(self) -> SessionMessage | Exception:
        """Wait for the next message."""
        return await self.__anext__()

    async def aclose(self) -> None:
        """End the stream and drop what is queued."""
        self.end()
        self._queue.clear()

    def __aiter__(self) -> Inbound:  # the SDK's protocol is typed so
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        while not self._queue:
            if self._ended:
                raise StopAsyncIteration
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        message = self._queue.popleft()
        if self.on_room is not None and len(self._queue) == ROOM // 2:
            self.on_room()
        return message

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.aclose()


class Outbound:
    """The stream that the SDK writes: hands each message on at once and never waits."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def send(self, item: SessionMessage, /) -> None:
        """Hand a message to the transport."""
        self._wire.sending(item)

    async def aclose(self) -> None:
        """Leave it open: the transport closes what it opened."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.aclose()


class Wire:
    """One session's traffic. `write` is the transport's: it takes a message and the call it belongs to."""

    def __init__(self, on_end: Callable[[str], None], on_list_changed: Callable[[], None]) -> None:
        self.inbound = Inbound()
        self.outbound = Outbound(self)
        self.write: Callable[[SessionMessage, Passage | None], None] | None = None
        self.ending: tuple[Cause, str] | None = None
        """Why the session ended; None while it lives."""
        self.hurry = False
        """Whether the server gets no time to end by itself."""
        self._on_end = on_end
        self.list_changed = on_list_changed
        self._pending: dict[RequestId, Passage | None] = {}
        self._tokens = 0
        self._progress: dict[RequestId, Passage] = {}

    # --- out

    def sending(self, item: SessionMessage) -> None:
        """Take a message from the SDK."""
        message = item.message
        passage: Passage | None = None
        if isinstance(message, JSONRPCRequest):
            passage = PASSAGE.get()
            self._pending[message.id] = passage
            if passage is not None:
                passage.request_id = message.id
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            self._pending.pop((message.params or {}).get("requestId", ""), None)
        if self.write is not None:
            self.write(item, passage)

    def progress_token(self, passage: Passage) -> int:
        """Hand out the token under which the server may report this call's progress."""
        self._tokens += 1
        self._progress[self._tokens] = passage
        return self._tokens

    def forget_progress(self, token: int) -> None:
        """Drop what the server still reports under this token."""
        self._progress.pop(token, None)

    # --- in

    def received(self, message: JSONRPCMessage, passage: Passage | None = None) -> None:
        """Take a message from the server; `passage` names its call where the transport knows."""
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            if message.id is not None:
                self._pending.pop(message.id, None)
            self.inbound.feed(message)
        elif isinstance(message, JSONRPCRequest):
            if message.method in _INPUT:
                self._asked(message.method, passage)
            self.inbound.feed(message)  # the SDK refuses what nobody here can answer
        elif message.method == "notifications/progress":
            self._progressed(message.params or {})
        elif message.method == "notifications/tools/list_changed":
            self.list_changed()
        elif message.method in _FOR_THE_SDK:
            self.inbound.feed(message)

    def _progressed(self, params: dict[str, Any]) -> None:
        token = params.get("progressToken")
        passage = self._progress.get(token) if isinstance(token, int) else None
        if passage is None or passage.on_progress is None:
            return
        progress, total, text = params.get("progress"), params.get("total"), params.get("message")
        if isinstance(progress, int | float):
            try:
                passage.on_progress(
                    float(progress),
                    float(total) if isinstance(total, int | float) else None,
                    text if isinstance(text, str) else None,
                )
            except Exception:  # whoever listens, the other messages of this read must still be served
                passage.on_progress = None
                log.exception("A progress callback raised; it is not called again for this call")

    def _asked(self, method: str, passage: Passage | None) -> None:
        """End the call that asks for input. Where several may have asked, the refusal must do."""
        calls = [call for call in self._pending.values() if call is not None]
        if passage is None and len(calls) == 1:
            passage = calls[0]
        if passage is None or passage.request_id not in self._pending:
            return
        rid = passage.request_id
        self.fail(rid, Cause.INPUT_REQUIRED, f"The server asked for {method}, and nobody here can answer")
        stop = JSONRPCNotification(
            jsonrpc="2.0",
            method="notifications/cancelled",
            params={"requestId": rid, "reason": "input required"},
        )
        self.sending(SessionMessage(stop))

    # --- ends

    def is_pending(self, rid: RequestId) -> bool:
        """Whether the server owes an answer under this id."""
        return rid in self._pending

    def only_pending(self) -> RequestId | None:
        """Give the one call in flight, or None when there are none or several."""
        calls = [rid for rid, passage in self._pending.items() if passage is not None]
        return calls[0] if len(calls) == 1 else None

    def fail(
        self, rid: RequestId | None, cause: Cause, message: str, executed: Executed | None = None
    ) -> None:
        """End one request with an error of our own."""
        if rid is None or rid not in self._pending:
            return
        passage = self._pending.pop(rid)
        if passage is not None:
            passage.fault(cause, message, executed)
        error = ErrorData(code=INTERNAL_ERROR, message=message)
        self.inbound.feed(JSONRPCError(jsonrpc="2.0", id=rid, error=error))

    def end(self, cause: Cause, message: str) -> None:
        """End the session; every call in flight fails with this cause. The first reason stands."""
        if self.ending is None:
            self.ending = (cause, message)
            self.inbound.end()
            self._on_end(message)
