"""The reply that a worker would have sent: a canned answer becomes the outcome that the real client reads.

Above stands the fake desk; below are `wire.Reply` and the words of the real refusals. Nothing here does I/O.
"""

from __future__ import annotations

import copy
import inspect
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcpweft.outcome import times_of
from mcpweft.refusal import refusal, unknown_capability
from mcpweft_schemas import wire
from mcpweft_schemas.connect import StoreUnreachableError
from mcpweft_schemas.errors import McpweftError, ShuttingDownError, near
from mcpweft_schemas.outcome import Attempt, Code, Executed, Times
from mcpweft_schemas.wire import Accepted, Reply
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mcpweft.testing.answer import Answer
    from mcpweft_schemas.wire import Submission

SERVER = WORKER = "fake"
"""Who answers."""

_WORDS = {
    Code.QUEUE_FULL: Word.FULL,
    Code.NO_SERVERS_AVAILABLE: Word.NO_SERVERS,
    Code.CONFLICT: Word.CONFLICT,
    Code.RESOURCE_EXHAUSTED: Word.OOM,
}
_REFUSED = frozenset({*_WORDS, Code.UNKNOWN_CAPABILITY, Code.CONNECTION_FAILED, Code.SHUTTING_DOWN})
"""What a client is told before its request is accepted: `submit` raises it too."""
_RAN = {
    Code.OK: Executed.YES,
    Code.TOOL_ERROR: Executed.YES,
    Code.RESULT_TOO_LARGE: Executed.YES,
    Code.TIMEOUT: Executed.MAYBE,
    Code.OUTCOME_UNKNOWN: Executed.MAYBE,
    Code.FAILOVER_EXHAUSTED: Executed.MAYBE,
    Code.SESSION_LOST: Executed.MAYBE,
    Code.STORE_LOST: Executed.MAYBE,
}
"""Whether a tool has run by the time that it ends so; else it has not."""


_LATE = "ATTEMPT_TIMEOUT"


@dataclass(frozen=True, slots=True)
class Said:
    """How a request ended, in a worker's words."""

    code: Code = Code.OK
    executed: Executed = Executed.YES
    body: bytes = b""
    cause: str = ""
    error: BaseException | None = None
    """What the client is to raise in the place of the words that stand for the code."""


def said_value(answer: Answer, value: Any) -> Said:
    """Return the answer of a tool that came to `value`, laid out as MCP's SDK does."""
    content = answer.content if answer.content is not None else _content(value)
    structured: Any = value if isinstance(value, dict) else {"result": value}
    if answer.content is not None and value is None:
        structured = None  # a picture has no value
    return Said(body=wire.pack_answer(content, structured, is_error=False))


def _content(value: Any) -> Sequence[Mapping[str, Any]]:
    if value is None:
        return []
    parts: list[Any] = value if isinstance(value, list) else [value]
    return [{"type": "text", "text": part if isinstance(part, str) else _json(part)} for part in parts]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def said_failure(answer: Answer, tool: str) -> Said:
    """Return a canned failure."""
    error, code = answer.error, answer.code
    if code is Code.UNKNOWN_TOOL and error is None:
        return said_no_tool(tool, ())
    ran = answer.executed if answer.executed is not None else _RAN.get(code, Executed.NO)
    if code is Code.TOOL_ERROR:
        text = error.what if error is not None else "it was told to fail"
        block = {"type": "text", "text": text}
        return Said(code, ran, wire.pack_answer([block], None, is_error=True))
    late = "QUEUE_TIMEOUT" if ran is Executed.NO else _LATE
    return Said(code, ran, cause=late if code is Code.TIMEOUT else "", error=error)


def said_cut_off(submission: Submission, code: Code, *, began: bool) -> Said:
    """Return how a request ends that is cut off: one that began and may not run twice, as unknown."""
    if not began:
        return Said(code, Executed.NO)
    cause = _LATE if code is Code.TIMEOUT else str(code)
    return Said(code if submission.safe else Code.OUTCOME_UNKNOWN, Executed.MAYBE, cause=cause)


def said_no_tool(tool: str, known: Sequence[str]) -> Said:
    """Return what a worker says of a tool that its server does not have."""
    close = near(tool, known)
    what = f"Server {SERVER!r} has no tool {tool!r}" + (f"; near: {', '.join(close)}" if close else "")
    body = wire.pack_problem(what, "List the pool's tools with `mcpweft tools`.")
    return Said(Code.UNKNOWN_TOOL, Executed.NO, body)


def said_misfit(make: Callable[..., Any], tool: str, arguments: Mapping[str, Any]) -> Said | None:
    """Return what a worker says of arguments that a callable does not take; None where it takes them."""
    try:
        inspect.signature(make).bind(**arguments)
    except TypeError as error:
        body = wire.pack_problem(
            f"Arguments of {tool!r} do not fit its schema: {error}",
            "Change the arguments to fit the tool's schema.",
        )
        return Said(Code.INVALID_ARGUMENTS, Executed.NO, body)
    except ValueError:  # a callable without a signature: it is asked
        return None
    return None


def refused(
    answer: Answer, capability: str, submission: Submission, known: Sequence[str]
) -> McpweftError | None:
    """Return the error where a canned failure is one that comes before a request is accepted."""
    if answer.code not in _REFUSED:
        return None
    if answer.error is not None:
        return answer.error
    if answer.code is Code.UNKNOWN_CAPABILITY:
        return unknown_capability(capability, [name for name in known if name != capability])
    if answer.code is Code.CONNECTION_FAILED:
        return StoreUnreachableError("the store did not answer", executed=answer.executed or Executed.NO)
    if answer.code is Code.SHUTTING_DOWN:
        return ShuttingDownError("the client was closed", request_id=submission.id)
    return refusal(capability, submission, Accepted(_WORDS[answer.code], submission.id, None, 0))


def fresh(error: BaseException, reply: Reply | None = None) -> BaseException:
    """Return an error to raise: each caller gets one of his own, which knows his request."""
    if not isinstance(error, McpweftError):
        return error
    made = copy.copy(error)
    if reply is not None:
        made.request_id = made.request_id or reply.id
        made.attempts = made.attempts or reply.attempts
        if made.times == Times():
            made.times = times_of(reply)
    return made


def reply_of(request_id: str, said: Said, times: tuple[int, int, int], service_ms: float | None) -> Reply:
    """Return the outcome as it travels. `times`: accepted, started (0 where it never was) and ended, ms."""
    accepted, started, ended = times
    cause = said.cause or str(said.code)
    log = (Attempt(SERVER, WORKER, cause, said.executed, started, ended - started),) if started else ()
    return Reply(
        id=request_id,
        kind="outcome",
        attempt=len(log),
        body=said.body,
        code=said.code,
        executed=said.executed,
        cause=cause,
        server=SERVER if started else "",
        worker=WORKER if started else "",
        accepted_ms=accepted,
        started_ms=started,
        ended_ms=ended,
        service_ms=service_ms if said.code in (Code.OK, Code.TOOL_ERROR) else None,
        attempts=log,
    )
