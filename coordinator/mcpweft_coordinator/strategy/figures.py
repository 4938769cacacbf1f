"""What a strategy sees: one pool and its workers at one moment.

Above stand the strategies. Below: nothing; whoever senses (the coordinator from the store, the simulator
from its own fleet) fills these in. A figure that nobody knows is None, and no strategy may put a guess in
its place. Times are seconds, on any clock that only grows, unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcpweft_schemas.share import Share

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A worker that takes work from the pool."""

    worker: str
    concurrency: int
    """Calls that its server takes at a time."""
    in_flight: int = 0
    service_ms: float | None = None
    """Mean time of its server for an answer, of late (EWMA)."""
    answered_ago: float | None = None
    """Since its last answer."""
    cpu: float | None = None
    """Part of the processor time that its server may use that it has used of late, 0 to 1."""
    memory: float | None = None
    """Part of its memory that its server has in use, 0 to 1."""
    pools: int = 1
    """Pools that it serves: one makes a specialist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A pool at one moment."""

    now: float
    candidates: tuple[Candidate, ...]
    waiting: int = 0
    """Requests that nobody has taken yet."""
    arrivals: float | None = None
    """Requests per second, of late."""
    pressed: bool = False
    """Whether requests wait whose deadline is close."""
    answers: int = 0
    """Requests that were answered since the last look."""
    response_ms: float | None = None
    """95th percentile of their times, from acceptance to answer."""

    @property
    def known(self) -> dict[str, float]:
        """The service times that are known, in seconds, by worker."""
        return {
            each.worker: each.service_ms / 1000
            for each in self.candidates
            if each.service_ms is not None and each.service_ms > 0
        }

    def load(self, service: Mapping[str, float]) -> float | None:
        """Return the offered load: arrivals over what all workers could serve; None where unknown.

        `service` gives seconds by worker; a worker that is not in it counts with the mean of the others.
        """
        if self.arrivals is None or not service:
            return None
        mean = sum(service.values()) / len(service)
        capacity = sum(each.concurrency / service.get(each.worker, mean) for each in self.candidates)
        return self.arrivals / capacity if capacity > 0 else None


Shares = dict[str, Share]
"""Worker → what it may take. A worker without one takes as if it had `EVEN`."""
