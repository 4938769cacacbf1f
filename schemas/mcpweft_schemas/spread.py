"""How times lie: counts in buckets that grow by a fifth each, so a quantile is known to a tenth.

A worker counts from its start on and says the counts with each beat; whoever reads two of them has what came
in between, from all workers together, which no mean of their own quantiles would be. Above stand the worker,
which counts, the coordinator, which reads, and `figure`, where such counts are kept by the hour. Times are
ms.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

_GROWTH = math.log(1.2)
BUCKETS = 104
"""The last one begins at 39 hours, and holds all that is longer."""
LATEST = 0.1
"""What the latest answer's time weighs in the mean of them that a worker tells with each beat."""

_ENDS = [1.2**bucket for bucket in range(BUCKETS - 1)]  # looked up: a logarithm takes several times as long


def bucket_of(ms: float) -> int:
    """Return the bucket that a time falls into."""
    return bisect_left(_ENDS, ms)


def middle_of(bucket: int) -> float:
    """Return the time that stands for those of a bucket: its middle, by ratios."""
    return math.exp((bucket - 0.5) * _GROWTH)


class Spread:
    """Counts by bucket; the first holds times up to 1 ms."""

    def __init__(self, counts: Iterable[int] = ()) -> None:
        self._counts = [*counts][:BUCKETS]
        self._counts += [0] * (BUCKETS - len(self._counts))

    def add(self, ms: float) -> None:
        """Count one time."""
        self._counts[bucket_of(ms)] += 1

    @property
    def counts(self) -> dict[int, int]:
        """How many were counted, by bucket; empty ones are left out."""
        return {bucket: count for bucket, count in enumerate(self._counts) if count}

    @property
    def total(self) -> int:
        """How many were counted."""
        return sum(self._counts)

    def since(self, before: Self) -> Self:
        """Return what was counted since; all of it, where the counting began anew."""
        gone = [new - old for new, old in zip(self._counts, before._counts, strict=True)]
        return self if min(gone) < 0 else type(self)(gone)

    def plus(self, other: Self) -> Self:
        """Return both together."""
        return type(self)(one + two for one, two in zip(self._counts, other._counts, strict=True))

    def quantile(self, part: float) -> float | None:
        """Return the time below which that part of them lies, to a tenth; None where there are none."""
        left = part * self.total
        if not left:
            return None
        for bucket, count in enumerate(self._counts):
            left -= count
            if count and left <= 0:
                return middle_of(bucket)
        return None

    def told(self) -> list[int]:
        """Return it as it travels: how many empty buckets come first, then the counts up to the last."""
        filled = [bucket for bucket, count in enumerate(self._counts) if count]
        return [filled[0], *self._counts[filled[0] : filled[-1] + 1]] if filled else []

    @classmethod
    def read(cls, told: Any) -> Self:
        """Return what was told; an empty one where that is no such list."""
        if not isinstance(told, list) or not told or not all(isinstance(n, int) and n >= 0 for n in told):
            return cls()
        first, *counts = told
        return cls([0] * min(first, BUCKETS) + counts)
