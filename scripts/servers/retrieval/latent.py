"""The embedder that comes along: TF-IDF weights of words, and their truncated singular value decomposition.

Words that occur in the same documents come to lie near each other, so a question finds documents that say
it in other words. It learns from the corpus alone, in seconds. scikit-learn is loaded by `learn` only: who
recalls what was learnt needs numpy.
"""

from __future__ import annotations

import importlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.words import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retrieval.embedder import Learnt, Matrix

BREVITY = 2.0
"""How much a short document is held back: one with as many words as the median has a third of the length
that an endless one would have. Without it, a name of three words beats every text that explains the thing."""
MANY = 100
"""From so many texts on, a word that only one of them has is not learnt."""


class Latent:
    """Latent semantic analysis; see `embedder.Embedder`."""

    def __init__(self, dimensions: int = 400) -> None:
        self._dimensions = dimensions
        self._columns: dict[str, int] = {}
        self._rarity: Matrix = np.zeros(0, dtype=np.float32)
        self._components: Matrix = np.zeros((0, 0), dtype=np.float32)

    @property
    def key(self) -> str:
        """Its name and its size."""
        return f"latent-{self._dimensions}"

    def learn(self, texts: Sequence[str]) -> Learnt:
        """Find the words' weights and the directions in which the texts differ most."""
        # Loaded here: a second that only learning costs. threadpoolctl comes with scikit-learn.
        text: Any = importlib.import_module("sklearn.feature_extraction.text")
        decomposition: Any = importlib.import_module("sklearn.decomposition")
        pools: Any = importlib.import_module("threadpoolctl")
        least = 2 if len(texts) > MANY else 1
        vectorizer = text.TfidfVectorizer(analyzer=words, sublinear_tf=True, min_df=least, dtype=np.float32)
        weights = vectorizer.fit_transform(texts)
        dimensions = max(1, min(self._dimensions, min(weights.shape) - 1))
        with pools.threadpool_limits(1):  # several threads take longer where something else is busy
            svd = decomposition.TruncatedSVD(dimensions, n_iter=2, n_oversamples=50, random_state=0).fit(
                weights
            )
        learnt: dict[str, Matrix | list[str]] = {
            "words": [str(word) for word in vectorizer.get_feature_names_out()],
            "rarity": np.asarray(vectorizer.idf_, dtype=np.float32),
            "components": np.ascontiguousarray(svd.components_.T, dtype=np.float32),
        }
        self.recall(learnt)
        return learnt

    def recall(self, learnt: Learnt) -> None:
        """Take up what was learnt."""
        self._columns = {str(word): column for column, word in enumerate(learnt["words"])}
        self._rarity = np.asarray(learnt["rarity"], dtype=np.float32)
        self._components = np.asarray(learnt["components"], dtype=np.float32)

    def documents(self, texts: Sequence[str]) -> Matrix:
        """Return rows that point where a text lies, the longer the more it says."""
        found = [self._place(text) for text in texts]
        rows = np.stack([row for row, _ in found])
        said = np.array([length for _, length in found], dtype=np.float32)
        lengths = np.linalg.norm(rows, axis=1)
        held_back = said + BREVITY * float(np.median(said))
        return np.asarray(rows * (said / np.maximum(lengths * held_back, 1e-9))[:, None], dtype=np.float32)

    def question(self, text: str) -> Matrix:
        """Return a row of length 1, less what is unknown: new words, and what the directions cannot tell."""
        row, length = self._place(text)
        return row / max(length, 1e-9)

    def _place(self, text: str) -> tuple[Matrix, float]:
        """Return where a text lies, and the length of its weights, those of unknown words among them."""
        counts = Counter(words(text))
        columns = np.array([self._columns[word] for word in counts if word in self._columns], dtype=np.intp)
        times = np.array([counts[word] for word in counts if word in self._columns], dtype=np.float32)
        weights = (1 + np.log(times)) * self._rarity[columns]
        unknown = (len(counts) - len(columns)) * float(self._rarity.max(initial=1.0)) ** 2
        row = np.asarray(weights @ self._components[columns], dtype=np.float32)
        return row, float(np.sqrt(float(weights @ weights) + unknown))
