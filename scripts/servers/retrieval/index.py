"""A corpus as it is searched: records, relations, vectors and a full-text table, in one SQLite file.

`write` makes the file, `Index(path)` loads it. Above stands library.py, and whatever searches. Below are
the corpus and the embedder, whose results are kept here. It must never know how a search ranks.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import weakref
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.keeper import Unusable
from retrieval.record import Edge, Record, Relation
from retrieval.words import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from retrieval.embedder import Embedder, Matrix
    from retrieval.record import Reading

FEW_WORDS = 60
"""A record of fewer words is embedded with the words of what it is part of."""
_SCHEMA = """
CREATE TABLE record (id INTEGER PRIMARY KEY, name TEXT, kind TEXT, content TEXT, source TEXT, title TEXT,
                     about TEXT, metadata TEXT);
CREATE TABLE relation (subject TEXT, verb TEXT, object TEXT);
CREATE INDEX relation_subject ON relation (subject);
CREATE INDEX relation_object ON relation (object);
CREATE TABLE alias (name TEXT, target TEXT);
CREATE TABLE learnt (name TEXT PRIMARY KEY, shape TEXT, value BLOB);
CREATE TABLE note (name TEXT PRIMARY KEY, value TEXT);
CREATE VIRTUAL TABLE said USING fts5(body, around, tokenize = 'unicode61 remove_diacritics 0');
CREATE VIRTUAL TABLE said_words USING fts5vocab(said, row);
"""

_RECORDS = "SELECT name, kind, content, source, title, about, metadata FROM record ORDER BY id"
_OUTWARDS = "SELECT verb, object FROM relation WHERE subject = ? LIMIT ?"
_INWARDS = "SELECT verb, subject FROM relation WHERE object = ? LIMIT ?"


class Index:
    """One index, loaded; searches may come from several threads."""

    def __init__(self, path: Path, embedder: Embedder) -> None:
        """Load it.

        Raises:
            FileNotFoundError: there is none at `path`.
            Unusable: what is there is no whole index.

        """
        if not path.exists():
            raise FileNotFoundError(path)
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False)
            self.close = weakref.finalize(self, self._connection.close)
            """Let go of the file; done as well when nobody holds this any more."""
            self._check()
            self.records = [
                Record(name, kind, content, source, title, about, json.loads(metadata))
                for name, kind, content, source, title, about, metadata in self._all(_RECORDS)
            ]
            self.aliases: Mapping[str, str] = dict(self._all("SELECT name, target FROM alias"))
            self.notes: Mapping[str, Any] = {
                name: json.loads(value) for name, value in self._all("SELECT name, value FROM note")
            }
            learnt = {name: _thawed(shape, value) for name, shape, value in self._all("SELECT * FROM learnt")}
            self.vectors: Matrix = np.asarray(learnt.pop("vectors"), dtype=np.float32)
            embedder.recall(learnt)
        except (sqlite3.Error, ValueError, TypeError, KeyError) as exc:
            raise Unusable(f"{path} is no whole index: {exc}") from exc
        self.embedder = embedder
        self.position = {record.name: position for position, record in enumerate(self.records)}

    def ask(self, statement: str, *values: str | float) -> list[Any]:
        """Return the rows that a SELECT finds; one at a time."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def relations(self) -> list[Relation]:
        """Return all relations."""
        return [Relation(*row) for row in self.ask("SELECT subject, verb, object FROM relation")]

    def edges(self, name: str, most: int) -> list[Edge]:
        """Return so many of an entity's relations, those that it is the subject of first."""
        found = [Edge(verb, True, other) for verb, other in self.ask(_OUTWARDS, name, most)]  # noqa: FBT003  # outwards
        inwards = self.ask(_INWARDS, name, most - len(found))
        return found + [Edge(verb, False, other) for verb, other in inwards]  # noqa: FBT003  # likewise

    def note(self, path: Path, notes: Mapping[str, Any]) -> None:
        """Write into the index at `path`, which is this one, what was found out about it."""
        self.notes = {**self.notes, **notes}
        with closing(sqlite3.connect(path)) as connection, connection:
            rows = [(name, json.dumps(value)) for name, value in notes.items()]
            connection.executemany("INSERT OR REPLACE INTO note VALUES (?, ?)", rows)

    def _all(self, statement: str) -> list[Any]:
        return self._connection.execute(statement).fetchall()

    def _check(self) -> None:
        found = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise ValueError(found)


def write(path: Path, reading: Reading, embedder: Embedder) -> None:
    """Write the index of what was read to `path`, where nothing is yet."""
    texts = [embedded_text(record) for record in reading.records]
    learnt = {**embedder.learn(texts), "vectors": embedder.documents(texts)}
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_SCHEMA}")
        rows = (_row(number, record) for number, record in enumerate(reading.records))
        connection.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.executemany(
            "INSERT INTO said(rowid, body, around) VALUES (?, ?, ?)", _said(reading.records)
        )
        relations = ((one.subject, one.verb, one.object) for one in reading.relations)
        connection.executemany("INSERT INTO relation VALUES (?, ?, ?)", relations)
        connection.executemany("INSERT INTO alias VALUES (?, ?)", reading.aliases.items())
        connection.executemany(
            "INSERT INTO learnt VALUES (?, ?, ?)", (_frozen(name, value) for name, value in learnt.items())
        )


def _row(number: int, one: Record) -> tuple[int | str, ...]:
    metadata = json.dumps(dict(one.metadata))
    return number, one.name, one.kind, one.content, one.source, one.title, one.about, metadata


def embedded_text(record: Record) -> str:
    """Return what of a record is turned into its vector: what stands first counts twice."""
    around = record.about if len(record.content.split()) < FEW_WORDS else ""
    return f"{record.title} {record.summary} {record.content} {around}"


def _said(records: Sequence[Record]) -> list[tuple[int, str, str]]:
    return [
        (number, " ".join(words(one.content)), " ".join(words(f"{one.title} {one.summary} {one.about}")))
        for number, one in enumerate(records)
    ]


def _frozen(name: str, value: Matrix | list[str]) -> tuple[str, str, bytes]:
    if isinstance(value, list):
        return name, "texts", json.dumps(value).encode()
    array = np.ascontiguousarray(value, dtype="<f4")
    return name, json.dumps(array.shape), array.tobytes()


def _thawed(shape: str, value: bytes) -> Matrix | list[str]:
    if shape == "texts":
        return [str(text) for text in json.loads(value)]
    return np.frombuffer(value, dtype="<f4").reshape(json.loads(shape))
