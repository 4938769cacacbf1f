"""Rounds and figures: the arithmetic that every benchmark shares.

Arms are measured in turns, round after round, because a machine is never equally busy twice: what is compared
has been measured within the same half minute. The first round warms up and does not count, each round starts
with another arm, and a ratio is formed within each round before its median is taken over the rounds.

Above stand the benchmarks and the processes that they measure, so only the standard library is needed here.
This module must never know what is measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Figures: TypeAlias = "dict[str, float]"
"""What one arm measured in one round, by name."""
Rounds: TypeAlias = "list[dict[str, Figures]]"
"""What each round found, by arm."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One figure over the rounds."""

    median: float
    low: float
    high: float


def summarise(values: Iterable[float]) -> Summary:
    """Return the median and the range of at least one value."""
    found = sorted(values)
    return Summary(median(found), found[0], found[-1])


def percentile(values: Iterable[float], part: float) -> float:
    """Return the nearest-rank percentile: the smallest value that `part` (0 to 1) of all do not exceed."""
    found = sorted(values)
    return found[max(0, math.ceil(part * len(found)) - 1)]


def turns(arms: Sequence[str], number: int) -> list[str]:
    """Return the arms in the order of this round: each round begins with the next one."""
    start = number % len(arms)
    return [*arms[start:], *arms[:start]]


def interleave(
    arms: Mapping[str, Callable[[], Figures]],
    rounds: int,
    tell: Callable[[int, str, Figures], None] | None = None,
    *,
    warm_up: bool = True,
) -> Rounds:
    """Measure all arms in each of `rounds` rounds, after one that does not count (with `warm_up`).

    `tell` hears (round, arm, figures) of each measurement; the warm-up is round 0.
    """
    found: Rounds = []
    for number in range(0 if warm_up else 1, rounds + 1):
        row = {}
        for arm in turns(list(arms), number):
            row[arm] = arms[arm]()
            if tell is not None:
                tell(number, arm, row[arm])
        if number:
            found.append({arm: row[arm] for arm in arms})
    return found


def over(rounds: Rounds, figure: Callable[[dict[str, Figures]], float]) -> Summary:
    """Return the summary of what `figure` makes of each round: a ratio of two arms, say."""
    return summarise(figure(row) for row in rounds)


def of(rounds: Rounds, arm: str, figure: str) -> Summary:
    """Return the summary of one figure of one arm."""
    return summarise(row[arm][figure] for row in rounds)
