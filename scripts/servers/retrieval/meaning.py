"""Searches by vectors: a record is as strong as the cosine between it and the question.

Above stand the servers. Below is the index with its vectors, and the embedder that places the question
among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from retrieval.index import Index
    from retrieval.searcher import Strengths


class Meaning:
    """See `searcher.Searcher`."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def strengths(self, query: str) -> Strengths:
        """Return the cosines; rows that are shorter than 1 make them smaller, and below 0 is nothing."""
        question = np.ravel(self._index.embedder.question(query))
        return np.asarray(np.maximum(self._index.vectors @ question, 0.0), dtype=np.float64)
