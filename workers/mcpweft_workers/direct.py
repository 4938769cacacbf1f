"""One MCP server, spoken to directly by a process that is no worker: no store, no queue, one caller.

    async with Direct(config) as server:
        answer = await server.call("search", {"query": "…"}, within=10.0)

The session is the workers' own: connected anew when it is lost, with the same bounds. Above stands whoever
has a server and no fabric at the moment. This module must never know a store.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from mcpweft_schemas.config import Config
from mcpweft_schemas.errors import BY_CODE, ConnectionFailedError, McpweftError, RequestTimeoutError
from mcpweft_schemas.outcome import Code
from mcpweft_workers.catalog import Catalog
from mcpweft_workers.failure import CallFailed, Cause
from mcpweft_workers.plan import spec_of
from mcpweft_workers.session import Session

if TYPE_CHECKING:
    from mcpweft_schemas.config.server import ServerConfig
    from mcpweft_workers.tool import Answer, Tool

_ENDS_S = 10.0
_CODES = {
    Cause.ATTEMPT_TIMEOUT: Code.TIMEOUT,
    Cause.UNKNOWN_TOOL: Code.UNKNOWN_TOOL,
    Cause.INVALID_ARGUMENTS: Code.INVALID_ARGUMENTS,
    Cause.TOO_LARGE: Code.RESULT_TOO_LARGE,
    Cause.INPUT_REQUIRED: Code.INPUT_REQUIRED,
    Cause.RATE_LIMITED: Code.RESOURCE_EXHAUSTED,
}


class Direct:
    """A server that is held from entering to leaving the block, and started anew when it dies."""

    def __init__(self, server: ServerConfig) -> None:
        spec = spec_of(server.name, server, Config())
        self._session = Session(spec, rng=random.Random(), on_tools=self._listed)  # noqa: S311  # jitter
        self._catalog = Catalog(spec.name, ())

    async def __aenter__(self) -> Self:
        self._life = asyncio.create_task(self._session.run(), name="mcpweft: direct server")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._life.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_ENDS_S):
                await asyncio.wait({self._life})

    def _listed(self, tools: tuple[Tool, ...]) -> None:
        self._catalog = Catalog(self._session.spec.name, tools)

    async def tools(self, within: float) -> tuple[Tool, ...]:
        """Return the tools that it lists, waiting for it to be connected. Raises ConnectionFailedError."""
        try:
            async with asyncio.timeout(within):
                await self._session.ready.wait()
        except TimeoutError:
            what = f"server {self._session.spec.name!r} was not connected within {within:g} s"
            raise ConnectionFailedError(
                f"{what}: {self._session.reason}" if self._session.reason else what,
                advice="Look at its command or URL; `mcpweft doctor` tries all servers.",
            ) from None
        return self._session.tools

    async def call(
        self, tool: str, arguments: dict[str, Any], *, within: float, meta: dict[str, Any] | None = None
    ) -> Answer:
        """Call a tool once, in `within` seconds at most. Raises the error that stands for its failure."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        await self.tools(within)
        try:
            self._catalog.check(tool, arguments)
            left = max(0.001, until - loop.time())
            return await self._session.call(tool, arguments, timeout=left, meta=meta)
        except CallFailed as failure:
            raise _error(failure) from failure


def _error(failure: CallFailed) -> McpweftError:
    code = _CODES.get(failure.cause, Code.CONNECTION_FAILED)
    error = BY_CODE[code](failure.message, executed=failure.executed)
    if isinstance(error, RequestTimeoutError):
        error.phase = "attempt"
    return error
