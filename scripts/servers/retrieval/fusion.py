"""Searches in two ways at once and fuses their ranks: reciprocal rank fusion.

A record gets 1 / (K + rank) from each way that found it, and the sums give the order. They say nothing of
how well the first one answers (somebody is always first), so its strength is the mean of its scores by both
ways; and none is weaker than one that it stands before. Above stand the servers; below is any pair of
searchers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retrieval.searcher import Scale, Searcher, Strengths

K = 3
"""How slowly ranks lose weight. 60 is usual where many lists are fused; with two it lets a record that
both find in passing come before one that one of them is sure of."""
DEEP = 100
"""So many of each way are fused."""


class Fusion:
    """See `searcher.Searcher`."""

    def __init__(self, ways: Sequence[tuple[Searcher, Scale]]) -> None:
        self._ways = ways

    def strengths(self, query: str) -> Strengths:
        """Return strengths in the order of the fused ranks."""
        scores = [scale.scores(searcher.strengths(query)) for searcher, scale in self._ways]
        ranks = np.sum([reciprocal(found) for found in scores], axis=0)
        order = np.argsort(-ranks, kind="stable")
        means = np.mean(scores, axis=0)[order]
        envelope = np.maximum.accumulate(means[::-1])[::-1]
        strengths = np.zeros_like(means)
        strengths[order] = envelope + ranks[order] * 1e-6  # equal strengths keep their order
        return np.where(ranks > 0, strengths, 0.0)


def reciprocal(strengths: Strengths) -> Strengths:
    """Return 1 / (K + rank) for each of the first `DEEP` records with any strength, and 0 for the others."""
    found = np.zeros_like(strengths)
    first = np.argsort(-strengths, kind="stable")[:DEEP]
    first = first[strengths[first] > 0]
    found[first] = 1 / (K + 1 + np.arange(len(first)))
    return found
