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
from statistics import median
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from retrieval.words import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


def measure(searcher: Searcher, records: Sequence[Record]) -> Scale:
    """Ask for a sample of the records and return what came out; the same for the same records."""
    rng = random.Random(0)  # noqa: S311  # a sample that is always the same
    said = {at: found for at, one in enumerate(records) if len(found := words(one.summary)) >= LEAST_WORDS}
    said = said or {at: words(one.content) for at, one in enumerate(records)}
    chosen = rng.sample(sorted(said), min(SAMPLE, len(said)))
    own = [float(searcher.strengths(" ".join(said[at]))[at]) for at in chosen]
    right: list[float] = []
    for at in chosen:
        mine = rng.sample(said[at], min(MOST_WORDS, len(said[at])))
        half = [*mine[: (len(mine) + 1) // 2], *_words_of_others(said, len(mine) // 2, rng)]
        strengths = searcher.strengths(" ".join(half))
        if (
            0
            < strengths[at]
            >= np.partition(strengths, -min(FIRST, len(strengths)))[-min(FIRST, len(strengths))]
        ):
            right.append(float(strengths[at]))
    return Scale(sorted(right)[len(right) // 10] if right else median(own) / 2, median(own))


def _words_of_others(said: Mapping[int, list[str]], count: int, rng: random.Random) -> list[str]:
    others = [said[at] for at in rng.choices(sorted(said), k=count)]
    return [rng.choice(found) for found in others if found]
