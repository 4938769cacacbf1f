"""The fleet as a producer sees it: pools, their tools, their workers, and the figures of all.

Above stands the client; below the store's `pools`, `tools` and `status`. A figure that nobody knows is None,
never a guess. This module must never change anything.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from mcpweft.refusal import unknown_capability
from mcpweft_schemas.errors import UnknownToolError
from mcpweft_schemas.packing import unpack_map
from mcpweft_schemas.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from mcpweft_schemas.life import Class
    from mcpweft_schemas.store import PoolStatus, Store

_TOOLS_FOR_S = 10.0
_SILENCE_MS = 10_000  # as long as an average over windows of a second says anything
_SILENT_MS = 3000  # three times dead_after as it comes: a beat that old is no life


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that a server of a pool offers."""

    capability: str
    server: str
    name: str
    description: str
    input_schema: Mapping[str, Any] = field(repr=False)
    read_only: bool | None
    """What the server says of it; None where it says nothing."""
    idempotent: bool | None
    task_required: bool


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker, by its registration and its last beat."""

    id: str
    server: str
    host: str | None
    pid: int | None
    silent_ms: int | None
    """Since its last beat."""
    usable: bool
    """Whether it takes work now."""
    draining: bool
    in_flight: int | None
    slots: int | None
    state: str | None
    """Of its MCP session."""
    breaker: str | None
    health: str | None
    """Of its server: healthy, degraded, unhealthy, initializing or draining."""
    ping_ms: float | None
    """What the last check of the idle server took."""
    service_ms: float | None
    """What the server takes for a call, of late."""
    reason: str | None
    """Why it takes no work."""
    ok: int | None
    errors: int | None
    restarts: int | None
    started_ms: int | None


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool's figures at one moment."""

    capability: str
    waiting: Mapping[Class, int]
    running: int
    delayed: int
    dead: int
    """Dead letters kept."""
    accepted: int
    """Since the pool was made."""
    done: int
    strategy: str | None
    """By which its work is divided; None while no coordinator has said."""
    throughput: float | None
    """Requests that workers ended per second, of late; None where they never ended any."""
    avg_response_ms: float | None
    """From acceptance to outcome, of what ended in the last half a minute to a minute; None where nothing
    did, or nobody sweeps."""
    error_rate: float | None
    """Of the same requests, the part that ended without an answer: dead letters, and time that ran out."""
    workers: tuple[WorkerView, ...]

    @property
    def queue_size(self) -> int:
        """Requests that wait, delayed ones among them."""
        return sum(self.waiting.values()) + self.delayed


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """The figures of all pools at one moment."""

    is_healthy: bool
    """Whether each pool that is registered has a usable worker, and there is a pool."""
    total_servers: int
    healthy_servers: int
    """With a worker that takes work."""
    degraded_servers: int
    """With a living worker, and none that takes work."""
    unhealthy_servers: int
    """With no living worker."""
    strategy: str | None
    """By which the work of every pool is divided; `mixed` where that is not one, None where nobody deals."""
    queue_size: int
    avg_response_ms: float | None
    """As of a pool, over what ended in all of them."""
    throughput: float | None
    """Requests that workers ended per second, of late, all pools together."""
    error_rate: float | None
    """As of a pool, over what ended in all of them."""
    uptime_s: float | None
    """Since the oldest present worker started."""
    pools: tuple[PoolView, ...]


class Fleet:
    """Asks the store about pools."""

    def __init__(
        self, command: Callable[[], AbstractAsyncContextManager[Store]], clock: Callable[[], float]
    ) -> None:
        self._command = command
        self._clock = clock
        self._tools: dict[str, tuple[float, frozenset[str]]] = {}

    async def pools(self) -> list[str]:
        """Return the registered capabilities."""
        async with self._command() as store:
            return list(await store.pools())

    async def tools(self, capability: str | None = None) -> list[Tool]:
        """Return the tools of one capability or of all. Raises UnknownCapabilityError."""
        if capability is None:
            lists = await asyncio.gather(*(self._tools_of(name) for name in await self.pools()))
            return [tool for tools in lists for tool in tools]
        found = await self._tools_of(capability)
        if not found and capability not in (known := await self.pools()):
            raise unknown_capability(capability, known)
        return found

    async def _tools_of(self, capability: str) -> list[Tool]:
        async with self._command() as store:
            raw = await store.tools(capability)
        tools = [_tool(capability, key, text) for key, text in sorted(raw.items())]
        self._tools[capability] = self._clock(), frozenset(tool.name for tool in tools)
        return tools

    async def only_tool(self, capability: str) -> str:
        """Return the tool that is meant by a capability alone: its only one, or the one of the same name.

        Raises UnknownToolError where that is unclear. While a pool's tools are not known, its own name it is.
        """
        asked, names = self._tools.get(capability, (-_TOOLS_FOR_S, frozenset[str]()))
        if self._clock() - asked >= _TOOLS_FOR_S or not names:
            names = frozenset(tool.name for tool in await self._tools_of(capability))
        if capability in names or not names:
            return capability
        if len(names) == 1:
            return next(iter(names))
        listed = ", ".join(sorted(names)[:10])
        raise UnknownToolError(
            f"{capability!r} names {len(names)} tools",
            advice=f"Write {capability}.<tool>, with one of {listed}.",
        )

    async def pool(self, capability: str) -> PoolView:
        """Return one pool's figures. Raises UnknownCapabilityError."""
        async with self._command() as store:
            status = await store.status(capability)
        if status is None:
            raise unknown_capability(capability, await self.pools())
        return _pool(status)

    async def status(self) -> FleetStatus:
        """Return the figures of the fleet."""

        async def one(name: str) -> PoolStatus | None:
            async with self._command() as store:
                return await store.status(name)

        found = await asyncio.gather(*(one(name) for name in await self.pools()))
        stands = [status for status in found if status is not None]
        now_ms = max((status.now_ms for status in stands), default=0)
        recent = Recent.sum(Recent.read(status.stat, status.now_ms) for status in stands)
        return _fleet([_pool(status) for status in stands], recent or Recent(), now_ms)


def _tool(capability: str, key: str, text: bytes) -> Tool:
    server, _, name = key.partition("/")
    said = unpack_map(text)
    return Tool(
        capability=capability,
        server=server,
        name=str(said.get("name") or name),
        description=str(said.get("description") or ""),
        input_schema=cast("dict[str, Any]", said.get("input_schema") or {}),
        read_only=said.get("read_only"),
        idempotent=said.get("idempotent"),
        task_required=bool(said.get("task_required")),
    )


def _pool(status: PoolStatus) -> PoolView:
    recent = Recent.read(status.stat, status.now_ms) or Recent()
    return PoolView(
        capability=status.capability,
        waiting=status.waiting,
        running=status.running,
        delayed=status.delayed,
        dead=status.dead,
        accepted=int(status.stat.get("accepted", 0)),
        done=int(status.stat.get("done", 0)),
        strategy=status.settings.get("strategy"),
        throughput=_throughput(status.stat, status.now_ms),
        avg_response_ms=recent.mean_ms,
        error_rate=recent.error_rate,
        workers=tuple(_worker(status, name) for name in sorted(status.members)),
    )


def _throughput(stat: Mapping[str, str], now_ms: int) -> float | None:
    """Return the drain rate; after a silence, what ended since it was last measured, over that time."""
    rate = stat.get("rate")
    if rate is None:
        return None
    since_ms = now_ms - int(stat.get("rate_at", 0))
    return float(rate) if since_ms <= _SILENCE_MS else int(stat.get("rate_n", 0)) * 1000 / since_ms


def _worker(status: PoolStatus, name: str) -> WorkerView:
    info, load = unpack_map(status.members[name]), unpack_map(status.load.get(name))
    beat = status.alive.get(name)
    return WorkerView(
        id=name,
        server=str(info.get("server") or ""),
        host=info.get("host"),
        pid=info.get("pid"),
        silent_ms=None if beat is None else max(0, status.now_ms - beat),
        usable=status.usable.get(name, 0) > status.now_ms,
        draining=bool(load.get("draining")),
        in_flight=load.get("in_flight"),
        slots=load.get("slots"),
        state=load.get("state"),
        breaker=load.get("breaker"),
        health=load.get("health"),
        ping_ms=load.get("ping_ms"),
        service_ms=load.get("service_ms"),
        reason=load.get("reason"),
        ok=load.get("ok"),
        errors=load.get("errors"),
        restarts=load.get("restarts"),
        started_ms=info.get("started_ms"),
    )


def _strategy(pools: list[PoolView]) -> str | None:
    names = {pool.strategy for pool in pools if pool.strategy is not None}
    return names.pop() if len(names) == 1 else "mixed" if names else None


def _fleet(pools: list[PoolView], recent: Recent, now_ms: int) -> FleetStatus:
    workers = {worker.id: worker for pool in pools for worker in pool.workers}.values()
    servers = {worker.server for worker in workers}
    usable = {worker.server for worker in workers if worker.usable}
    alive = {w.server for w in workers if w.silent_ms is not None and w.silent_ms < _SILENT_MS} - usable
    rates = [pool.throughput for pool in pools if pool.throughput is not None]
    starts = [worker.started_ms for worker in workers if worker.started_ms]
    return FleetStatus(
        is_healthy=bool(pools) and all(any(w.usable for w in pool.workers) for pool in pools),
        total_servers=len(servers),
        healthy_servers=len(usable),
        degraded_servers=len(alive),
        unhealthy_servers=len(servers - usable - alive),
        strategy=_strategy(pools),
        queue_size=sum(pool.queue_size for pool in pools),
        avg_response_ms=recent.mean_ms,
        throughput=sum(rates) if rates else None,
        error_rate=recent.error_rate,
        uptime_s=max(0.0, (now_ms - min(starts)) / 1000) if starts else None,
        pools=tuple(pools),
    )
