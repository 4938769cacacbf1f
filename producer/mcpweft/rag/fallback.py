"""The fallback: one MCP server that is asked directly, by no queue, where the fabric cannot serve.

It is started at its first question and kept until the client is closed. Above stands the route. How it is
spoken to is the workers' business (`mcpweft_workers.direct`, loaded when it is needed): their transports
survive what servers do. This module must never know why it is asked.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from mcpweft.outcome import tool_error
from mcpweft.rag.tooling import Listed, arguments_of, choose
from mcpweft.result import Result, read_content
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_schemas.outcome import Executed, Times

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from mcpweft.rag.query import Query
    from mcpweft_schemas.config.server import ServerConfig

_HOME = "mcpweft_workers.direct"


class _Reply(Protocol):
    @property
    def content(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def structured(self) -> Any: ...
    @property
    def is_error(self) -> bool: ...
    @property
    def service_ms(self) -> float: ...


class _Server(Protocol):
    async def tools(self, within: float) -> Sequence[Listed]: ...
    async def call(
        self, tool: str, arguments: dict[str, Any], *, within: float, meta: dict[str, Any] | None
    ) -> _Reply: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Fallback:
    """One server. Close it in the end."""

    def __init__(self, server: ServerConfig, tool: str | None = None) -> None:
        self.name = server.name
        self._config = server
        self._tool = tool
        self._server: _Server | None = None
        self._opening = asyncio.Lock()

    async def ask(self, query: Query, within: float) -> Result:
        """Return its answer. Raises ToolError, or what else came of it; `within` in seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        server = await self._ready()
        tool = choose(await server.tools(within), self._tool, f"server {self.name!r}")
        meta = None if query.metadata is None else dict(query.metadata)
        reply = await server.call(
            tool.name, arguments_of(query, tool), within=max(0.001, until - loop.time()), meta=meta
        )
        result = Result(
            request_id="",
            content=read_content(reply.content),
            structured=reply.structured,
            is_error=reply.is_error,
            server=self.name,
            worker="",
            attempts=(),
            times=Times(service_ms=reply.service_ms),
            executed=Executed.YES,
        )
        if result.is_error:
            raise tool_error(result, tool.name)
        return result

    async def _ready(self) -> _Server:
        async with self._opening:
            server = self._server
            if server is None:
                server = self._server = await _direct()(self._config).__aenter__()
            return server

    async def close(self) -> None:
        """End the server, if it was started."""
        async with self._opening:
            server, self._server = self._server, None
            if server is not None:
                await server.__aexit__(None, None, None)


def _direct() -> Callable[[ServerConfig], _Server]:
    try:
        return cast("Callable[[ServerConfig], _Server]", import_module(_HOME).Direct)
    except ModuleNotFoundError as error:
        raise InvalidConfigError(
            f"a fallback server needs the package {error.name!r}", advice='pip install "mcpweft[rag]"'
        ) from error
