"""A worker's share of one pool: how much of its work the worker may take, and when.

Workers pull, so nobody picks a worker for a request. What a strategy can do instead is to make some workers
slower to help themselves, and that is all a share says. The worker applies it by itself, at the moment of a
fetch, from what it knows then: a share that is out of date costs time, and never a request.

Above stand the coordinator, which deals shares, and the worker, which keeps to its own. Nothing stands
below. It must never know why a share is as it is.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Self

from mcpweft_schemas.packing import pack, unpack

LONGEST_HOLD_MS = 10_000.0
"""No hold is longer: a request that only held workers could take must not look forgotten."""
DEEPEST = 1_000_000
LIGHTEST, HEAVIEST = 1.0, 64.0
_TOLD = ("concurrency", "hold_ms", "step_ms", "depth", "weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one worker may take of one pool.

    A request may be taken by this worker if it has been ready for `hold(in flight)`, or if more than `depth`
    requests wait, for those beyond.
    """

    concurrency: int | None = None
    """Calls that may run here at a time, 1 at least; None: as many as the server takes."""
    hold_ms: float = 0.0
    """How long better-placed workers go first."""
    step_ms: float = 0.0
    """What each call that is in flight here adds to that."""
    depth: int = DEEPEST
    """Requests that may wait for others; those beyond may be taken at once."""

    weight: float = 1.0
    """What this pool's requests weigh where the worker's pools compete for its slots."""

    def __post_init__(self) -> None:
        """Check each figure's range; ValueError names the first that is out of it."""
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError(f"concurrency is {self.concurrency}, but must be 1 at least")
        for name in ("hold_ms", "step_ms"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= LONGEST_HOLD_MS):
                raise ValueError(f"{name} is {value}, but must lie between 0 and {LONGEST_HOLD_MS:g}")
        if not 0 <= self.depth <= DEEPEST:
            raise ValueError(f"depth is {self.depth}, but must lie between 0 and {DEEPEST}")
        if not LIGHTEST <= self.weight <= HEAVIEST:
            raise ValueError(f"weight is {self.weight}, but must lie between {LIGHTEST:g} and {HEAVIEST:g}")

    def hold(self, in_flight: int) -> float:
        """Return for how many ms a request must have been ready before this worker takes it."""
        return lawful_hold(self.hold_ms + self.step_ms * in_flight)

    @property
    def holds(self) -> bool:
        """Whether this worker ever waits for others."""
        return self.hold_ms > 0 or self.step_ms > 0

    def slots(self, concurrency: int) -> int:
        """Return how many slots of a worker that has `concurrency` the pool may use."""
        return concurrency if self.concurrency is None else min(concurrency, self.concurrency)

    def packed(self) -> bytes:
        """Return it as it is published."""
        return pack(asdict(self))

    @classmethod
    def read(cls, packed: bytes) -> Self:
        """Return what `packed` holds and this version knows; ValueError where it is no share."""
        value = unpack(packed)
        try:
            return cls(**{name: value[name] for name in _TOLD if name in value})
        except TypeError as error:
            raise ValueError(f"not a share: {error}") from None


def lawful_hold(ms: float) -> float:
    """Return the hold nearest to `ms` that a share may have."""
    return min(LONGEST_HOLD_MS, max(0.0, ms))


EVEN = Share()
"""Everything that the server takes, at once."""
