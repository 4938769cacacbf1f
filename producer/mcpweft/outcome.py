"""An outcome read: a reply becomes a Result, or the typed error that stands for its code.

Above stand the desk and the reader. Below are `wire.Reply` and the error tree. Nothing here does I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from mcpweft.result import Progress, Result, read_content
from mcpweft_schemas.errors import (
    BY_CODE,
    McpweftError,
    RequestTimeoutError,
    ToolError,
)
from mcpweft_schemas.outcome import Attempt, Code, Times
from mcpweft_schemas.packing import unpack
from mcpweft_schemas.rules.ruling import Ruling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcpweft_schemas.wire import Reply

_SAID_MOST = 500  # characters of a tool's own words in a message


def times_of(reply: Reply) -> Times:
    """Return where a request's time went."""
    return Times(
        queued_ms=reply.started_ms - reply.accepted_ms if reply.started_ms else None,
        attempts_ms=sum(attempt.took_ms for attempt in reply.attempts) if reply.attempts else None,
        service_ms=reply.service_ms,
    )


def read_result(reply: Reply, body: bytes) -> Result:
    """Return a tool's answer, be it OK or TOOL_ERROR. Raises ValueError where the body is none."""
    answer = unpack(body)
    if not isinstance(answer, dict):
        raise ValueError("the outcome's body is no answer")  # noqa: TRY004  # the bytes are wrong, not a type
    said = cast("dict[str, Any]", answer)
    return Result(
        request_id=reply.id,
        content=read_content(said.get("content")),
        structured=said.get("structured"),
        is_error=reply.code is Code.TOOL_ERROR,
        server=reply.server,
        worker=reply.worker,
        attempts=reply.attempts,
        times=times_of(reply),
        executed=reply.executed,
        rules=Ruling.read(reply.rules),
    )


def tool_error(result: Result, name: str) -> ToolError:
    """Return the error for an answer that the tool itself calls one."""
    said = result.text.strip() or "it gave no reason"
    if len(said) > _SAID_MOST:
        said = said[:_SAID_MOST] + "…"
    error = ToolError(
        f"{name} on server {result.server!r} failed: {said}",
        advice="Change the arguments as it says; its whole answer is in `result`.",
        executed=result.executed,
        request_id=result.request_id,
        times=result.times,
        attempts=result.attempts,
    )
    error.result = result
    return error


def problem(reply: Reply, name: str) -> McpweftError:
    """Return the error for an outcome that is no tool's answer."""
    what, advice = _said(reply)
    own_what, own_advice = _own_words(reply, name)
    kind = BY_CODE.get(reply.code, McpweftError)
    error = kind(
        _joined(own_what, what) if reply.code in _CUTS else what or own_what,
        advice=advice or own_advice,
        executed=reply.executed,
        request_id=reply.id,
        times=times_of(reply),
        attempts=reply.attempts,
    )
    if reply.cause == RETRY_BUDGET:  # its turn was refused, not its attempts
        error.retryable = True
    if isinstance(error, RequestTimeoutError):
        error.phase = "queue" if reply.cause == "QUEUE_TIMEOUT" else "attempt"
    return error


RETRY_BUDGET = "RETRY_BUDGET"
"""The cause of an end that a pool's spent retry budget brought."""
_CUTS = frozenset({Code.FAILOVER_EXHAUSTED, Code.OUTCOME_UNKNOWN, Code.TIMEOUT, Code.CANCELLED})
"""Codes that the store decides on: a body, if any, is about the last attempt only."""


def _joined(what: str, last: str) -> str:
    return f"{what}. The last attempt: {last}" if last else what


def _said(reply: Reply) -> tuple[str, str]:
    """Return what a worker wrote of a problem, if it did."""
    if not reply.body:
        return "", ""
    try:
        body = unpack(reply.body)
    except ValueError:
        return "", ""
    said = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    return str(said.get("what", "")), str(said.get("advice", ""))


def _own_words(reply: Reply, name: str) -> tuple[str, str]:  # noqa: PLR0911  # a code each
    waited = f"{(reply.ended_ms - reply.accepted_ms) / 1000:.1f} s" if reply.accepted_ms else "its time"
    match reply.code:
        case Code.TIMEOUT if reply.cause == "QUEUE_TIMEOUT":
            tried = f" after {_count(reply.attempts)}" if reply.attempts else ""
            return (
                f"{name} waited {waited} in the queue{tried} and was not started in time",
                "Raise timeout or start_within, raise the priority, or add workers.",
            )
        case Code.TIMEOUT:
            return (
                f"{name} was not answered within {waited}{_trail(reply.attempts)}",
                "Raise timeout or attempt_timeout, or look at why the server is slow.",
            )
        case Code.CANCELLED:
            return f"{name} was cancelled", "Somebody else cancelled it: call it again if it is still wanted."
        case Code.OUTCOME_UNKNOWN:
            return (
                f"{name} was cut off on {reply.server!r} and may not run twice{_trail(reply.attempts)}",
                "Check what it did. If it may run twice, pass idempotent=True and it is retried.",
            )
        case Code.FAILOVER_EXHAUSTED if reply.cause == RETRY_BUDGET:
            return (
                f"{name} failed{_trail(reply.attempts)}, and its pool's retry budget is spent",
                "Try it later. Look at the servers with `mcpweft status` and `mcpweft events`.",
            )
        case Code.FAILOVER_EXHAUSTED:
            return (
                f"{name} failed in {_count(reply.attempts)}{_trail(reply.attempts)}",
                "Look at the servers with `mcpweft status`; `mcpweft dead replay` repeats the request.",
            )
        case Code.NO_SERVERS_AVAILABLE:
            return (
                f"no worker has served {name} for a second",
                'Start one with `mcpweft worker`, or pass when_unavailable="queue" to wait for one.',
            )
        case _:
            return f"{name} ended as {reply.code} ({reply.cause or 'no cause given'})", ""


def _count(attempts: Sequence[Attempt]) -> str:
    return f"{len(attempts)} attempt{'' if len(attempts) == 1 else 's'}"


def _trail(attempts: Sequence[Attempt]) -> str:
    if not attempts:
        return ""
    return " (" + "; ".join(f"{a.server}: {a.cause} after {a.took_ms} ms" for a in attempts) + ")"


def read_progress(reply: Reply) -> Progress | None:
    """Return what a progress reply says; None where its body cannot be read."""
    try:
        body = unpack(reply.body)
        said = cast("dict[str, Any]", body)
        total, message = said.get("total"), said.get("message")
        return Progress(
            progress=float(said["progress"]),
            total=None if total is None else float(total),
            message=None if message is None else str(message),
            attempt=reply.attempt,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
