"""An MCP server that lives in the worker's own process: an object named `module:attribute`.

It runs on the worker's loop, so a tool that blocks the loop blocks the worker: that is the price of no
process.

Above stands link.py. Below: relay.py and the SDK's memory streams.
"""

from __future__ import annotations

import asyncio
import importlib
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from mcp.server import MCPServer
from mcp.server.lowlevel import Server
from mcp.shared.memory import create_client_server_memory_streams

from mcpweft_schemas.outcome import Executed
from mcpweft_workers.failure import Cause
from mcpweft_workers.relay import Relay
from mcpweft_workers.wire import PASSAGE

if TYPE_CHECKING:
    from types import TracebackType

    from mcp.client._transport import WriteStream
    from mcp.shared.message import SessionMessage

    from mcpweft_workers.spec import ServerSpec
    from mcpweft_workers.wire import Wire

GRACE = 1.0
"""Seconds that the server's own shutdown may take."""


class InProcess:
    """One run of a server object, as an async context manager."""

    pid = None
    stderr_tail = ""

    def __init__(self, spec: ServerSpec, wire: Wire) -> None:
        self._spec = spec
        self._wire = wire
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        server = find(self._spec.app)
        streams = create_client_server_memory_streams()
        client, (server_read, server_write) = await self._stack.enter_async_context(streams)
        options = server.create_initialization_options()
        self._task = asyncio.create_task(server.run(server_read, server_write, options), name="mcp app")
        self._task.add_done_callback(self._on_done)
        self._closing = (client[1], server_write)
        read, write = client
        await self._stack.enter_async_context(Relay(self._wire, read, _Noting(write)).running())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for stream in self._closing:
                await stream.aclose()
            await asyncio.wait([self._task], timeout=GRACE)
            self._task.cancel()
            await asyncio.wait([self._task], timeout=GRACE)
        finally:
            self._task.cancel()
            await self._stack.aclose()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        why = "was cancelled" if task.cancelled() else str(task.exception() or "returned")
        self._wire.end(Cause.SERVER_DIED, f"Server {self._spec.name!r} ended: its run() {why}")


class _Noting:
    """The way to the server, where a call that sets out may from then on have run."""

    def __init__(self, stream: WriteStream[SessionMessage]) -> None:
        self._stream = stream

    async def send(self, item: SessionMessage, /) -> None:
        """Hand a message over, in the context of the call that it belongs to."""
        passage = PASSAGE.get()
        if passage is not None:
            passage.executed = Executed.MAYBE
        await self._stream.send(item)

    async def aclose(self) -> None:
        """Close the way."""
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def find(app: str) -> Server[Any]:
    """Import the server that `module:attribute` names.

    Raises:
        ValueError: it names no MCPServer.
        ImportError, AttributeError: it cannot be found.

    """
    module, _, attribute = app.partition(":")
    found: Any = importlib.import_module(module)
    for part in (attribute or "server").split("."):
        found = getattr(found, part)
    if isinstance(found, MCPServer):
        found = found._lowlevel_server  # noqa: SLF001  # the SDK's own client reaches it so
    if not isinstance(found, Server):
        raise ValueError(f"{app!r} is a {type(found).__name__}, not an MCPServer")  # noqa: TRY004  # a config fault
    return found
