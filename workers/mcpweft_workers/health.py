"""How a worker's server is, in one word, by rules that anybody can check: a plain function.

    draining       the worker pulls no more and ends, or somebody has cordoned its server
    initializing   no connection has come up yet
    unhealthy      so many checks in a row failed, its breaker admits no call, or it is not to be reached
    degraded       a check failed, it is silent with calls in flight, it is probed, or it is in doubt
    healthy        none of these

The first that holds is the word. Above stands the report. It must never know how a sign was come by.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mcpweft_schemas.circuit import State
from mcpweft_workers.session import SessionState


class Health(StrEnum):
    """How a server is, as one of its workers sees it."""

    HEALTHY = "healthy"
    """It answers."""
    DEGRADED = "degraded"
    """Something is the matter with it; it may still answer."""
    UNHEALTHY = "unhealthy"
    """It does not answer, or is taken out."""
    INITIALIZING = "initializing"
    """It has not been reached yet."""
    DRAINING = "draining"
    """It finishes what it has: its worker is about to end, or somebody has cordoned it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What is known of a server at one moment."""

    draining: bool = False
    connects: int = 1
    """Connections that came up, ever."""
    session: SessionState = SessionState.READY
    breaker: State = State.CLOSED
    hung: bool = False
    """Whether it is silent with calls in flight."""
    failed_checks: int = 0
    """In a row, up to now."""
    unhealthy_after: int = 3


def health_of(signs: Signs) -> Health:
    """Return the word for these signs."""
    if signs.draining or signs.breaker is State.CORDONED:
        return Health.DRAINING
    if signs.connects == 0:
        return Health.INITIALIZING
    gone = signs.session in {SessionState.DOWN, SessionState.CLOSED}
    shut = signs.breaker in {State.OPEN, State.FORCED_OPEN}
    if gone or shut or signs.failed_checks >= signs.unhealthy_after:
        return Health.UNHEALTHY
    doubted = signs.session is not SessionState.READY or signs.breaker is State.HALF_OPEN
    if doubted or signs.hung or signs.failed_checks:
        return Health.DEGRADED
    return Health.HEALTHY
