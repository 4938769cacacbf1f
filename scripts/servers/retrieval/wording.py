"""Searches by words: bm25 of SQLite's FTS5, as a part of what no record could exceed for this question.

A word that no record has counts as the rarest of all, so a question of which only little is known finds
nothing strong. Above stand the servers. Below is the index with its full-text table.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import numpy as np

from retrieval.words import words

if TYPE_CHECKING:
    from retrieval.index import Index
    from retrieval.searcher import Strengths

DEEP = 1000
"""So many records have a strength at most."""
MOST_WORDS = 64
"""Of a longer question these are enough."""
BODY, AROUND = 1.0, 0.2
"""What a word counts in a record itself, and in its name and what it is part of."""
_SATURATION = 2.2
"""What bm25 approaches for a word that a record says again and again: k1 + 1, by the k1 of FTS5."""
_FOUND = """SELECT rowid, -bm25(said, ?, ?) AS strength FROM said WHERE said MATCH ?
            ORDER BY strength DESC LIMIT ?"""


class Wording:
    """See `searcher.Searcher`."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def strengths(self, query: str) -> Strengths:
        """Return the parts of the best that could be."""
        found = np.zeros(len(self._index.records))
        asked = list(dict.fromkeys(words(query)))[:MOST_WORDS]
        if not asked:
            return found
        rows = self._index.ask(_FOUND, BODY, AROUND, " OR ".join(f'"{word}"' for word in asked), DEEP)
        best = self._best(asked)
        for number, strength in rows:
            found[number] = strength / best
        return found

    def _best(self, asked: list[str]) -> float:
        """Return what bm25 can come to at most; the weight of a word is FTS5's."""
        marks = ", ".join("?" * len(asked))
        statement = f"SELECT doc FROM said_words WHERE term IN ({marks})"  # noqa: S608  # marks only
        having = [int(row[0]) for row in self._index.ask(statement, *asked)]
        having += [0] * (len(asked) - len(having))
        total = len(self._index.records)
        weights = (max(log((total - n + 0.5) / (n + 0.5)), 1e-6) for n in having)
        return _SATURATION * sum(weights)
