"""The moves with their Lua text altered: a clock that tests set, and mistakes made on purpose.

Above stand the tests of the moves; below is `mcpweft_schemas.script`, whose texts are changed by plain
substitution. A change that fits no line is an error: a mutant that is not one would prove nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from unittest import mock

from mcpweft_schemas import store
from mcpweft_schemas.script import Script, script

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mcpweft_schemas.store import Store


@dataclass(frozen=True, slots=True)
class Change:
    """Text for other text, in one move or in every move that has it."""

    old: str
    new: str
    move: str = ""


TEST_CLOCK = Change(
    "local clock = redis.call('TIME')\n",
    "local told = tonumber(redis.call('GET', base .. 'clock'))\n"
    "local clock = {math.floor(told / 1000), told % 1000 * 1000}\n",
)
"""Time stands still at the ms that the key `clock` of the same slot holds."""


ENTRY_CLOCK = (
    Change("'NOMKSTREAM', '*', unpack(fields)", "'NOMKSTREAM', int(now) .. '-*', unpack(fields)", "enqueue"),
    Change(
        "'XADD', stream, '*', unpack(fields)", "'XADD', stream, int(now) .. '-*', unpack(fields)", "fetch"
    ),
)
"""What is added to a class's stream is named by that time too: its name says since when it has been there."""


class Clock:
    """The time that a pool's moves see while `TEST_CLOCK` is in force."""

    def __init__(self, store: Store, capability: str) -> None:
        self._store = store
        self._key = store.keys(capability).prefix + "clock"
        self.ms = 1_700_000_000_000

    async def forward(self, ms: int) -> None:
        """Let time pass."""
        self.ms += ms
        await self._store.link.run("SET", self._key, self.ms, "EX", 600)


_MOVES = (
    "adopt", "attach", "beat", "book", "breaker", "cancel", "dead", "deal", "declare", "enqueue", "expire",
    "fetch", "history", "inspect", "lookup", "pause", "progress", "purge", "reclaim", "register", "replay",
    "retire", "seal", "settle", "status", "sweep",
)  # fmt: skip


def text_of(move: str, changes: tuple[Change, ...]) -> str:
    """Return a move's text with the changes that concern it."""
    text = script(move).text
    for change in changes:
        if change.move in {"", move}:
            text = text.replace(change.old, change.new)
    return text


def altered(*changes: Change) -> Callable[[str], Script]:
    """Return what stands in for `script`: hear and lease stay as they are, having no pool to ask."""
    for change in changes:
        moves = [change.move] if change.move else _MOVES
        hits = [script(move).text.count(change.old) for move in moves]
        assert max(hits) == 1, f"found {max(hits)} times, not once: {change.old!r}"

    @cache
    def stand_in(name: str) -> Script:
        if name not in _MOVES:
            return script(name)
        text = text_of(name, changes)
        return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    return stand_in


@contextlib.contextmanager
def in_force(*changes: Change) -> Generator[None]:
    """Let every store of this process run the altered moves."""
    with mock.patch.object(store, "script", altered(*changes)):
        yield
