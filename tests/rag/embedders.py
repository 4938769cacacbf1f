"""Embedders that tests hand to `--embedder`: small ones, which tell or await what a test wants to know."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retrieval.words import words
from waiting import until_sync

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retrieval.embedder import Learnt, Matrix


class Hashed:
    """Each word is one of 256 directions; nothing is learnt."""

    key = "hashed"

    def learn(self, texts: Sequence[str]) -> Learnt:  # noqa: ARG002  # there is nothing to learn
        return {}

    def recall(self, learnt: Learnt) -> None:
        pass

    def documents(self, texts: Sequence[str]) -> Matrix:
        return np.stack([self.question(text) for text in texts])

    def question(self, text: str) -> Matrix:
        row = np.zeros(256, dtype=np.float32)
        for word in words(text):
            row[zlib.crc32(word.encode()) % 256] += 1
        length = float(np.linalg.norm(row))
        return row / length if length else row


class Counting(Hashed):
    """Writes a line into the file `$LEARNT` each time that it learns."""

    def learn(self, texts: Sequence[str]) -> Learnt:
        with Path(os.environ["LEARNT"]).open("a") as file:
            file.write(f"{len(texts)}\n")
        return super().learn(texts)


class Failing(Hashed):
    """Cannot learn."""

    key = "failing"

    def learn(self, texts: Sequence[str]) -> Learnt:
        raise RuntimeError(f"no model for {len(texts)} texts")


class Gated(Hashed):
    """Learns only once there is a file at `$GATE`."""

    key = "gated"

    def learn(self, texts: Sequence[str]) -> Learnt:
        until_sync(Path(os.environ["GATE"]).exists, within=50)
        return super().learn(texts)
