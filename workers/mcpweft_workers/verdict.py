"""What became of a call that ended without a result: its cause, and whether the tool may have run.

Pure: values in, a `CallFailed` out. Above stands session.py. It must never know what follows from a failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp import MCPError
from mcp_types import INVALID_PARAMS, MISSING_REQUIRED_CLIENT_CAPABILITY, URL_ELICITATION_REQUIRED
from pydantic import ValidationError

from mcpweft_schemas.outcome import Executed
from mcpweft_workers.failure import CallFailed, Cause

if TYPE_CHECKING:
    from mcpweft_workers.wire import Passage

_NEEDS_INPUT = frozenset({URL_ELICITATION_REQUIRED, MISSING_REQUIRED_CLIENT_CAPABILITY})
_CUT = "SSE stream"  # how the SDK's own errors begin when an event stream ends without its answer
_TOO_LARGE = "byte limit"  # what they say when one event was over the cap


def verdict(server: str, passage: Passage, ending: tuple[Cause, str] | None, exc: Exception) -> CallFailed:
    """Judge a failed call: by what the transport noted on it, by how the session ended, by the error."""
    executed = passage.executed
    if isinstance(exc, MCPError):
        if passage.cause is not None:
            return CallFailed(passage.cause, passage.message, executed=executed, respite=passage.respite)
        if ending is not None:
            return CallFailed(ending[0], ending[1], executed=executed)
        return _cut(exc, executed) if exc.message.startswith(_CUT) else _answered(server, exc)
    if not isinstance(exc, ValueError):
        text = f"The call to server {server!r} failed: {type(exc).__name__}: {plain(exc)}"
        return CallFailed(Cause.PROTOCOL, text, executed=executed)
    if executed is Executed.NO:
        return CallFailed(Cause.INVALID_ARGUMENTS, f"The arguments cannot be written as JSON: {plain(exc)}")
    text = f"Server {server!r} answered what is no tool result: {plain(exc)}"
    return CallFailed(Cause.PROTOCOL, text, executed=Executed.YES)


def _cut(exc: MCPError, executed: Executed) -> CallFailed:
    """Judge an event stream that ended without its answer."""
    if _TOO_LARGE in exc.message:
        return CallFailed(Cause.TOO_LARGE, exc.message, executed=Executed.YES)
    return CallFailed(Cause.CONNECTION_FAILED, exc.message, executed=executed)


def _answered(server: str, exc: MCPError) -> CallFailed:
    """Judge the server's own JSON-RPC error."""
    cause = Cause.PROTOCOL
    if exc.code in _NEEDS_INPUT:
        cause = Cause.INPUT_REQUIRED
    elif exc.code == INVALID_PARAMS:
        cause = Cause.INVALID_ARGUMENTS
    text = f"Server {server!r} answered error {exc.code}: {exc.message[:500]}"
    return CallFailed(cause, text, executed=Executed.YES)


def plain(exc: BaseException) -> str:
    """Give the first real error of a nest, in one line, without what the server sent."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    if isinstance(exc, ValidationError):
        first = exc.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return " ".join(str(exc).split())[:1000] or type(exc).__name__
