"""What a sweeper tells of itself: events as they happen, and the figures that they add up to.

Above stand the sweeper's doers, which write here, and whoever logs or measures. This module must never know
a store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Event(StrEnum):
    """What a sweeper tells of itself."""

    LEADING = "leading"
    """It leads from now on: `epoch`."""
    FOLLOWING = "following"
    """It leads no longer: `holder` where known."""
    RECLAIMED = "reclaimed"
    """Work was taken back: `capability worker moved lost kept`."""
    RETIRED = "retired"
    """A dead worker was removed: `capability worker`."""
    EXPIRED = "expired"
    """Requests ended by their time: `capability expired unserved`."""
    DOUBT = "doubt"
    """Most workers are silent at once; they were given one period more."""
    CUT = "cut"
    """The store does not answer: `error`."""
    BACK = "back"
    """The store answers again."""
    FAULT = "fault"
    """The store refuses a move: `capability error`."""


@dataclass(slots=True)
class Figures:
    """What a sweeper has done since it was made, and what it is."""

    leading: bool = False
    epoch: int = 0
    holder: str = ""
    """Who holds the lease, as last seen."""
    terms: int = 0
    rounds: int = 0
    moved: int = 0
    """Requests taken back from dead workers to be tried again."""
    lost: int = 0
    """Requests of dead workers that ended, because nobody can say whether they ran."""
    retired: int = 0
    expired: int = 0
    unserved: int = 0
    cuts: int = 0
    faults: int = 0


@dataclass(slots=True)
class SweepLog:
    """The figures, and who is told of events. Whoever is told must be quick and must not raise."""

    told: Callable[[Event, Mapping[str, Any]], None] | None = None
    figures: Figures = field(default_factory=Figures)

    def tell(self, event: Event, **values: Any) -> None:
        """Tell that something happened."""
        if self.told is not None:
            self.told(event, values)
