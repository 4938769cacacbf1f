"""What a way of searching is, and the measure that makes the scores of different ones comparable.

A searcher finds a strength for each record: any figure from 0 up, by its own measure. A `Scale` turns it
into the score that users see, which means the same whoever searched:

    0     nothing in common with the question
    0.7   what nine of ten right answers reach, where half of the question's words are those of the record
    1     what a record reaches when it is asked for with its own first sentence

In between it is linear. The two strengths are measured on the corpus itself when its index is built, with
questions made from its records, so they hold for any corpus and any embedder. Above stand library.py and
the searchers. A scale must never look at the questions that quality is published for.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from retrieval.words import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retrieval.record import Record

Strengths: TypeAlias = npt.NDArray[np.float64]
"""A figure for each record of the index."""
RIGHT, OWN = 0.7, 1.0
"""The scores of the two strengths that are measured."""
SAMPLE = 60
"""So many records are asked for."""
MOST_WORDS = 8
"""Words of a made question: as many as people ask with."""
LEAST_WORDS = 5
"""A first sentence of fewer words makes no question."""
FIRST = 5
"""A record that is not among so many first ones was not found."""


class Searcher(Protocol):
    """One way of searching."""

    def strengths(self, query: str) -> Strengths:
        """Return how strongly each record answers the query."""
        ...


@dataclass(frozen=True, slots=True)
class Scale:
    """What strengths mean to one searcher of one index."""

    right: float
    own: float

    def scores(self, strengths: Strengths) -> Strengths:
        """Return the scores of strengths: 0 to 1, in the same order."""
        right = max(self.right, 1e-9)
        return np.asarray(np.interp(strengths, [0.0, right, max(self.own, 1.001 * right)], [0.0, RIGHT, OWN]))


class Remembering:
    """A searcher that is asked only once for the same: those that are measured share their parts."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._known: dict[str, Strengths] = {}

    def strengths(self, query: str) -> Strengths:
        """Return what it found, now or before."""
        if query not in self._known:
            self._known[query] = self._searcher.strengths(query)
        return self._known[query]


@dataclass(frozen=True, slots=True)
class Probe:
    """Two questions made from one record."""

    at: int
    """The record's position."""
    own: str
    """Its own first sentence."""
    half: str
    """Half of it some of its words, half those of others."""


def probes(records: Sequence[Record]) -> list[Probe]:
    """Return what to ask an index, to learn how strong its answers are; the same for the same records."""
    rng = random.Random(0)  # noqa: S311  # a sample that is always the same
    order = list(range(len(records)))
    rng.shuffle(order)
    least = LEAST_WORDS if any(len(words(records[at].summary)) >= LEAST_WORDS for at in order) else 0
    said = ((at, words(records[at].summary or records[at].content)) for at in order)
    enough = list(islice(((at, found) for at, found in said if len(found) >= least), 2 * SAMPLE))
    others = [word for _, found in enough[SAMPLE:] or enough for word in found] or [""]
    made: list[Probe] = []
    for at, found in enough[:SAMPLE]:
        mine = rng.sample(found, min(MOST_WORDS, len(found)))
        kept = (len(mine) + 1) // 2
        half = [*mine[:kept], *rng.choices(others, k=len(mine) - kept)]
        made.append(Probe(at, " ".join(found[: 2 * MOST_WORDS]), " ".join(half)))
    return made


def measure(searcher: Searcher, asked: Sequence[Probe]) -> Scale:
    """Ask, and return what the strengths of the answers mean."""
    own = [float(searcher.strengths(probe.own)[probe.at]) for probe in asked]
    right: list[float] = []
    for probe in asked:
        strengths = searcher.strengths(probe.half)
        first = min(FIRST, len(strengths))
        if 0 < strengths[probe.at] >= np.partition(strengths, -first)[-first]:
            right.append(float(strengths[probe.at]))
    return Scale(sorted(right)[len(right) // 10] if right else median(own) / 2, median(own))
