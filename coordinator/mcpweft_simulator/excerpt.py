"""Which part of a recorded load is run, so that the work has a bound; and when its requests come.

What the record holds beyond the bound is represented by pieces of it, evenly spaced over all of it, one after
the other: as many as fit, each as long as its span, and shorter only where there would be too few of them.
Before them comes a lead that does not count, at the mean rate: the strategies have to hear of the servers.
Within a piece requests come as a Poisson process at its recorded rate.

Above stands the rehearsal. Below is nothing. It must never know a strategy. Times are seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mcpweft.analytics.figures import Arrivals

MOST = 12_000
"""Calls of one run, at most, of a small crew; what else costs time counts as calls."""
LOOKS = 8
"""Looks at one worker, of which there is one a second, that cost as much as a call."""
CREW = 200
"""Workers that make a call cost twice as much, since many hear of it."""
LEAD = 20.0
PIECES = 12
"""A longer span is cut shorter where fewer of them would fit."""
SHORTEST = 1.0
"""It is not cut shorter than this: queues take their time to fill."""
LEAST = 5.0
"""Seconds of the record that say something."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch at one rate, per second."""

    seconds: float
    rate: float


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What is run; fewer calls than `MOST` where much else costs time."""

    lead: Piece
    pieces: tuple[Piece, ...]

    @property
    def seconds(self) -> float:
        """Of the recorded time, the lead left out."""
        return sum(piece.seconds for piece in self.pieces)

    @property
    def calls(self) -> float:
        """That are to be expected, the lead left out."""
        return sum(piece.seconds * piece.rate for piece in self.pieces)

    def moments(self, rng: random.Random) -> Iterator[float]:
        """Yield when requests come; no more than `MOST`."""
        count, begin = 0, 0.0
        for piece in (self.lead, *self.pieces):
            at, end = begin, begin + piece.seconds
            while piece.rate > 0 and count < MOST:
                at += rng.expovariate(piece.rate)  # which has no memory: each piece begins anew
                if at >= end:
                    break
                count += 1
                yield at
            begin = end


def excerpt(arrivals: Sequence[Arrivals], workers: int) -> Excerpt:
    """Return what is run of a record by so many workers."""

    def cost(piece: Piece) -> float:
        return piece.seconds * (piece.rate * (1 + workers / CREW) + workers / LOOKS)

    spans = [Piece(each.seconds, each.accepted / each.seconds) for each in arrivals]
    mean = sum(each.accepted for each in arrivals) / sum(each.seconds for each in arrivals)
    lead = Piece(LEAD, mean)
    lead = _shorter(lead, LEAD * min(1.0, MOST / 4 / cost(lead)))
    left = MOST - cost(lead)
    whole = sum(map(cost, spans))
    if whole <= left:
        return Excerpt(lead, tuple(spans))
    part = min(1.0, left / (PIECES * whole / len(spans)))
    cut = [_shorter(each, max(SHORTEST, part * each.seconds)) for each in spans]
    every = math.ceil(sum(map(cost, cut)) / left)
    return Excerpt(lead, tuple(_within(left, cut[min(every - 1, len(cut) - 1) // 2 :: every], cost)))


def _shorter(piece: Piece, seconds: float) -> Piece:
    return Piece(min(piece.seconds, seconds), piece.rate)


def _within(left: float, pieces: Iterable[Piece], cost: Callable[[Piece], float]) -> Iterator[Piece]:
    """Yield pieces until the bound is reached: evenly spaced ones may be busier than the others."""
    for piece in pieces:
        part = min(1.0, left / cost(piece))
        left -= part * cost(piece)
        yield _shorter(piece, part * piece.seconds)
        if part < 1:
            return
