"""What a sweeper tells of itself: events as they happen, and the figures that they add up to.

Above stand the sweeper's doers, which write here, and whoever logs, measures or tells the fleet (`news`).
This module must never know a store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.event import Event as News
from mcpweft_schemas.event import Kind, Who

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
    """A dead worker was removed: `capability worker server silent_ms moved lost`."""
    FORGOTTEN = "forgotten"
    """Dead letters were dropped by age: `capability count`."""
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


def news(event: Event, values: Mapping[str, Any], who: Who, holder: str) -> News | None:
    """Return what the fleet is told of a sweeper's event; None for what is the sweeper's own affair."""
    pool = str(values.get("capability", ""))
    match event:
        case Event.LEADING:
            return News(Kind.COORDINATOR_LEADING, who, data={"holder": holder, "epoch": values["epoch"]})
        case Event.FOLLOWING:
            data = {"was": holder, "holder": values["holder"]}
            return News(Kind.COORDINATOR_FOLLOWING, who, data=data)
        case Event.RETIRED:
            return News(
                Kind.WORKER_DIED, who, pool, values["server"], values["worker"],
                reason=f"silent for {values['silent_ms'] / 1000:.1f} s",
                data={"moved": values["moved"], "lost": values["lost"]},
            )  # fmt: skip
        case Event.FORGOTTEN:
            return News(Kind.DEAD_DROPPED, who, pool, reason="too old", data={"count": values["count"]})
        case Event.RECLAIMED | Event.EXPIRED | Event.DOUBT | Event.CUT | Event.BACK | Event.FAULT:
            return None
