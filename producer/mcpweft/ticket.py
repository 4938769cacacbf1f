"""A ticket: one request on its way into the store, and whom to tell what the store said of it.

Above stand the desk, which writes it, the enqueuer, which takes it along, and the wait that it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft_schemas.wire import Accepted, Submission


@dataclass(slots=True, eq=False)
class Ticket:
    """One request on its way into the store."""

    capability: str
    submission: Submission
    taken: Callable[[Ticket, Accepted], None]
    """Told what the store said of it."""
    failed: Callable[[Ticket, Exception], None]
    """Told that it could not be handed over."""
    deadline: float
    """When its caller gives up."""
    patient: bool
    left: bool = False
    """Its caller has gone: do not send it if it was not sent."""
    sent: bool = False
    answered: bool = False
    last: Accepted | None = None
    """The refusal that it waits out."""


def left_of(submission: Submission, seconds: float) -> Submission:
    """Return a request with no more time than that, a millisecond at least; its moments stay as they were."""
    left = max(1, round(1000 * seconds))
    if (lost := submission.timeout_ms - left) <= 0:
        return submission
    within = submission.start_within_ms
    return replace(
        submission,
        timeout_ms=left,
        delay_ms=max(0, submission.delay_ms - lost),
        start_within_ms=max(1, within - lost) if within else 0,
    )
