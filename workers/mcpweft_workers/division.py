"""Divides an HTTP server's concurrency among the workers that are bound to it.

Each worker reads who is registered, about twice a second, and takes its part by its place in the sorted
list: the parts add up to the whole. A worker that joins others takes nothing before its second look: by then
they have looked too, and made room.

Above stands the worker. Below: the store's figures of one pool. It must never know what runs in a slot.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mcpweft_schemas.errors import McpweftError
from mcpweft_schemas.packing import unpack_map
from mcpweft_schemas.portion import part_of
from mcpweft_workers.log import event

if TYPE_CHECKING:
    from mcpweft_schemas.store import PoolStatus
    from mcpweft_workers.binding import Binding
    from mcpweft_workers.slots import Slots

EVERY = 0.45
"""Seconds between two looks."""


class Division:
    """One worker's part of its server; `run` is its owner task."""

    def __init__(self, binding: Binding, slots: Slots, concurrency: int, dead_after: float) -> None:
        self.workers = 1
        """How many share the server now, this one among them."""
        self._binding = binding
        self._slots = slots
        self._concurrency = concurrency
        self._dead_after_ms = dead_after * 1000

    async def run(self) -> None:
        """Look and divide until cancelled."""
        await self._binding.joined.wait()
        first = True
        while True:
            try:
                status = await self._binding.store.status(self._binding.capability)
            except McpweftError:
                status = None  # it keeps the part that it has
            if status is not None:
                mates = self._mates(status)
                if not first or len(mates) == 1:
                    self._divide(mates)
                first = False
            await asyncio.sleep(EVERY)

    def _mates(self, status: PoolStatus) -> list[str]:
        """Return the workers that live and are bound to the same server, this one among them, sorted."""
        who = self._binding.identity
        mates = {who.worker}
        for worker, info in status.members.items():
            beat = status.alive.get(worker, 0)
            load = unpack_map(status.load.get(worker))
            if status.now_ms - beat > self._dead_after_ms or load.get("draining"):
                continue
            if unpack_map(info).get("instance") == who.instance:
                mates.add(worker)
        return sorted(mates)

    def _divide(self, mates: list[str]) -> None:
        part = part_of(self._concurrency, mates, self._binding.identity.worker)
        self.workers = len(mates)
        if part != self._slots.limit:
            event(
                logging.INFO, "slots divided", slots=part, workers=len(mates), concurrency=self._concurrency
            )
            self._slots.resize(part)
