"""Where the outcomes of `mcpweft map` are written: a file that is continued, or standard output.

Above stands `bulk`. This module must never write into a file that holds something else.
"""

from __future__ import annotations

import json
import os
import sys
from typing import IO, TYPE_CHECKING, Any

from mcpweft.cli.exits import UsageError
from mcpweft.cli.journal import whole_lines

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from mcpweft.cli.journal import Journal


class Output:
    """Where outcomes are written: a file that is continued, or standard output."""

    def __init__(self, path: Path | None, journal: Journal, *, restart: bool) -> None:
        self._path = path
        self._journal = journal
        self._restart = restart
        self._file: IO[str] = sys.stdout

    @property
    def on_terminal(self) -> bool:
        """Whether a person reads them as they come."""
        return self._file.isatty()

    def __enter__(self) -> Self:
        if self._path is not None:
            self._file = self._path.open("w+" if self._restart else "a+", encoding="utf-8")
            self._continue()
        return self

    def _continue(self) -> None:
        """Take what the file holds as done, but for what a crash left half."""
        self._file.seek(0)
        whole = 0
        for value, end in whole_lines(self._file):
            whole = end
            if isinstance(value.get("line"), int) and is_finished(value):
                self._journal.done.setdefault(value["line"], str(value.get("hash", "")))
        if self._file.seek(0, os.SEEK_END) != whole:
            if self._file.seek(whole) == whole and self._file.readline().endswith("\n"):
                raise UsageError(f"{self._path} holds something else than outcomes. Name another --output.")
            self._file.truncate(whole)

    def __exit__(self, *_: object) -> None:
        if self._file is not sys.stdout:
            self._file.close()

    def write(self, value: dict[str, Any]) -> None:
        """Write one outcome; it is on its way when this returns."""
        self._file.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
        self._file.flush()


def is_finished(outcome: dict[str, Any]) -> bool:
    """Return whether a line is not to be tried again: its tool ran, or may have."""
    error = outcome.get("error") or {}
    return bool(outcome.get("ok")) or error.get("executed") != "no"
