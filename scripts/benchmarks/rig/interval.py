"""Intervals at 95 %: of a median, by the bootstrap, and of a part of many, by Clopper and Pearson.

Above stand the experiments. It must never know what was measured.
"""

from __future__ import annotations

import math
import random
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LEVEL = 0.95
_DRAWS, _HALVINGS = 2000, 60


def of_median(values: Sequence[float], seed: int = 1) -> tuple[float, float]:
    """Return the percentile bootstrap's interval of the median (Efron 1979)."""
    rng = random.Random(seed)  # noqa: S311  # the same values give the same interval
    drawn = sorted(median(rng.choices(values, k=len(values))) for _ in range(_DRAWS))
    edge = int(_DRAWS * (1 - LEVEL) / 2)
    return drawn[edge], drawn[-1 - edge]


def of_part(hits: int, of: int) -> tuple[float, float]:
    """Return the exact interval of a probability, `hits` of so many seen (Clopper, Pearson 1934)."""
    tail = (1 - LEVEL) / 2
    low = 0.0 if hits == 0 else _root(lambda p: 1 - _at_most(hits - 1, of, p) - tail)
    high = 1.0 if hits == of else _root(lambda p: tail - _at_most(hits, of, p))
    return low, high


def _root(rising: Callable[[float], float]) -> float:
    """Return where a rising function of a probability is 0."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def _at_most(hits: int, of: int, p: float) -> float:
    """Return the probability of so many hits or fewer; the shorter tail is summed."""
    if hits > of - hits:
        return 1 - _at_most(of - hits - 1, of, 1 - p)
    return math.fsum(_exactly(each, of, p) for each in range(hits + 1))


def _exactly(hits: int, of: int, p: float) -> float:
    if p in {0.0, 1.0}:
        return float(hits == of * p)
    ways = math.lgamma(of + 1) - math.lgamma(hits + 1) - math.lgamma(of - hits + 1)
    return math.exp(ways + hits * math.log(p) + (of - hits) * math.log1p(-p))
