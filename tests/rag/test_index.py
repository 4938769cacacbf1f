"""The index on disk: made once however many ask, never read half, and made anew where it cannot be used."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rag.embedders import Hashed
from retrieval.answer import search
from retrieval.corpus import folder
from retrieval.embedder import load_embedder
from retrieval.keeper import UNUSED_FOR, default_folder
from retrieval.latent import Latent
from retrieval.library import open_library

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retrieval.corpus import Corpus
    from retrieval.embedder import Learnt
    from retrieval.library import Library

ROOT = Path(__file__).parents[2]
_OPEN = """
import sys
from pathlib import Path
from retrieval.corpus import folder
from retrieval.embedder import load_embedder
from retrieval.library import open_library
library = open_library(folder(Path(sys.argv[1])), load_embedder("rag.embedders:Counting"), Path(sys.argv[2]))
print(len(library.index.records), len(library.index.vectors), sorted(library.scales()))
"""


def answers(library: Library) -> list[tuple[str, float]]:
    found = search(library, library.hybrid, "hoist the sail", 5, 0.0, None)
    return [(one.metadata["name"], one.score) for one in found.results]


def only_file(cache: Path) -> Path:
    (file,) = cache.glob("*.sqlite")
    return file


def test_an_index_is_made_once_and_loaded_as_it_was(small: Corpus, tmp_path: Path) -> None:
    made = open_library(small, Latent(), tmp_path / "cache")
    inode = only_file(tmp_path / "cache").stat().st_ino
    loaded = open_library(small, Latent(), tmp_path / "cache")
    assert only_file(tmp_path / "cache").stat().st_ino == inode
    assert loaded.index.records == made.index.records
    assert np.array_equal(loaded.index.vectors, made.index.vectors)
    assert answers(loaded) == answers(made)
    assert loaded.scales() == made.scales()


def test_another_corpus_or_another_embedder_has_an_index_of_its_own(small: Corpus, tmp_path: Path) -> None:
    open_library(small, Latent(), tmp_path / "cache")
    open_library(small, Latent(dimensions=3), tmp_path / "cache")
    open_library(small, Hashed(), tmp_path / "cache")
    (small.root / "boat" / "oar.py").write_text('"""To row with."""\n')
    changed = open_library(small, Hashed(), tmp_path / "cache")
    assert "boat.oar" in changed.index.position
    assert len(list((tmp_path / "cache").glob("sailing-*.sqlite"))) == 4


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    path.write_bytes(b"\0garbage" * 1000)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def scribble(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[4096:8192] = b"\xff" * 4096
    path.write_bytes(whole)


def lose_the_vectors(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM learnt WHERE name = 'vectors'")


def cut_the_vectors(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE learnt SET value = substr(value, 1, 9) WHERE name = 'vectors'")


@pytest.mark.parametrize("harm", [truncate, overwrite, empty, scribble, lose_the_vectors, cut_the_vectors])
def test_an_index_that_was_harmed_is_made_anew(
    harm: Callable[[Path], None], small: Corpus, tmp_path: Path
) -> None:
    before = answers(open_library(small, Latent(), tmp_path / "cache"))
    harm(only_file(tmp_path / "cache"))
    assert answers(open_library(small, Latent(), tmp_path / "cache")) == before


def test_what_a_killed_process_left_half_done_is_in_nobodys_way(small: Corpus, tmp_path: Path) -> None:
    before = answers(open_library(small, Latent(), tmp_path / "cache"))
    whole = only_file(tmp_path / "cache")
    whole.with_suffix(".part").write_bytes(whole.read_bytes()[:5000])
    whole.unlink()
    assert answers(open_library(small, Latent(), tmp_path / "cache")) == before
    assert not list((tmp_path / "cache").glob("*.part"))


def test_nobody_sees_an_index_before_it_is_whole(small: Corpus, tmp_path: Path) -> None:
    seen: list[list[Path]] = []

    class Watching(Hashed):
        def learn(self, texts: Sequence[str]) -> Learnt:
            seen.append(list((tmp_path / "cache").glob("*.sqlite")))
            return super().learn(texts)

    open_library(small, Watching(), tmp_path / "cache")
    assert seen == [[]]
    assert only_file(tmp_path / "cache").stat().st_size > 0


def test_three_processes_that_start_together_make_one_index(small: Corpus, tmp_path: Path) -> None:
    paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "scripts" / "servers")])
    env = {**os.environ, "PYTHONPATH": paths, "LEARNT": str(tmp_path / "learnt")}
    command = [sys.executable, "-c", _OPEN, str(small.root), str(tmp_path / "cache")]
    together = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = [process.communicate(timeout=50)[0] for process in together]
    assert [process.returncode for process in together] == [0, 0, 0]
    assert len(set(told)) == 1
    assert (tmp_path / "learnt").read_text().splitlines() == [told[0].split()[0]]


def test_indexes_lie_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "mcpweft" / "retrieval"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for unset in ("", "not/absolute"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert default_folder() == tmp_path / "home" / ".cache" / "mcpweft" / "retrieval"


def test_an_index_that_nobody_used_for_long_goes_when_another_is_made(small: Corpus, tmp_path: Path) -> None:
    open_library(small, Hashed(), tmp_path / "cache")
    unused = only_file(tmp_path / "cache")
    past = unused.stat().st_mtime - UNUSED_FOR - 1
    os.utime(unused, (past, past))
    open_library(small, Latent(), tmp_path / "cache")
    assert only_file(tmp_path / "cache").name != unused.name
    assert [path.stem for path in (tmp_path / "cache").glob("*.lock")] == [only_file(tmp_path / "cache").stem]


def test_an_embedder_is_named_by_its_module(tmp_path: Path) -> None:
    assert load_embedder("rag.embedders:Hashed").key == "hashed"
    for wrong in ("Hashed", "rag.embedders:", ":Hashed", "rag.nowhere:Hashed", "rag.embedders:Nobody"):
        with pytest.raises(ValueError, match=f"embedder '{wrong}'"):
            load_embedder(wrong)
    with pytest.raises(ValueError, match="holds no file"):
        open_library(folder(tmp_path), Hashed(), tmp_path / "cache")
