"""What `mcpweft map` has done: a file beside its input, by which a second run goes on where the first ended.

Its first line names the run, the others a finished line of the input each. The run's name is part of every
call's idempotency key, so a call that was in flight when the first run ended is joined, not made again.

Above stands `bulk`. This module must never know what a line means.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from typing import IO, TYPE_CHECKING, Any, Self

from mcpweft.cli.exits import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MARK = "mcpweft_map"


def print_of(line: str) -> str:
    """Return what tells an edited input line from the one that was done."""
    return hashlib.blake2b(line.encode(), digest_size=8).hexdigest()


class Journal:
    """The finished lines of one input. `with` it: only one run at a time holds a journal."""

    def __init__(self, path: Path | None, *, restart: bool = False) -> None:
        """Describe a journal; None for a run that nobody will continue."""
        self.path = path
        self.run = ""
        self.done: dict[int, str] = {}
        """Finished line → its print, counted from 1."""
        self._restart = restart
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        if self.path is not None:
            self._file = self.path.open("a+", encoding="utf-8")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.close()
                raise UsageError(f"Another run works on {self.path} at the moment. Wait for it.") from None
            self._read(self._file)
        if not self.run:
            self.run = os.urandom(8).hex()
            self._write({_MARK: 1, "run": self.run})
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self, file: IO[str]) -> None:
        file.seek(0)
        whole = 0
        for value, end in whole_lines(file):
            whole = end
            if _MARK in value:
                self.run = str(value["run"])
            elif "line" in value:
                self.done[int(value["line"])] = str(value.get("hash", ""))
        if self._restart:
            whole, self.run, self.done = 0, "", {}
        file.truncate(whole)  # the half line that a crash left

    def key(self, number: int, line: str) -> str | None:
        """Return the idempotency key of a line's call; None where nobody will continue."""
        return f"map:{self.run}:{number}:{print_of(line)}" if self.path is not None else None

    def has(self, number: int, line: str) -> bool:
        """Return whether this very line is finished."""
        return self.done.get(number) == print_of(line)

    def note(self, number: int, line: str) -> None:
        """Remember that a line is finished; its outcome must have been written before."""
        self.done[number] = print_of(line)
        self._write({"line": number, "hash": self.done[number]})

    def forget(self) -> None:
        """Delete the file: all is done, so the next run is a new one."""
        if self.path is not None:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()

    def _write(self, value: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(value) + "\n")
            self._file.flush()


def whole_lines(file: IO[str]) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each whole line that is a JSON object, with the position behind it; stop at the first other."""
    while line := file.readline():
        try:
            value = json.loads(line)
        except ValueError:
            return
        if not line.endswith("\n") or not isinstance(value, dict):
            return
        yield value, file.tell()
