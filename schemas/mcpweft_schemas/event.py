"""An event of the fleet: what happened, where, and why, as it lies on the namespace's event stream.

Whoever sees something happen makes one and hands it to its process's `herald`; a client reads it. An event is
news, never the truth: records, membership and figures are that. Its texts are cut, its data are small.

Above stand the herald, the store and the readers. This module must never know who listens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, cast

from mcpweft_schemas.packing import pack, unpack
from mcpweft_schemas.wire import READS, VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 500
"""Characters of a reason, and of a text in the data, at most."""
MOST_DATA = 16
"""Values in the data at most."""
_MAX_BYTES = 64 * 1024  # of data that will be read: others may have written it


class Kind(StrEnum):
    """What happened."""

    WORKER_JOINED = "worker_joined"
    """A worker registered in a pool: `tools`."""
    WORKER_LEFT = "worker_left"
    """A worker left a pool in good order."""
    WORKER_DIED = "worker_died"
    """A silent worker was removed from a pool: `moved` requests wait for others, `lost` ended as unknown."""
    WORKER_STARTED = "worker_started"
    """A launcher started a worker's process: `pid`."""
    WORKER_EXITED = "worker_exited"
    """A launched process ended: `code`, `asked`, `moved` and `lost` requests, its `last` lines."""
    SERVER_READY = "server_ready"
    """A worker's MCP server takes calls: `connects` so far."""
    SERVER_DEGRADED = "server_degraded"
    """A worker's MCP server is doubted, or silent with calls in flight: it gets no calls for now."""
    SERVER_LOST = "server_lost"
    """A worker's MCP server is gone; it is connected to again and again."""
    SERVER_RESTARTED = "server_restarted"
    """A worker ended its silent MCP server to start it anew."""
    SERVER_ADDED = "server_added"
    """Somebody added a server to the fleet."""
    SERVER_REMOVED = "server_removed"
    """Somebody removed a server from the fleet."""
    SERVER_ORDERED = "server_ordered"
    """Somebody ordered something of a server: `order`, `by` whom, `before` and `after` of its breaker."""
    BREAKER_MOVED = "breaker_moved"
    """The breaker of a server went from `before` to `after`."""
    FAILOVER = "failover"
    """Attempts failed on a server and are tried again; the reason is their cause, `count` how many."""
    COORDINATOR_LEADING = "coordinator_leading"
    """A coordinator leads from now on: `holder`, `epoch`."""
    COORDINATOR_FOLLOWING = "coordinator_following"
    """A coordinator leads no longer: `holder` is who does, where that is known."""
    POOL_DECLARED = "pool_declared"
    """A pool was made, or made anew after the store was wiped."""
    DEAD_DROPPED = "dead_dropped"
    """Dead letters were dropped because of their age: `count`."""
    STRATEGY_CHANGED = "strategy_changed"
    """A pool's share of work is given out by another strategy: `before`, `after`."""
    SCALE_NEEDED = "scale_needed"
    """Another number of workers of a server is wanted, and why: `before`, `wanted`."""
    SCALE_DONE = "scale_done"
    """As many workers of a server are ready, or as few run, as were wanted: `wanted`, `seconds`."""
    CONFIGURATION_UPDATED = "configuration_updated"
    """Somebody set another configuration for the fleet, and why: `version`, `by`, `keys` that changed."""
    CONFIGURATION_REFUSED = "configuration_refused"
    """A process cannot apply a version and keeps its last good one: `version`, `kept`."""
    GAP = "gap"
    """Said by the reader, never written: its position is gone, so events before the next may be missing."""


class Who(StrEnum):
    """Who saw it."""

    WORKER = "worker"
    """A worker."""
    COORDINATOR = "coordinator"
    """A coordinator, or its launcher."""
    ADMIN = "admin"
    """Somebody who gave a command."""
    READER = "reader"
    """The reader itself, of a gap."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. What does not apply is empty."""

    kind: Kind
    who: Who
    pool: str = ""
    server: str = ""
    worker: str = ""
    reason: str = ""
    """Why, for people; of a failover, the attempts' cause."""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The rest, as the kind says. `count`, where there is one: so many of a kind within a second were told as
    one."""
    id: str = ""
    """Its place on the stream, once it is there; `since` takes it."""
    at_ms: int = 0
    """When it happened, by the store's clock; 0 before it is on the stream."""

    @property
    def likeness(self) -> tuple[str, ...]:
        """What two events share that may be told as one."""
        cause = self.reason if self.kind is Kind.FAILOVER else str(self.data.get("after", ""))
        return self.kind, self.pool, self.server, self.worker, cause

    def fields(self, late_ms: int) -> list[Any]:
        """Return the flat fields that lie on the stream; `late_ms` ago it happened."""
        data = {name: _cut(value) for name, value in list(self.data.items())[:MOST_DATA]}
        said = {
            "kind": self.kind.value, "who": self.who.value, "pool": self.pool, "server": self.server,
            "worker": self.worker, "reason": self.reason[:LONGEST], "late": late_ms or "",
            "data": pack(data) if data else b"",
        }  # fmt: skip
        flat: list[Any] = ["v", VERSION]
        for name, value in said.items():
            if value:
                flat += [name, value]
        return flat

    @classmethod
    def read(cls, entry: str, raw: Mapping[bytes, bytes]) -> Self | None:
        """Read an entry; None for a kind or a major version that is not known here, or for none at all."""
        if raw.get(b"v", b"").partition(b".")[0].decode(errors="replace") not in READS:
            return None
        said = {name.decode(errors="replace"): value for name, value in raw.items()}
        text = {name: value.decode(errors="replace") for name, value in said.items() if name != "data"}
        try:
            return cls(
                kind=Kind(text["kind"]), who=Who(text["who"]), pool=text.get("pool", ""),
                server=text.get("server", ""), worker=text.get("worker", ""), reason=text.get("reason", ""),
                data=_read_data(said.get("data", b"")), id=entry,
                at_ms=int(entry.partition("-")[0]) - int(text.get("late", 0)),
            )  # fmt: skip
        except (KeyError, ValueError):
            return None

    @classmethod
    def gap(cls, position: str) -> Self:
        """Return what a reader says whose position is gone."""
        return cls(
            Kind.GAP, Who.READER, reason="the position is gone: events before the next may be missing",
            id=position, at_ms=int(position.partition("-")[0]),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events behind a position, at one moment."""

    now_ms: int
    newest: str
    """The newest entry there is; `0-0` where there is none."""
    whole: bool
    """Whether the position's own entry is still there: then nothing behind it is missing."""
    position: str
    """Behind what was read: the last entry, those that cannot be read here among them."""
    events: tuple[Event, ...]


def _cut(value: Any) -> Any:
    return value[:LONGEST] if isinstance(value, str) else value


def _read_data(packed: bytes) -> dict[str, Any]:
    data = unpack(packed, _MAX_BYTES) if packed else {}
    if not isinstance(data, dict):
        raise ValueError("the data are no map")  # noqa: TRY004  # the bytes are wrong, not a type
    return cast("dict[str, Any]", data)
