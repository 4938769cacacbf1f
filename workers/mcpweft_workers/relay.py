"""A transport of the SDK's behind a wire: whatever it does, sending never waits.

The SDK's HTTP and in-memory transports take one message at a time and may wait on the network for each;
here messages queue up without a bound (calls in flight are bounded above), and one task passes them on in
the context they were sent in, by which the transport below knows the call. Another task brings the answers.

Above stand http.py and inprocess.py. It must never know what the transport is made of.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from typing import TYPE_CHECKING

from mcp.shared.message import SessionMessage

from mcpweft_workers.failure import Cause
from mcpweft_workers.wire import PASSAGE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp.client._transport import ReadStream, WriteStream

    from mcpweft_workers.wire import Passage, Wire


def _say(exc: Exception) -> str:
    return str(exc) or type(exc).__name__


class Relay:
    """Carries messages between a wire and the two streams of an SDK transport."""

    def __init__(
        self, wire: Wire, read: ReadStream[SessionMessage | Exception], write: WriteStream[SessionMessage]
    ) -> None:
        self._wire = wire
        self._read = read
        self._write = write
        self._queue: asyncio.Queue[tuple[SessionMessage, Context]] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Carry while the context is open."""
        self._wire.write = self._take
        self._wire.inbound.on_room = self._room.set
        tasks = [
            asyncio.create_task(self._carry_out(), name="mcp out"),
            asyncio.create_task(self._carry_in(), name="mcp in"),
        ]
        try:
            yield
        finally:
            self._wire.write = None
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _take(self, item: SessionMessage, _passage: Passage | None) -> None:
        self._queue.put_nowait((item, copy_context()))

    async def _carry_out(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            item, context = await self._queue.get()
            try:
                await loop.create_task(self._write.send(item), context=context)
            except Exception as exc:  # noqa: BLE001  # a transport that takes no more has ended, whatever it says
                self._wire.end(Cause.CONNECTION_FAILED, f"The connection was closed: {_say(exc)}")
                return

    async def _carry_in(self) -> None:
        reason = "The connection was closed by the server"
        try:
            async for item in self._read:
                if isinstance(item, SessionMessage):
                    self._wire.received(item.message, self._passage())
                if self._wire.inbound.full:
                    self._room.clear()
                    await self._room.wait()
        except Exception as exc:  # noqa: BLE001  # as above
            reason = f"The connection was closed: {_say(exc)}"
        self._wire.end(Cause.CONNECTION_FAILED, reason)

    def _passage(self) -> Passage | None:
        """Name the call whose stream brought the last message, where the transport keeps its context."""
        context: Context | None = getattr(self._read, "last_context", None)
        return None if context is None else context.get(PASSAGE)
