"""How a delivery ends, decided from what its one call came to: plain functions, no I/O, no clock.

    answer                                        done OK | TOOL_ERROR             executed yes
    refused before or by the server               done with that code              its true executed
    server died, timed out, broke the protocol    retry: the store decides         its true executed
    cancelled by the caller                       retry with cause CANCELLED       its true executed
    cut off by the worker's own end               retry with cause SHUTTING_DOWN   its true executed
    its server was taken out by hand              retry with cause TAKEN_OUT       its true executed
    never started                                 release: no attempt is charged   no

Above stands the runner. It must never know how a settlement travels.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from mcpweft_schemas.errors import InvalidArgumentsError
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.wire import Settlement, pack_answer, pack_problem
from mcpweft_workers.breaker import Outcome
from mcpweft_workers.failure import CallFailed, Cause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_schemas.wire import Delivery
    from mcpweft_workers.tool import Answer

_REFUSALS = {
    Cause.UNKNOWN_TOOL: Code.UNKNOWN_TOOL,
    Cause.INVALID_ARGUMENTS: Code.INVALID_ARGUMENTS,
    Cause.INPUT_REQUIRED: Code.INPUT_REQUIRED,
    Cause.TOO_LARGE: Code.RESULT_TOO_LARGE,
}
"""Failures that another attempt would only repeat."""
_ADVICE = {
    Cause.UNKNOWN_TOOL: "List the pool's tools with `mcpweft tools`.",
    Cause.INVALID_ARGUMENTS: "Change the arguments to fit the tool's schema.",
    Cause.INPUT_REQUIRED: "Call a tool that needs nobody's answer, or give the input as arguments.",
    Cause.TOO_LARGE: "Ask the tool for less, or raise worker.max_result.",
    Cause.ATTEMPT_TIMEOUT: "Raise the attempt's timeout if the tool is slow by nature.",
    Cause.SERVER_DIED: "Look at the server's own log.",
    Cause.RATE_LIMITED: "Give the server a `rate` below what it takes.",
}
_LONGEST = 4000  # characters of a problem: the tail of a server's stderr, not all of it

SHUTTING_DOWN = "SHUTTING_DOWN"
"""The cause of a call that was cut off because its worker had to end."""
TAKEN_OUT = "TAKEN_OUT"
"""The cause of a call that was given up, because somebody took its server out and it may run elsewhere."""
WORKER_DIED = "WORKER_DIED"
"""The cause of a delivery whose worker's process ended."""
_CUT_OFF = {
    Code.CANCELLED: "the call was cancelled",
    TAKEN_OUT: "its server was taken out during the call",
}


WEIGHTS: Mapping[str, Outcome] = MappingProxyType(
    {
        Cause.SERVER_DIED: Outcome.DOWN,
        Cause.CONNECTION_FAILED: Outcome.DOWN,
        Cause.SESSION_LOST: Outcome.DOWN,
        Cause.ATTEMPT_TIMEOUT: Outcome.FAILURE,
        Cause.PROTOCOL: Outcome.FAILURE,
    }
)
"""What a cause, or TOOL_ERROR, says of the server, by default. A failure that is not here says nothing."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a delivery ends and what its call said about the server."""

    settlement: Settlement
    booked: Outcome
    outcome: str
    """A code or a cause, for logs and metrics."""


def answered(
    delivery: Delivery,
    answer: Answer,
    server: str,
    most: int,
    weights: Mapping[str, Outcome] = WEIGHTS,
) -> Judgement:
    """Judge an answer; one whose body takes over `most` bytes, or cannot travel, is refused truthfully."""
    code = Code.TOOL_ERROR if answer.is_error else Code.OK
    booked = weights.get(code, Outcome.SUCCESS)
    try:
        body = pack_answer(answer.content, answer.structured, is_error=answer.is_error)
    except InvalidArgumentsError as error:
        # JSON of the server's that is no value here: an integer of more than 64 bits, nested too deep.
        code = Code.RESULT_TOO_LARGE
        what = f"the answer of tool {delivery.tool!r} of server {server!r} cannot travel: {error.what}"
        body = pack_problem(what, "Ask the tool for a plainer answer.")
    if len(body) > most:
        code = Code.RESULT_TOO_LARGE
        what = (
            f"the answer of tool {delivery.tool!r} of server {server!r} takes {len(body)} bytes, "
            f"where at most {most} are kept"
        )
        body = pack_problem(what, _ADVICE[Cause.TOO_LARGE])
    settlement = _settlement(delivery, "done", code, Executed.YES, body, service_ms=answer.service_ms)
    return Judgement(settlement, booked, code)


def failed(
    delivery: Delivery,
    failure: CallFailed,
    backoff_ms: int,
    *,
    cut_short: bool,
    weights: Mapping[str, Outcome] = WEIGHTS,
) -> Judgement:
    """Judge a call without an answer. `cut_short`: the deadline left it less than an attempt's time."""
    what = failure.message
    tail = failure.stderr_tail.strip()
    if tail and tail[-200:] not in what:
        what = f"{what}; its stderr ends: {tail}"
    body = pack_problem(what[:_LONGEST], _ADVICE.get(failure.cause, ""))
    code = _REFUSALS.get(failure.cause)
    if code is not None:
        booked = Outcome.NOTHING if failure.executed is Executed.NO else Outcome.SUCCESS
        return Judgement(_settlement(delivery, "done", code, failure.executed, body), booked, code)
    if failure.cause is Cause.CANCELLED:  # the session was closed under the call, by this worker
        return cut_off(delivery, SHUTTING_DOWN, failure.executed)
    late = failure.cause is Cause.ATTEMPT_TIMEOUT and cut_short
    settlement = _settlement(delivery, "retry", failure.cause, failure.executed, body, backoff_ms=backoff_ms)
    # A request that came late says nothing of the server.
    booked = Outcome.NOTHING if late else weights.get(failure.cause, Outcome.NOTHING)
    return Judgement(settlement, booked, failure.cause)


def refused(delivery: Delivery, what: str, advice: str) -> Judgement:
    """Judge a request that is no call: nothing was sent."""
    body = pack_problem(what, advice)
    settlement = _settlement(delivery, "done", Code.INVALID_ARGUMENTS, Executed.NO, body)
    return Judgement(settlement, Outcome.NOTHING, Code.INVALID_ARGUMENTS)


def no_room(delivery: Delivery, size: int, reason: str) -> Settlement:
    """Settle an answer of `size` bytes that the store could not keep."""
    what = f"the answer of tool {delivery.tool!r} takes {size} bytes, which the store did not take: {reason}"
    body = pack_problem(what, "Raise the store's maxmemory, or ask the tool for less.")
    return _settlement(delivery, "done", Code.RESOURCE_EXHAUSTED, Executed.YES, body)


def cut_off(delivery: Delivery, cause: str, executed: Executed) -> Judgement:
    """Judge a call that was stopped from this side."""
    what = _CUT_OFF.get(cause, "the worker had to end during the call")
    settlement = _settlement(delivery, "retry", cause, executed, pack_problem(what))
    return Judgement(settlement, Outcome.NOTHING, cause)


def released(delivery: Delivery) -> Settlement:
    """Give a delivery back that never started."""
    return _settlement(delivery, "release", "RELEASED", Executed.NO, b"")


def orphaned(delivery: Delivery) -> Settlement:
    """End a delivery of an earlier life of this worker's id: it may have run, and nobody knows."""
    return _settlement(delivery, "retry", WORKER_DIED, Executed.MAYBE, b"")


def _settlement(
    delivery: Delivery,
    how: str,
    cause: str,
    executed: Executed,
    body: bytes,
    *,
    service_ms: float | None = None,
    backoff_ms: int = 0,
) -> Settlement:
    return Settlement(
        id=delivery.id,
        stream=delivery.stream,
        entry=delivery.entry,
        how=how,
        code=str(cause),
        cause=str(cause),
        executed=executed,
        service_ms=service_ms,
        body=body,
        backoff_ms=backoff_ms,
    )
