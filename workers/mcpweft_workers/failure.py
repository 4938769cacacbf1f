"""How a call to an MCP server fails: the cause, and whether the tool may have run.

Above stand the session, the catalog and whoever runs calls. This module must never know how a server is
reached.
"""

from __future__ import annotations

from enum import StrEnum

from mcpweft_schemas.outcome import Executed


class Cause(StrEnum):
    """Why a call has no answer."""

    SERVER_DIED = "SERVER_DIED"
    """The server's process ended, closed its pipes, or was restarted, with the call in flight."""
    ATTEMPT_TIMEOUT = "ATTEMPT_TIMEOUT"
    """No answer within the attempt's time; the server was told to stop."""
    PROTOCOL = "PROTOCOL"
    """The server answered what is no valid answer, or with a protocol error."""
    TOO_LARGE = "TOO_LARGE"
    """The answer is over the limit."""
    INPUT_REQUIRED = "INPUT_REQUIRED"
    """The server asked for elicitation, sampling or roots, and nobody here can give them."""
    UNKNOWN_TOOL = "UNKNOWN_TOOL"
    """The server has no such tool."""
    INVALID_ARGUMENTS = "INVALID_ARGUMENTS"
    """The arguments do not fit the tool's schema, or cannot be written as JSON."""
    CONNECTION_FAILED = "CONNECTION_FAILED"
    """There is no session, or the server could not be reached."""
    RATE_LIMITED = "RATE_LIMITED"
    """The server asked to be left alone for a while."""
    SESSION_LOST = "SESSION_LOST"
    """The server no longer knows the session."""
    CANCELLED = "CANCELLED"
    """The session was closed with the call in flight."""


class CallFailed(Exception):  # noqa: N818  # the worker's word for it; the public errors are another tree
    """A call that ended without an answer."""

    def __init__(
        self,
        cause: Cause,
        message: str,
        *,
        executed: Executed = Executed.NO,
        stderr_tail: str = "",
        respite: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.executed = executed
        self.message = message
        self.stderr_tail = stderr_tail
        """The last lines that the server wrote to stderr, where it died."""
        self.respite = respite
        """Seconds for which the server asked to be left alone."""
