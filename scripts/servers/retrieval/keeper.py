"""Keeps what is costly to make in one file, and makes it once however many processes ask at the same time.

The file appears whole or not at all: it is written beside its place, under a lock, and moved there. One
that cannot be loaded is made again. Above stands library.py. This module must never know what the file
holds.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")
UNUSED_FOR = 30 * 86400
"""Seconds after which a file of ours that nobody has loaded may go."""


class Unusable(Exception):  # noqa: N818  # a finding, no failure: the file is made again
    """What a file holds is not what it should."""


def default_folder() -> Path:
    """Return the user's cache directory for this: below `XDG_CACHE_HOME`, or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "mcpweft" / "retrieval"  # noqa: PTH117  # the XDG rule is about the text


def keep(place: Path, make: Callable[[Path], None], load: Callable[[Path], T]) -> T:
    """Return what `load` makes of the file at `place`; where there is none that it can load, `make` it first.

    `load` raises `Unusable` for a file that it cannot use, and `FileNotFoundError` where there is none.
    """
    found = _loaded(place, load)
    if found is not None:
        return found
    place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place.with_suffix(".lock")):
        found = _loaded(place, load)  # somebody else has made it meanwhile
        if found is None:
            part = place.with_suffix(".part")  # the lock's holder alone writes it
            part.unlink(missing_ok=True)  # of one that was killed
            make(part)
            part.replace(place)
            _sweep(place)
            found = load(place)
    return found


def _loaded(place: Path, load: Callable[[Path], T]) -> T | None:
    try:
        found = load(place)
    except (FileNotFoundError, Unusable):
        return None
    with suppress(OSError):  # a cache that may only be read serves as well
        os.utime(place)
    return found


@contextmanager
def _locked(path: Path) -> Generator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sweep(place: Path) -> None:
    """Remove what lies beside `place` and has not been loaded for long."""
    for path in place.parent.glob(f"*{place.suffix}"):
        with suppress(FileNotFoundError):  # somebody else was first
            if path != place and path.stat().st_mtime < time.time() - UNUSED_FOR:
                path.unlink()
                path.with_suffix(".lock").unlink()
