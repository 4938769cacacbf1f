"""What "reliable" comes to: how many servers may be down, and the keys that go with it.

Above stand `custom` and `optimiser`. This module must never count servers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mcpweft_schemas.presets.preset import Setting


class Reliability(StrEnum):
    """How much may fail before users notice."""

    LOW = "low"
    """A server may die; until another has started, the rest may be too few."""
    MODERATE = "moderate"
    """With one server down the load is still carried, if with longer waits."""
    HIGH = "high"
    """With one server down every goal is still met."""


@dataclass(frozen=True, slots=True)
class Level:
    """What a reliability asks for."""

    least: int
    """Servers at least."""
    attempts: int
    backoff: float
    """Seconds."""
    breaker: tuple[Setting, ...] = ()


LEVELS: dict[Reliability, Level] = {
    Reliability.LOW: Level(2, 2, 1.0),
    Reliability.MODERATE: Level(2, 3, 1.0),
    Reliability.HIGH: Level(
        3,
        5,
        0.5,
        (
            Setting(
                ("breaker", "failure_threshold"),
                2,
                "Two failures in a row: others are there to go to.",
            ),
            Setting(("breaker", "recovery"), "30s", "Out for half of the usual time, for it was out sooner."),
            Setting(("breaker", "probes"), 5, "Back only after five good answers."),
            Setting(("breaker", "window"), "2m", "What a rate is made of is what happened lately."),
            Setting(("breaker", "check_every"), "5s", "An idle server that died is found before a call is."),
        ),
    ),
}
