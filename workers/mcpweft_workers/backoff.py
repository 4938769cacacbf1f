"""How long to wait before trying again: exponential, with full jitter.

Above stand the doers that speak to the store. Below: nothing. It must never sleep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


def jittered(rng: random.Random, failures: int, first: float, longest: float) -> float:
    """Return uniform(0, min(longest, first * 2^failures)), in the unit of `first`."""
    return rng.uniform(0, min(longest, first * 2 ** min(failures, 30)))


class Patience:
    """The waits of one doer between tries that fail; `reset` after one that succeeds."""

    def __init__(self, rng: random.Random, first: float = 0.05, longest: float = 1.0) -> None:
        self._rng = rng
        self._first = first
        self._longest = longest
        self.failures = 0
        """Tries that failed since the last success."""

    def next(self) -> float:
        """Return the seconds to wait before the next try."""
        self.failures += 1
        return jittered(self._rng, self.failures, self._first, self._longest)

    def reset(self) -> None:
        """Forget the failures."""
        self.failures = 0
