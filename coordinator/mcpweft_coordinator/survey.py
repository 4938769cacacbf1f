"""From the figures of pools to what is to be seen of one server: its part of them, and its workers.

Where several servers serve a pool, each has a part of what waits there: the part of the pool's calls that it
could have under way with all its workers running (most workers, times its concurrency).

Above stands `scaler`, which asks the store. This module must never ask anybody anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcpweft_coordinator.scaling import Policy, Snapshot
from mcpweft_schemas.packing import unpack_map
from mcpweft_schemas.slug import slugs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcpweft_schemas.config import Config, ServerConfig
    from mcpweft_schemas.store import PoolStatus

HORIZONS_MS = (1000, 2000, 5000, 10_000, 30_000)
"""How far ahead deadlines are looked at."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One server whose number of workers follows the load."""

    name: str
    """As its workers register."""
    concurrency: int
    parts: Mapping[str, float]
    """Capability → its part of that pool."""
    policy: Policy


@dataclass(frozen=True, slots=True)
class Survey:
    """One server at one look."""

    snapshot: Snapshot
    running: int
    """Its workers that live and are not on their way out."""
    now_ms: int


def kinds_of(config: Config) -> tuple[Kind, ...]:
    """Return the scaled servers of a configuration."""
    short = slugs(config.servers)
    whole: dict[str, float] = {}
    for server in config.active.values():
        for capability in server.capabilities:
            whole[capability] = whole.get(capability, 0.0) + _weight(server)
    return tuple(
        Kind(
            short[name],
            server.concurrency,
            {pool: _weight(server) / whole[pool] for pool in server.capabilities},
            policy_of(server, config),
        )
        for name, server in config.active.items()
        if server.scaled
    )


def policy_of(server: ServerConfig, config: Config) -> Policy:
    """Return what the configuration asks of a server's count."""
    scaling = config.scaling
    return Policy(
        least=server.least,
        most=server.most,
        up_at=scaling.up_at,
        down_at=scaling.down_at,
        cooldown_s=scaling.cooldown,
        target_wait_s=scaling.target_wait,
        idle_s=scaling.cooldown if server.idle_stop is None else server.idle_stop,
    )


def _weight(server: ServerConfig) -> float:
    return (server.most if server.scaled else server.workers) * server.concurrency


def survey(kind: Kind, pools: Sequence[PoolStatus]) -> Survey:
    """Return what is to be seen of a server in its pools, of which there is at least one."""
    living: dict[str, Mapping[str, Any]] = {}
    ready: set[str] = set()
    waiting = running = accepted = 0.0
    ended = turned_away = 0
    due = dict.fromkeys(HORIZONS_MS, 0.0)
    for status in pools:
        part = kind.parts[status.capability]
        waiting += part * (sum(status.waiting.values()) + status.due)
        running += part * status.running
        accepted += part * _count(status, "accepted")
        ended += round(part * sum(_count(status, what) for what in ("done", "dead", "retried")))
        turned_away += _count(status, "turned_away")
        for horizon, count in zip(HORIZONS_MS, status.over, strict=False):
            due[horizon] += part * count
        for worker, info in status.members.items():
            load = unpack_map(status.load.get(worker))
            ours = unpack_map(info).get("server") == kind.name and worker in status.alive
            if ours and not load.get("draining"):
                living[worker] = load
                if status.usable.get(worker, 0) > status.now_ms:
                    ready.add(worker)
    busy = sum(int(load.get("in_flight", 0)) for load in living.values())
    snapshot = Snapshot(
        waiting=waiting, running=running, busy=busy,
        ready=len(ready), per_worker=kind.concurrency, accepted=accepted, ended=ended,
        turned_away=turned_away, due=tuple((horizon / 1000, count) for horizon, count in due.items()),
    )  # fmt: skip
    return Survey(snapshot, len(living), pools[0].now_ms)


def _count(status: PoolStatus, what: str) -> int:
    return int(status.stat.get(what, 0))
