"""Puts together what searches one corpus: its index, kept on disk, and each way of searching with its scale.

Above stand the servers and the benchmark of their answers. Below is everything else in this folder.
"""

from __future__ import annotations

import gc
import hashlib
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.fusion import Fusion
from retrieval.graph import Graph
from retrieval.index import Index, write
from retrieval.keeper import default_folder, keep
from retrieval.meaning import Meaning
from retrieval.relating import Relating
from retrieval.searcher import Remembering, Scale, measure, probes
from retrieval.wording import Wording

if TYPE_CHECKING:
    from collections.abc import Generator

    from retrieval.corpus import Corpus
    from retrieval.embedder import Embedder
    from retrieval.searcher import Probe, Searcher


@dataclass(frozen=True, slots=True)
class Way:
    """One way of searching, and what its strengths mean."""

    searcher: Searcher
    scale: Scale


class Library:
    """One corpus, ready to be searched. A way is made when it is first asked for: each server needs one."""

    def __init__(self, index: Index) -> None:
        self.index = index
        scales: dict[str, dict[str, float]] = dict(index.notes.get("scales", {}))
        self._scales = {name: Scale(**scale) for name, scale in scales.items()}

    @cached_property
    def graph(self) -> Graph:
        """Entities and relations."""
        return Graph(self.index)

    @cached_property
    def vector(self) -> Way:
        """By meaning."""
        return self._way("vector", Meaning(self.index))

    @cached_property
    def words(self) -> Way:
        """By words; a part of `hybrid`."""
        return self._way("words", Wording(self.index))

    @cached_property
    def hybrid(self) -> Way:
        """By both."""
        ways = [(way.searcher, way.scale) for way in (self.vector, self.words)]
        return self._way("hybrid", Fusion(ways))

    @cached_property
    def relations(self) -> Way:
        """By relations."""
        return self._way("relations", Relating(self.index, self.graph))

    @cached_property
    def _probes(self) -> list[Probe]:
        return probes(self.index.records)

    def scales(self) -> dict[str, dict[str, float]]:
        """Measure what is not known yet; return the scales of all ways, as the index notes them."""
        ways = {
            "vector": self.vector,
            "words": self.words,
            "hybrid": self.hybrid,
            "relations": self.relations,
        }
        return {name: asdict(way.scale) for name, way in ways.items()}

    def _way(self, name: str, searcher: Searcher) -> Way:
        if name not in self._scales:  # an index is being made
            searcher = Remembering(searcher)
            self._scales[name] = measure(searcher, self._probes)
        return Way(searcher, self._scales[name])


def open_library(corpus: Corpus, embedder: Embedder, folder: Path | None = None) -> Library:
    """Return the library of a corpus, from its file in `folder` or the user's cache, made if need be.

    Raises:
        ValueError: there is nothing to read.
        OSError: the file cannot be written.

    """

    def make(path: Path) -> None:
        with _uncollected():
            write(path, corpus.read(), embedder)
        index = Index(path, embedder)
        notes = {"scales": Library(index).scales()}
        index.close()
        index.note(path, notes)

    place = (folder or default_folder()) / _file_name(corpus, embedder)
    return keep(place.resolve(), make, lambda path: Library(Index(path, embedder)))


@contextmanager
def _uncollected() -> Generator[None]:
    """Keep the collector from walking through millions of syntax nodes again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _file_name(corpus: Corpus, embedder: Embedder) -> str:
    """Return a name that changes with the corpus, with the embedder and with this library's own code."""
    digest = hashlib.sha256(f"{corpus.fingerprint()}\n{embedder.key}\n".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', corpus.name)}-{digest.hexdigest()[:20]}.sqlite"
