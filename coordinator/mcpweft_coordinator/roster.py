"""The servers of the fleet, from what the configuration names and what workers say of themselves.

Above stands `clerk`. Below are the store's moves that only read. This module must never change anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcpweft_coordinator.receipt import Order, ServerRow
from mcpweft_schemas.circuit import STICKS, Circuit, State, home_of, question
from mcpweft_schemas.config import Start
from mcpweft_schemas.packing import unpack_map
from mcpweft_schemas.slug import slugs
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_schemas.config import Config, ServerConfig
    from mcpweft_schemas.store import PoolStatus, Store

LIVES_MS = 10_000
"""How long after its last beat a worker that nobody has removed still counts."""
_WORST = ("unhealthy", "initializing", "degraded", "draining", "healthy")
_BREAKERS = (State.OPEN, State.HALF_OPEN, State.CLOSED)


@dataclass(slots=True)
class Entry:
    """One server, gathered."""

    name: str
    server: str
    """As its workers register."""
    kind: str
    capabilities: tuple[str, ...]
    configured: ServerConfig | None = None
    broken: str = ""
    loads: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, "Mapping[str, Any]"])
    """Worker → what it said last."""
    usable: set[str] = field(default_factory=set[str])
    record: Circuit = field(default_factory=lambda: Circuit(Word.OK))
    """What stands under the server's name."""

    @property
    def home(self) -> str:
        """The pool in which the record of its breaker lies."""
        return home_of(self.capabilities)

    def row(self) -> ServerRow:
        """Return it for people."""
        said = [str(load.get("reason") or "") for load in self.loads.values()]
        return ServerRow(
            name=self.name, server=self.server, kind=self.kind, capabilities=self.capabilities,
            configured=self.configured is not None or bool(self.broken), state=self._state(),
            health=_first(_WORST, [str(load.get("health")) for load in self.loads.values()]),
            breaker=self._breaker(), workers=len(self.loads), usable=len(self.usable),
            in_flight=sum(int(load.get("in_flight") or 0) for load in self.loads.values()),
            reason=self.broken or ("" if self.usable else next(filter(None, said), "")),
            order=ordered(self.record),
        )  # fmt: skip

    def _state(self) -> str:
        if self.broken:
            return "broken"
        if self.record.state in STICKS:
            return self.record.state.value
        if self.loads:
            return "up" if self.usable else "not ready"
        if self.configured is None:
            return "down"
        if self.configured.disabled:
            return "disabled"
        sleeps = self.configured.start is Start.LAZY or self.configured.idle_stop is not None
        return "asleep" if sleeps or (self.configured.scaled and not self.configured.least) else "down"

    def _breaker(self) -> str:
        if self.record.state in STICKS:
            return self.record.state.value
        said = [str(load.get("breaker")) for load in self.loads.values()]
        return _first(tuple(state.value for state in _BREAKERS), said) or State.CLOSED.value


def ordered(record: Circuit) -> Order | None:
    """Return what was ordered, as a record says; None where nothing stands."""
    if record.state not in STICKS:
        return None
    return Order(record.state.value, record.by, record.reason, record.since_ms)


def _first(ranks: tuple[str, ...], said: list[str]) -> str | None:
    return next((word for word in ranks if word in said), None)


class Roster:
    """Looks at the fleet's servers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def look(self, config: Config) -> dict[str, Entry]:
        """Return every server by the name that its workers register. Raises as the store does."""
        entries = _configured(config)
        for capability in await self._store.pools():
            status = await self._store.status(capability)
            if status is not None:
                _gather(entries, status)
        for entry in entries.values():
            if entry.capabilities:
                entry.record = await self._store.breaker(entry.home, question(entry.server))
        return entries

    @staticmethod
    def nobody(name: str, server: str) -> Entry:
        """Return a server of which there is nothing to be seen."""
        return Entry(name, server, "", ())


def _configured(config: Config) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    short = slugs(config.servers)
    for name, server in config.servers.items():
        kind = str(server.transport)
        entries[short[name]] = Entry(name, short[name], kind, server.capabilities, configured=server)
    for broken in config.broken:
        entries.setdefault(broken.name, Entry(broken.name, broken.name, "", (), broken=str(broken)))
    return entries


def _gather(entries: dict[str, Entry], status: PoolStatus) -> None:
    """Add what one pool says of its workers."""
    for worker, packed in status.members.items():
        if status.now_ms - status.alive.get(worker, 0) > LIVES_MS:
            continue
        info = unpack_map(packed)
        server = str(info.get("server") or worker)
        said = info.get("capabilities")
        pools = tuple(map(str, said)) if isinstance(said, list) else (status.capability,)
        entry = entries.setdefault(server, Entry(server, server, str(info.get("kind") or ""), pools))
        entry.loads[worker] = unpack_map(status.load.get(worker))
        if status.usable.get(worker, 0) > status.now_ms:
            entry.usable.add(worker)
