"""A folder of documents: which files belong to it, what they hold, and whether they have changed.

`standard_library()` is on every machine; any other folder of Python source, Markdown, reStructuredText and
plain text is a corpus too. Above stands the index. Below are the readers, one for source and one for prose.
"""

from __future__ import annotations

import hashlib
import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.prose import read_prose
from retrieval.pythonsource import read_python
from retrieval.record import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON = {".py"}
PROSE = {".md", ".markdown", ".rst", ".txt"}
LARGEST = 2 * 1024 * 1024
"""Bytes of a file that is still read: what is larger holds data, no text."""
_NO_DOCUMENTS = {"__pycache__", "node_modules", "site-packages", "dist-packages"}
_NO_LIBRARY = {
    *("config", "distutils", "encodings", "ensurepip", "idlelib", "lib-dynload", "lib2to3", "msilib"),
    *("pydoc_data", "test", "tests", "turtledemo", "__phello__"),
}


@dataclass(frozen=True, slots=True)
class Corpus:
    """A folder, and what of it is left out."""

    root: Path
    name: str
    without: frozenset[str] = frozenset()
    """Names of folders that are not looked into."""
    suffixes: frozenset[str] = frozenset(PYTHON | PROSE)

    def files(self) -> list[Path]:
        """Return its files, in an order that is always the same."""
        return sorted(self._walk())

    def fingerprint(self) -> str:
        """Return what changes when a file comes, goes or is written to."""
        digest = hashlib.sha256(f"{self.root}\n".encode(errors="surrogateescape"))
        for path in self.files():
            stat = path.stat()
            line = f"{path.relative_to(self.root)}\0{stat.st_size}\0{stat.st_mtime_ns}\n"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()

    def read(self) -> Reading:
        """Read all of it.

        Raises:
            ValueError: there is nothing to read.

        """
        files = self.files()
        source = read_python(self.root, [path for path in files if path.suffix in PYTHON])
        prose = read_prose(self.root, [path for path in files if path.suffix not in PYTHON])
        records = [*source.records, *prose.records]
        if not records:
            raise ValueError(f"{self.root} holds no file that ends in {', '.join(sorted(self.suffixes))}")
        return Reading(records, [*source.relations, *prose.relations], source.aliases)

    def _walk(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if name not in self.without and not name.startswith(".")]
            for name in names:
                path = Path(folder, name)
                if path.suffix in self.suffixes and path.is_file() and path.stat().st_size <= LARGEST:
                    yield path


def standard_library() -> Corpus:
    """Return the Python standard library of this interpreter, without its tests and its tables."""
    root = Path(sysconfig.get_paths()["stdlib"])
    extra = {path.name for path in root.glob("config-*")}
    without = frozenset(_NO_LIBRARY | _NO_DOCUMENTS | extra)
    return Corpus(root, "stdlib", without, frozenset(PYTHON))


def folder(path: Path) -> Corpus:
    """Return the corpus that is a folder.

    Raises:
        ValueError: there is no such folder.

    """
    root = path.expanduser().resolve()
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder")
    return Corpus(root, root.name or "root", frozenset(_NO_DOCUMENTS))
