"""How a request ends: its code, whether the tool ran, where the time went and which attempts were made.

Above stand the error tree (which turns a code into an exception) and every room that tells someone
how a request ended. This module must never know where an outcome is kept or how it travels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Executed(StrEnum):
    """Whether the tool ran. Ordered: what is known of a request only ever grows from no to yes."""

    NO = "no"
    """No byte of the call reached the server."""
    MAYBE = "maybe"
    """The call was sent and its answer was lost: the tool may have run."""
    YES = "yes"
    """The server answered."""


class Code(StrEnum):
    """The stable name of an outcome. `OK` is a tool's result; every other one is an error."""

    OK = "OK"
    """The tool answered and did not call its answer an error."""
    TOOL_ERROR = "TOOL_ERROR"
    """The tool ran and said that it failed."""
    NO_SERVERS_AVAILABLE = "NO_SERVERS_AVAILABLE"
    """No usable worker serves the capability, and the caller asked not to wait."""
    FAILOVER_EXHAUSTED = "FAILOVER_EXHAUSTED"
    """Every attempt that was allowed has failed."""
    CONNECTION_FAILED = "CONNECTION_FAILED"
    """The store, or a server, could not be reached."""
    TIMEOUT = "TIMEOUT"
    """The time allowed ran out, in the queue or during an attempt."""
    QUEUE_FULL = "QUEUE_FULL"
    """The pool's queue has reached its bound for this class."""
    UNKNOWN_CAPABILITY = "UNKNOWN_CAPABILITY"
    """No pool of that name is registered."""
    UNKNOWN_TOOL = "UNKNOWN_TOOL"
    """The pool's server has no such tool."""
    INVALID_ARGUMENTS = "INVALID_ARGUMENTS"
    """The arguments do not fit the tool's schema, or cannot travel."""
    INVALID_CONFIG = "INVALID_CONFIG"
    """A setting is wrong or missing."""
    REJECTED = "REJECTED"
    """A routing rule of the fleet does not let it in."""
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    """A call that must not run twice was cut off after it was sent."""
    CONFLICT = "CONFLICT"
    """The idempotency key was used with other arguments."""
    CANCELLED = "CANCELLED"
    """The request was cancelled."""
    RESULT_TOO_LARGE = "RESULT_TOO_LARGE"
    """The tool's answer is over the limit."""
    RESULT_EXPIRED = "RESULT_EXPIRED"
    """The outcome was kept for its time and is gone."""
    INPUT_REQUIRED = "INPUT_REQUIRED"
    """The server asked for input that nobody here can give."""
    SESSION_LOST = "SESSION_LOST"
    """The server's session ended with the state that the call relied on."""
    STORE_LOST = "STORE_LOST"
    """The store was wiped, or failed over without this request."""
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    """The store, or a limit of the server, has no room."""
    SHUTTING_DOWN = "SHUTTING_DOWN"
    """The client was closed while the request was waiting."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One delivery of a request: which server and worker had it, how it ended and how long it took."""

    server: str
    worker: str
    cause: str
    """A `Code`, or `WORKER_DIED`, `RELEASED`, `ATTEMPT_TIMEOUT`, `SERVER_DIED`."""
    executed: Executed
    started_ms: int
    """Store time at which the worker took it, ms since the epoch."""
    took_ms: int
    """From the moment it was taken until it was settled, ms."""


@dataclass(frozen=True, slots=True)
class Times:
    """Where a request's time went, ms. A figure that is not known is None."""

    queued_ms: int | None = None
    """From acceptance until the last attempt was taken."""
    attempts_ms: int | None = None
    """Sum over all attempts, from taken to settled."""
    service_ms: float | None = None
    """The server's own time for the answer that counts."""
