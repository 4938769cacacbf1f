"""A `mcpweft.toml` on disk: finding the nearest one, reading it, and telling which line a key stands on.

Above stand the config loader and `locate`. This module must never know which keys there are.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.errors import InvalidConfigError

if TYPE_CHECKING:
    from pathlib import Path

FILENAME = "mcpweft.toml"

_HEADER = re.compile(r"\s*\[\[?(?P<path>[^\[\]]+)\]\]?\s*(#.*)?")
_KEY = re.compile(r"\s*(?P<path>(?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """What a file says, and where."""

    path: Path
    tree: dict[str, Any]
    lines: dict[tuple[str, ...], int]
    """The line of each key and table that could be found, counted from 1."""

    def place(self, key: tuple[str, ...]) -> str:
        """Return `/path/mcpweft.toml, line 7`: the line of `key`, or of the nearest table around it."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.lines:
                return f"{self.path}, line {self.lines[key[:length]]}"
        return str(self.path)


def nearest(start: Path) -> Path | None:
    """Return the `mcpweft.toml` in `start` or in the closest directory above it."""
    here = start.resolve()
    for directory in (here, *here.parents):
        candidate = directory / FILENAME
        if candidate.is_file():
            return candidate
    return None


def read(path: Path) -> TomlFile:
    """Return what the file at `path` says.

    Raises:
        InvalidConfigError: it cannot be read, or is no TOML.

    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        return TomlFile(path, tomllib.loads(text), _lines(text))
    except OSError as error:
        raise InvalidConfigError(
            f"{path} cannot be read: {error.strerror or error}", advice="Check the path and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidConfigError(
            f"{path} is not UTF-8 (byte {error.start})", advice="Save it as UTF-8."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfigError(
            f"{path} is no TOML: {error}", advice="Texts need quotes, and a table is written [name]."
        ) from error


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Find the line of each key by a look at single lines: a text over several lines may mislead it."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.fullmatch(line):
            path = _split(header["path"])
            if path:
                table = path
                found.setdefault(table, number)
        elif (key := _KEY.match(line)) and (path := _split(key["path"])):
            for length in range(1, len(path) + 1):  # a dotted key makes the tables it names
                found.setdefault((*table, *path[:length]), number)
    return found


def _split(dotted: str) -> tuple[str, ...]:
    try:
        node: Any = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:  # part of a longer text: no key
        return ()
    path: list[str] = []
    while isinstance(node, dict):
        key, node = next(iter(node.items()))
        path.append(key)
    return tuple(path)
