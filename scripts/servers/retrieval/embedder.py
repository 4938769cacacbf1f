"""What turns texts into vectors: the seam at which another model than the one that comes along is put in.

Above stands the index, which asks once for the vectors of all records, and then for each question's. Below
is whatever computes them: `latent.Latent` learns from the corpus itself and needs no model; a sentence
transformer brings what it has learnt. An embedder must never know what its vectors are for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Matrix: TypeAlias = npt.NDArray[np.float32]
"""A row for each text."""
Learnt: TypeAlias = "Mapping[str, Matrix | list[str]]"
"""What an embedder keeps in the index: arrays and lists of texts, by name."""


class Embedder(Protocol):
    """Anything with these five; one that has nothing to learn returns `{}` and recalls nothing."""

    @property
    def key(self) -> str:
        """What tells its vectors from those of any other: an index is kept for this key."""
        ...

    def learn(self, texts: Sequence[str]) -> Learnt:
        """Learn from all texts of the corpus; return what `recall` needs to know it again."""
        ...

    def recall(self, learnt: Learnt) -> None:
        """Take up what `learn` has returned, in another process perhaps."""
        ...

    def documents(self, texts: Sequence[str]) -> Matrix:
        """Return a row for each text, of length 1, or shorter where the text has little to say."""
        ...

    def question(self, text: str) -> Matrix:
        """Return one row, of length 1, or shorter by what is not understood of the question."""
        ...


def load_embedder(place: str) -> Embedder:
    """Return the embedder that `module:Name` makes when called without arguments.

    Raises:
        ValueError: it is not written so, or there is nothing of that name.

    """
    module, _, name = place.partition(":")
    if not module or not name:
        raise ValueError(f"embedder {place!r} is not written module:Name")
    try:
        made = cast("Callable[[], Embedder]", getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError) as exc:
        raise ValueError(f"embedder {place!r} cannot be loaded: {exc}") from exc
    return made()
