"""The error tree, cut by who must act.

    McpweftError                      code, executed, retryable, retry_after, http_status, times, attempts
    ├── CallerError                   the caller must change something
    │   ├── InvalidConfigError        INVALID_CONFIG          500
    │   │   └── UnmetGoalError        (what `optimize_for` cannot reach)
    │   ├── InvalidArgumentsError     INVALID_ARGUMENTS       422
    │   ├── UnknownCapabilityError    UNKNOWN_CAPABILITY      404
    │   ├── UnknownToolError          UNKNOWN_TOOL            404
    │   ├── RejectedError             REJECTED                403
    │   ├── ConflictError             CONFLICT                409
    │   ├── RequestCancelledError     CANCELLED               499
    │   └── ResultExpiredError        RESULT_EXPIRED          410
    ├── ToolFailure                   the tool or its server must act
    │   ├── ToolError                 TOOL_ERROR              502
    │   ├── ResultTooLargeError       RESULT_TOO_LARGE        502
    │   ├── InputRequiredError        INPUT_REQUIRED          502
    │   └── SessionLostError          SESSION_LOST            502
    └── FabricError                   the operator, or time, must act
        ├── NoServersError            NO_SERVERS_AVAILABLE    503
        ├── FailoverExhaustedError    FAILOVER_EXHAUSTED      502
        ├── ConnectionFailedError     CONNECTION_FAILED       503
        ├── RequestTimeoutError       TIMEOUT                 504
        ├── QueueFullError            QUEUE_FULL              429
        ├── OutcomeUnknownError       OUTCOME_UNKNOWN         502
        ├── StoreLostError            STORE_LOST              503
        ├── ResourceExhaustedError    RESOURCE_EXHAUSTED      503
        └── ShuttingDownError         SHUTTING_DOWN           503

A message says what happened, whether the tool ran, and what to change. `str(error)` is that message.
This module must never know where errors come from: whoever raises one hands in the values.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

from mcpweft_schemas.outcome import Attempt, Code, Executed, Times

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_RAN = {
    Executed.NO: "The tool did not run.",
    Executed.MAYBE: "The tool may have run.",
    Executed.YES: "The tool ran.",
}


class McpweftError(Exception):
    """The root: everything that mcpweft raises on purpose.

    `what` says what happened, `advice` what to change (each class has advice for want of better);
    `str()` joins them with whether the tool ran. An error can be pickled and copied.
    """

    code: ClassVar[Code]
    http_status: ClassVar[int]
    retryable: bool = False
    """Whether the same call may succeed later, unchanged, without running the tool twice."""
    usual_advice: ClassVar[str] = ""

    def __init__(
        self,
        what: str,
        *,
        advice: str = "",
        executed: Executed = Executed.NO,
        retry_after: float | None = None,
        request_id: str | None = None,
        times: Times | None = None,
        attempts: Sequence[Attempt] = (),
    ) -> None:
        self.what = what
        self.advice = advice or self.usual_advice
        self.executed = executed
        self.retry_after = retry_after
        """Seconds after which a retry is worth while, or None when nobody can know."""
        self.request_id = request_id
        self.times = times if times is not None else Times()
        self.attempts = tuple(attempts)
        super().__init__(what)  # what pickle calls the class with; all else travels as attributes

    def __str__(self) -> str:
        what = self.what if self.what.endswith((".", "!", "?")) else self.what + "."
        return " ".join(part for part in (what, self._ran(), self.advice) if part)

    def _ran(self) -> str:
        return _RAN[self.executed]


class CallerError(McpweftError):
    """The caller must change something."""


class ToolFailure(McpweftError):  # noqa: N818  # a branch of the tree, never raised itself
    """The tool or its server must act."""


class FabricError(McpweftError):
    """The operator, or time, must act."""


class InvalidConfigError(CallerError):
    """A setting is wrong or missing; `what` names the key and where it was read.

    There is no usual advice: whoever finds a wrong setting knows the right ones.
    """

    code = Code.INVALID_CONFIG
    http_status = 500

    def _ran(self) -> str:  # no call is involved: whether a tool ran is no question here
        return ""


class UnmetGoalError(InvalidConfigError):
    """No configuration reaches the goal; `remedies` are what would make it one that can be reached."""

    remedies: tuple[str, ...] = ()


class InvalidArgumentsError(CallerError):
    """The arguments do not fit the tool's schema, or cannot travel; `what` names the path."""

    code = Code.INVALID_ARGUMENTS
    http_status = 422
    usual_advice = "Correct the arguments; `mcpweft tools` shows each tool's schema."


class UnknownCapabilityError(CallerError):
    """No pool of that name is registered."""

    code = Code.UNKNOWN_CAPABILITY
    http_status = 404
    usual_advice = "Correct the name, or start a worker that offers it; `mcpweft tools` lists all."


class UnknownToolError(CallerError):
    """The pool's server has no such tool."""

    code = Code.UNKNOWN_TOOL
    http_status = 404
    usual_advice = "Correct the name; `mcpweft tools` lists all."


class RejectedError(CallerError):
    """A routing rule of the fleet does not let the request in; it was not enqueued."""

    code = Code.REJECTED
    http_status = 403
    usual_advice = "Change the request, or have the rule changed; `mcpweft rules list` shows all."
    rule: str = ""
    """Which rule."""
    reason: str = ""
    """Why, in its words."""
    version: int = 0
    """Of the rules: of the fleet's configuration, or 0 where the client's own file said so."""


class ConflictError(CallerError):
    """The idempotency key was used with other arguments."""

    code = Code.CONFLICT
    http_status = 409
    usual_advice = "Use another key for another call, or the same arguments for the same call."


class RequestCancelledError(CallerError):
    """The request was cancelled by someone else than the caller who sees this."""

    code = Code.CANCELLED
    http_status = 499
    usual_advice = "Call again if its answer is still wanted."


class ResultExpiredError(CallerError):
    """The outcome was kept for its time and is gone, or the id was never known."""

    code = Code.RESULT_EXPIRED
    http_status = 410
    usual_advice = "Fetch results sooner, or have them kept longer."


class ToolError(ToolFailure):
    """The tool ran and said that it failed; `result` holds what it said."""

    code = Code.TOOL_ERROR
    http_status = 502
    usual_advice = "Look at `result`, which holds what the tool said."
    result: object = None


class ResultTooLargeError(ToolFailure):
    """The tool's answer is over the limit."""

    code = Code.RESULT_TOO_LARGE
    http_status = 502
    usual_advice = "Ask the tool for less, or raise `max_result`."


class InputRequiredError(ToolFailure):
    """The server asked for input (elicitation, sampling, roots) that nobody here can give."""

    code = Code.INPUT_REQUIRED
    http_status = 502
    usual_advice = "Give the server all it needs in the arguments or in its configuration."


class SessionLostError(ToolFailure):
    """The server's session ended with the state that the call relied on."""

    code = Code.SESSION_LOST
    http_status = 502
    usual_advice = "Begin again from the call that built the state up."


class NoServersError(FabricError):
    """No usable worker serves the capability, and the caller asked not to wait."""

    code = Code.NO_SERVERS_AVAILABLE
    http_status = 503
    retryable = True
    usual_advice = 'Start a worker, or wait with `when_unavailable="queue"`.'


class FailoverExhaustedError(FabricError):
    """Every attempt that was allowed has failed; `attempts` lists them."""

    code = Code.FAILOVER_EXHAUSTED
    http_status = 502
    usual_advice = "Look at `attempts` for each cause; mend the server, or allow more attempts."


class ConnectionFailedError(FabricError):
    """The store, or a server, could not be reached."""

    code = Code.CONNECTION_FAILED
    http_status = 503
    retryable = True
    usual_advice = "Check the address, and that the other side runs; `mcpweft doctor` looks at both."


class RequestTimeoutError(FabricError):
    """The time ran out; `phase` says which: `queue`, `attempt`, or the `wait` for a result."""

    code = Code.TIMEOUT
    http_status = 504
    usual_advice = "Allow more time, or add workers if it was spent in the queue."
    phase: str = "queue"


class QueueFullError(FabricError):
    """The pool's queue has reached its bound for this class."""

    code = Code.QUEUE_FULL
    http_status = 429
    retryable = True
    usual_advice = 'Send more slowly, wait with `when_full="wait"`, or add workers.'


class OutcomeUnknownError(FabricError):
    """A call that must not run twice was cut off after it was sent."""

    code = Code.OUTCOME_UNKNOWN
    http_status = 502
    usual_advice = (
        "Find out at the service behind the tool whether it ran; say `idempotent=True` "
        "where a second run does no harm."
    )


class StoreLostError(FabricError):
    """The store was wiped, or failed over without this request."""

    code = Code.STORE_LOST
    http_status = 503
    usual_advice = "Call again if a second run does no harm; see the guide on durability to prevent this."


class ResourceExhaustedError(FabricError):
    """The store, or a limit of the server, has no room."""

    code = Code.RESOURCE_EXHAUSTED
    http_status = 503
    retryable = True
    usual_advice = "Free or add memory in the store, or lower the load."


class ShuttingDownError(FabricError):
    """The client was closed while the request was waiting."""

    code = Code.SHUTTING_DOWN
    http_status = 503
    usual_advice = "Call again from a client that is open."


def near(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Return the known names that `name` was probably meant to be, nearest first, at most `most`."""
    return difflib.get_close_matches(name, list(known), n=most, cutoff=0.6)


def _leaves(cls: type[McpweftError]) -> Iterable[type[McpweftError]]:
    for sub in cls.__subclasses__():
        if "code" in vars(sub):
            yield sub
        yield from _leaves(sub)


BY_CODE: dict[Code, type[McpweftError]] = {leaf.code: leaf for leaf in _leaves(McpweftError)}
"""The exception that stands for each code other than `OK`."""
