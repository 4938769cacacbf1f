"""One launcher among those of the fleet: it says for which servers it is there, and hears its part.

The number of workers that a server should have is the whole fleet's. All launchers that are there for it
divide it by their place in the sorted list: the parts add up to the whole. A launcher that leaves, or has
been silent for `TTL_MS`, is not counted any more, and the others make up for its part. An exclusive server is
not divided: there its lease says who runs it.

Where nobody has said a number, which is so before the first leader's first look, it is the server's least;
later the last one that was said stands.

Above stands `launcher`. Below is the store's `muster`. This module must never start or stop a worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcpweft_coordinator.wanted import read_all
from mcpweft_schemas.portion import part_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcpweft_schemas.store import Muster, Store

TTL_MS = 5000
"""How long a launcher counts as there after its last call."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One server that a launcher is there for."""

    name: str
    """As its workers register."""
    least: int
    divided: bool


class Rollcall:
    """The calls of one launcher."""

    def __init__(self, store: Store, launcher: str, charges: Sequence[Charge]) -> None:
        self._store = store
        self._launcher = launcher
        self._charges = charges
        self._said: dict[str, int] = {}

    async def call(self) -> Mapping[str, int]:
        """Say that this launcher is there; return server → workers to run here. Raises as the store does."""
        got = await self._store.muster(self._launcher, [charge.name for charge in self._charges], TTL_MS)
        self._said |= {name: each.wanted for name, each in read_all(got.wanted).items()}
        return {charge.name: self._part(charge, got) for charge in self._charges}

    async def leave(self) -> None:
        """Let the others make up for this launcher's part. Raises as the store does."""
        await self._store.muster(self._launcher, [charge.name for charge in self._charges], 0)

    def _part(self, charge: Charge, got: Muster) -> int:
        whole = self._said.get(charge.name, charge.least)
        if not charge.divided:
            return whole
        prefix = f"{charge.name} "
        present = [member.removeprefix(prefix) for member in got.launchers if member.startswith(prefix)]
        return part_of(whole, present, self._launcher)
