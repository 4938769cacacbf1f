"""The listener: one connection that reads reply streams, each from where it was read to.

Above stands the reader, which says which streams and takes what they bring. Below is
`Store.wait_entries`. A stream added while the connection is blocked on the others is read at once: the block
is ended (CLIENT UNBLOCK), or its first reply would be seen up to 2 s late. This module must never know what
an entry means.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from mcpweft_schemas.errors import FabricError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from mcpweft_schemas.connect import Waiter
    from mcpweft_schemas.store import Store

_log = logging.getLogger("mcpweft")

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_READ_FIRST, _READ_MOST = 64, 1000  # entries of a stream in one read
_READ_BYTES = 4 << 20  # in one read, so that it arrives within a command's time on a slow link too
_QUIET_S = 10.0  # a store that is away is one warning, not one for each try
_UNBLOCK_TRIES = 100
_UNBLOCK_STEP = 0.02


class Listener:
    """Reads any number of streams that lie on one node."""

    def __init__(
        self,
        store: Store,
        take: Callable[[str, list[tuple[str, Mapping[bytes, bytes]]]], None],
        recover: Callable[[Listener], Awaitable[None]],
    ) -> None:
        self._store = store
        self._take = take
        self._recover = recover
        self._waiter: Waiter | None = None
        self._reading: frozenset[str] = frozenset()
        self._some = asyncio.Event()
        self._turn = asyncio.Event()
        self._complained = -_QUIET_S
        self._most = _READ_FIRST
        self.drained: dict[str, int] = {}
        """Stream → how often it was read to its end."""
        self.positions: dict[str, str] = {}
        """Stream → the last entry read of it."""

    async def add(self, key: str, position: str) -> None:
        """Read a stream from behind `position`; return once it is being read (or after 2 s at most)."""
        self.positions[key] = position
        self._some.set()
        for _ in range(_UNBLOCK_TRIES):
            if key in self._reading:
                return
            self._turn.clear()
            if self._waiter is not None:
                with contextlib.suppress(FabricError):
                    await self._store.link.unblock(self._waiter, key)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_UNBLOCK_STEP):
                    await self._turn.wait()

    def rewind(self, key: str, position: str) -> None:
        """Read a stream from another position at the next turn."""
        if key in self.positions:
            self.positions[key] = position

    def drop(self, key: str) -> str:
        """Cease to read a stream; return the position that it was read to."""
        position = self.positions.pop(key, "0")
        if not self.positions:
            self._some.clear()
        return position

    async def run(self) -> None:
        """Read until cancelled."""
        pause, broken = _FIRST_PAUSE, False
        try:
            while True:
                await self._some.wait()
                try:
                    if broken:
                        await self._recover(self)
                        broken = False
                    await self._read()
                    pause = _FIRST_PAUSE
                except Exception as error:  # noqa: BLE001  # whatever it is: who is deaf hears no outcome any more
                    self._complain(error)
                    broken = True
                    self._most = max(1, self._most // 2)
                    await self._hang_up()
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            await self._hang_up()

    def _complain(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        level = logging.WARNING if now - self._complained > _QUIET_S else logging.DEBUG
        if level == logging.WARNING:
            self._complained = now
        _log.log(level, "the connection that brings replies broke, and is made anew: %s", error)

    async def _read(self) -> None:
        reading = dict(self.positions)
        if not reading:
            return
        if self._waiter is None:
            self._waiter = self._store.link.waiter(next(iter(reading)))
        self._reading = frozenset(reading)
        self._turn.set()
        most = self._most
        try:
            got = await self._store.wait_entries(self._waiter, reading, most)
        finally:
            self._reading = frozenset()
        self._most = _next(most, [fields for entries in got.values() for _, fields in entries], len(got))
        for key in reading:
            if len(got.get(key, ())) < most:  # else there may be more
                self.drained[key] = self.drained.get(key, 0) + 1
        for key, entries in got.items():
            if self.positions.get(key) == reading[key]:  # else it was dropped or rewound meanwhile
                self.positions[key] = entries[-1][0]
            self._take(key, entries)

    async def _hang_up(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            with contextlib.suppress(Exception):  # it is broken or on its way out: nothing to learn from it
                await waiter.close()


def _next(most: int, entries: Sequence[Mapping[bytes, bytes]], streams: int) -> int:
    """Return how many entries of each stream to read next, by the size of those that came last."""
    if not entries:
        return most
    size = sum(len(value) for fields in entries for value in fields.values())
    fit = _READ_BYTES * len(entries) // max(1, size * streams)
    return max(1, min(_READ_MOST, 2 * most, fit))
