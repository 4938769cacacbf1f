"""One connection to a server: its transport, the SDK's session on it, and the tools it listed.

A `Link` lives from connect to loss and is never mended: the session makes a new one. It is entered and left
in the owner's task, because the SDK's cancel scopes belong to the task that opened them.

Above stands session.py. Below: the transports, wire.py, handshake.py, the SDK. It must never know who calls
or what becomes of a failure.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol, cast

from mcp import ClientSession, MCPError
from mcp.client.subscriptions import SubscriptionLost, listen
from mcp_types import (
    CallToolRequest,
    CallToolRequestParams,
    Implementation,
    PaginatedRequestParams,
)
from mcp_types import Tool as ListedTool
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ConfigDict, Field

from mcpweft_workers.handshake import agree
from mcpweft_workers.http import Http
from mcpweft_workers.inprocess import InProcess
from mcpweft_workers.stdio import Stdio
from mcpweft_workers.tool import Tool
from mcpweft_workers.wire import PASSAGE, Wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from mcp_types import RequestParamsMeta

    from mcpweft_workers.spec import ServerSpec
    from mcpweft_workers.wire import Passage

PAGES = 100
"""Pages of a tool list that are read: a listing that never ends must not hang the worker."""
RELISTEN = 1.0
"""Seconds before a lost subscription is opened again."""
METHOD_NOT_FOUND = -32601
# The SDK logs what a server answered, with its content; here every fault is told on its call instead.
for _name in ("mcp.client.streamable_http", "mcp.client.sse", "client"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)
_US = Implementation(name="mcpweft", version="0.1.0")


class Transport(Protocol):
    """What carries messages between the wire and the server, once it is entered."""

    @property
    def pid(self) -> int | None:
        """The server's process id, where it is a process of ours."""
        ...

    @property
    def stderr_tail(self) -> str:
        """What the server wrote to stderr last."""
        ...


class Reply(BaseModel):
    """A tools/call result, its content as it came; the SDK has held it against the era's schema."""

    model_config = ConfigDict(extra="ignore")

    content: list[dict[str, Any]] = []
    structured: Any = Field(default=None, alias="structuredContent")
    is_error: bool = Field(default=False, alias="isError")
    result_type: str = Field(default="complete", alias="resultType")
    meta: Any = Field(default=None, alias="_meta")


class Link:
    """A session that is up, from `__aenter__` on."""

    def __init__(
        self, spec: ServerSpec, on_end: Callable[[str], None], on_list_changed: Callable[[], None]
    ) -> None:
        self.wire = Wire(on_end, on_list_changed)
        self.tools: tuple[Tool, ...] = ()
        self.closed = asyncio.Event()
        """Set by the owner once nothing of it is left."""
        self._spec = spec
        self._transport: Transport | None = None
        self._stack = AsyncExitStack()
        self._listener: asyncio.Task[None] | None = None

    async def connect(self, mode: str) -> None:
        """Open the transport, agree on the era, list the tools. Leave with `close`, also after a failure."""
        self._transport = await self._stack.enter_async_context(_transport(self._spec, self.wire))
        session = ClientSession(self.wire.inbound, self.wire.outbound, client_info=_US)
        self.session = await self._stack.enter_async_context(session)
        await agree(self.session, mode, self._spec.discover_timeout)
        await self.list_tools()
        if self.modern and self._tells_of_changes():
            self._listener = asyncio.create_task(self._listen(), name="mcp list changes")

    async def close(self) -> None:
        """End the session and the transport, within the transport's bounds."""
        try:
            if self._listener is not None:
                self._listener.cancel()
                await asyncio.wait([self._listener])
        finally:
            await self._stack.aclose()

    @property
    def pid(self) -> int | None:
        """The server's process id, where it is a process of ours."""
        return None if self._transport is None else self._transport.pid

    @property
    def stderr_tail(self) -> str:
        """What the server wrote to stderr last."""
        return "" if self._transport is None else self._transport.stderr_tail

    @property
    def modern(self) -> bool:
        """Whether the session is of the era without sessions."""
        return self.session.protocol_version in MODERN_PROTOCOL_VERSIONS

    async def call(
        self, tool: str, arguments: dict[str, Any], meta: dict[str, Any] | None, passage: Passage
    ) -> Reply:
        """Send one call and wait for its reply.

        Raises:
            MCPError: the server answered an error, the session ended, or `passage` holds the reason.
            ValueError: the reply does not fit the era's schema, or the arguments cannot be written as JSON.

        """
        token: int | None = None
        if passage.on_progress is not None:
            token = self.wire.progress_token(passage)
            meta = {**(meta or {}), "progressToken": token}
        # Built without validation: the arguments are the caller's, and the catalog has checked them.
        params = CallToolRequestParams(name=tool, arguments=arguments)
        params.meta = cast("RequestParamsMeta | None", meta)
        current = PASSAGE.set(passage)
        try:
            reply = await self.session.send_request(CallToolRequest(params=params), Reply)
        finally:
            passage.give_up()
            PASSAGE.reset(current)
            if token is not None:
                self.wire.forget_progress(token)
        if self._spec.kind != "stdio":  # there the lines were checked
            json.dumps([reply.content, reply.structured], allow_nan=False)
        return reply

    async def ping(self) -> bool:
        """Whether the server answers at all: a pong, or that it knows no ping."""
        try:
            await self.session.send_ping()
        except MCPError as exc:
            return exc.code == METHOD_NOT_FOUND
        except ValueError:
            return True
        return True

    async def list_tools(self) -> None:
        """Read the tool list, all pages of it.

        Raises:
            MCPError, ValueError: the server has none, or lists what is no tool.

        """
        tools: dict[str, Tool] = {}
        cursor: str | None = None
        for _ in range(PAGES):
            page = await self.session.list_tools(
                params=PaginatedRequestParams(cursor=cursor) if cursor else None
            )
            tools.update((listed.name, _tool(listed)) for listed in page.tools)
            if page.next_cursor is None or page.next_cursor == cursor:
                break
            cursor = page.next_cursor
        self.tools = tuple(tools.values())

    def _tells_of_changes(self) -> bool:
        capabilities = self.session.server_capabilities
        return (
            capabilities is not None
            and capabilities.tools is not None
            and bool(capabilities.tools.list_changed)
        )

    async def _listen(self) -> None:
        """Keep the newest era's subscription to list changes open; the wire hears the events."""
        while True:
            try:
                async with listen(self.session, tools_list_changed=True) as changes:
                    self.wire.list_changed()  # there is no replay of what came before
                    async for _ in changes:
                        pass
            except (MCPError, SubscriptionLost) as exc:
                refused = isinstance(exc, MCPError) and exc.code == METHOD_NOT_FOUND
                if refused or self.wire.ending is not None:
                    return
            await asyncio.sleep(RELISTEN)


def _transport(spec: ServerSpec, wire: Wire) -> AbstractAsyncContextManager[Transport]:
    """Make the transport for this kind of server."""
    if spec.kind == "stdio":
        return Stdio(spec, wire)
    if spec.kind == "app":
        return InProcess(spec, wire)
    return Http(spec, wire)


def _tool(listed: ListedTool) -> Tool:
    hints = listed.annotations
    execution = listed.execution
    return Tool(
        name=listed.name,
        description=listed.description or "",
        input_schema=listed.input_schema,
        read_only=None if hints is None else hints.read_only_hint,
        idempotent=None if hints is None else hints.idempotent_hint,
        task_required=execution is not None and execution.task_support == "required",
    )
