"""What the store's refusal of a request means for its caller: a word becomes a typed error.

Above stand the desk and the enqueuer. Nothing here does I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweft_schemas import duration
from mcpweft_schemas.connect import StoreRefusedError
from mcpweft_schemas.errors import (
    ConflictError,
    McpweftError,
    NoServersError,
    QueueFullError,
    RequestTimeoutError,
    ResourceExhaustedError,
    UnknownCapabilityError,
    near,
)
from mcpweft_schemas.outcome import Executed
from mcpweft_schemas.rules.tag import untagged
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcpweft.waits import Wait
    from mcpweft_schemas.wire import Accepted, Submission


_NO_ROOM = {
    Word.OOM: ("the store is out of memory", "Raise its maxmemory or wait until work has drained."),
    Word.UNWRITABLE: (
        "the store takes no writes: its disk is full, or its replicas are away",
        "Look at its log, and free space on its disk; it takes writes again by itself.",
    ),
}


def refusal(capability: str, submission: Submission, accepted: Accepted) -> McpweftError:
    """Return the error that stands for a word of enqueue other than those that accept."""
    after = accepted.retry_after_ms / 1000 if accepted.retry_after_ms else None
    match accepted.word:
        case Word.FULL:
            return QueueFullError(
                f"the queue of {capability!r} is full for class {submission.klass}",
                advice='Try again later, raise the priority, add workers, or pass when_full="wait".',
                retry_after=after,
                request_id=submission.id,
            )
        case Word.LATE:
            within = duration.spoken(submission.start_within_ms / 1000)
            return QueueFullError(
                f"the queue of {capability!r} is too long for a start within {within}",
                advice="Raise start_within or the priority, or add workers.",
                retry_after=after,
                request_id=submission.id,
            )
        case Word.NO_SERVERS:
            return NoServersError(
                f"no worker serves {capability!r} at the moment",
                advice=f"Start one with `mcpweft worker`, look at `mcpweft status {capability}`, or pass "
                'when_unavailable="queue" to wait for one.',
                retry_after=after,
                request_id=submission.id,
            )
        case Word.CONFLICT:
            return ConflictError(
                f"the idempotency key was used for other arguments, by request {accepted.id}",
                advice="Use a key of its own for each different call.",
                request_id=accepted.id,
            )
        case Word.OOM | Word.UNWRITABLE:
            what, advice = _NO_ROOM[accepted.word]
            return ResourceExhaustedError(what, advice=advice, retry_after=after, request_id=submission.id)
        case _:
            return StoreRefusedError(
                f"the store answered {accepted.word} to the request",
                advice="The client's version may not fit the fabric's: update both.",
                request_id=submission.id,
            )


def overdue(wait: Wait) -> McpweftError:
    """Return the error for a request whose time was over before the store had accepted it."""
    ticket = wait.ticket
    if ticket is not None and ticket.last is not None and not ticket.sent:  # else it was sent again since
        return refusal(wait.capability, ticket.submission, ticket.last)
    sent = ticket is not None and ticket.sent
    error = RequestTimeoutError(
        f"request {wait.id} was not accepted in its time: the store has not answered",
        advice="Look at the store, and at the way to it."
        + (" The request may have been accepted: repeat it with an idempotency_key only." if sent else ""),
        executed=Executed.MAYBE if sent else Executed.NO,
        request_id=wait.id,
    )
    error.phase = "queue"
    return error


def unknown_capability(capability: str, known: Sequence[str]) -> UnknownCapabilityError:
    """Return the error for a pool that nobody registered, with the names that were probably meant."""
    plain, tags = untagged(capability)
    if tags:
        return UnknownCapabilityError(
            f"no server of {plain!r} has ever carried {' and '.join(tags)}, which this request asks for",
            advice="Give a server these tags, or have the rule changed: `mcpweft rules list` shows all.",
        )
    close = near(capability, known)
    if close:
        advice = f"Did you mean {' or '.join(close)}?"
    elif known:
        some = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")  # noqa: PLR2004  # a readable line
        advice = f"There are {some}."
    else:
        advice = "No server is registered at all: start one with `mcpweft up` or `mcpweft worker`."
    return UnknownCapabilityError(f"there is no capability {capability!r}", advice=advice)
