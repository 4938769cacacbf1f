"""What the store says of the pools that a server of this host serves, put together for its crew.

Above stands `launcher`. Below are the store's moves. This module must never start or stop anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcpweft_coordinator.crew import Seen
from mcpweft_schemas.packing import unpack_map

if TYPE_CHECKING:
    from mcpweft_schemas.config import ServerConfig
    from mcpweft_schemas.store import PoolStatus, Store

TURNED_AWAY = "turned_away"
"""The figure that counts requests which were refused because nobody could take them at once."""


class Lookout:
    """Looks at the pools of one server."""

    def __init__(self, store: Store, server: ServerConfig) -> None:
        self._store = store
        self._server = server
        self._turned_away: dict[str, int] = {}
        self._tools: int | None = None
        self._tools_of: frozenset[str] = frozenset()

    async def look(self) -> Seen:
        """Return how this server's pools are. Raises as the store does."""
        backlog = 0
        ready: set[str] = set()
        loads: dict[str, dict[str, Any]] = {}
        for capability in self._server.capabilities:
            status = await self._store.status(capability)
            if status is None:
                continue
            backlog += sum(status.waiting.values()) + status.running + status.delayed
            backlog += self._newly_turned_away(status)
            ready |= {worker for worker, until in status.usable.items() if until > status.now_ms}
            loads |= {worker: unpack_map(load) for worker, load in status.load.items()}
        if ready and frozenset(ready) != self._tools_of:
            self._tools, self._tools_of = await self._count_tools(), frozenset(ready)
        reasons = {worker: str(load.get("reason") or "") for worker, load in loads.items()}
        busy = {worker: int(load.get("in_flight") or 0) for worker, load in loads.items()}
        return Seen(backlog, frozenset(ready), reasons, busy, self._tools)

    def _newly_turned_away(self, status: PoolStatus) -> int:
        count = int(status.stat.get(TURNED_AWAY, 0))
        before = self._turned_away.get(status.capability, count)
        self._turned_away[status.capability] = count
        return max(0, count - before)

    async def _count_tools(self) -> int:
        prefix = f"{self._server.name}/"
        names: set[str] = set()
        for capability in self._server.capabilities:
            found = await self._store.tools(capability)
            names |= {name.removeprefix(prefix) for name in found if name.startswith(prefix)}
        return len(names)
