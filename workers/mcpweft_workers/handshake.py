"""Agree with a server on an era: the newest by `server/discover`, or one of the old ones by `initialize`.

The SDK's own `auto` waits 10 s for a server that is mute on `server/discover`; this one asks the old way in
the same session after `discover_timeout`, so that a connect timeout of 10 s is enough for both. A server
that dies of the question is respawned by link.py and asked the old way only.

Above stands link.py. It must never know which transport it speaks through.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from mcp import MCPError
from mcp_types import UNSUPPORTED_PROTOCOL_VERSION, DiscoverResult, ServerCapabilities
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_MODERN_VERSION, MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

if TYPE_CHECKING:
    from mcp import ClientSession


_CLOSED = "Connection closed"  # what the SDK says of requests in flight when the session ends


class NoAnswerError(Exception):
    """The session ended after `server/discover` was asked, before an era was settled."""


async def agree(session: ClientSession, mode: str, discover_timeout: float) -> None:
    """Settle the session's era as `mode` says.

    Raises:
        NoAnswerError: auto only: the session ended on `server/discover`; a respawn with `legacy` may do.
        MCPError, RuntimeError, ValidationError: the server answered, and no era is common.

    """
    if mode == "legacy":
        await session.initialize()
    elif mode == "auto":
        try:
            await _auto(session, discover_timeout)
        except MCPError as exc:
            if exc.message == _CLOSED:
                raise NoAnswerError from exc
            raise
    else:
        session.adopt(_plain(mode))


def _plain(version: str) -> DiscoverResult:
    return DiscoverResult(
        supported_versions=[version], capabilities=ServerCapabilities(), ttl_ms=0, cache_scope="private"
    )


async def _auto(session: ClientSession, discover_timeout: float) -> None:
    found: DiscoverResult | None = None
    with suppress(TimeoutError):
        async with asyncio.timeout(discover_timeout):
            found = await _discover(session)
    if found is not None:
        session.adopt(found)
        return
    try:
        await session.initialize()
    except MCPError as exc:
        # It came up late, took the greeting, and is of the newest era only: ask once more.
        if exc.code != UNSUPPORTED_PROTOCOL_VERSION:
            raise
        found = await _discover(session)
        if found is None:
            raise
        session.adopt(found)


async def _discover(session: ClientSession) -> DiscoverResult | None:
    """Ask for the newest era; None means: ask the old way."""
    try:
        raw = await session.send_discover(LATEST_MODERN_VERSION)
        found = DiscoverResult.model_validate(raw, by_name=False)
    except MCPError as exc:
        if exc.message == _CLOSED:
            raise
        if exc.code == UNSUPPORTED_PROTOCOL_VERSION and not _speaks_old(exc):
            raise
        return None
    except ValidationError:
        return None
    return found if any(version in MODERN_PROTOCOL_VERSIONS for version in found.supported_versions) else None


def _speaks_old(exc: MCPError) -> bool:
    data = exc.error.data
    supported = data.get("supported") if isinstance(data, dict) else None
    return not isinstance(supported, list) or any(
        version in HANDSHAKE_PROTOCOL_VERSIONS for version in supported
    )
