"""`mcpweft tools` and `mcpweft status`: what the fabric offers, and how it is.

Below is the client. This module must never count anything itself: a figure nobody knows is `?`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mcpweft.cli import answer
from mcpweft.cli.exits import Exit
from mcpweft.cli.option import FOUND, Fabric, Json
from mcpweft.cli.running import run
from mcpweft.cli.table import print_table
from mcpweft_schemas import duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcpweft import FleetStatus, PoolView, Tool, WorkerView

_LONGEST = 80


def tools(capability: str | None = None, /, *, json: Json = False, fabric: Fabric = FOUND) -> int:
    """List the tools that the fabric offers.

    Parameters
    ----------
    capability
        Whose; unset: every pool's.
    json
        Print JSON, with the whole schemas.
    fabric
        Which fabric.

    """
    found = run(_tools(fabric, capability))
    if json:
        answer.print_json([asdict(tool) for tool in found])
        return Exit.OK
    merged: dict[str, tuple[Tool, list[str]]] = {}
    for tool in found:
        merged.setdefault(f"{tool.capability}.{tool.name}", (tool, []))[1].append(tool.server)
    rows = [
        (name, _arguments(tool.input_schema), _first_line(tool.description), ", ".join(servers))
        for name, (tool, servers) in merged.items()
    ]
    print_table(("call", "arguments", "what it does", "servers"), rows, empty="No tools are registered yet.")
    return Exit.OK


async def _tools(fabric: Fabric, capability: str | None) -> list[Tool]:
    from mcpweft import Client  # once the command line is known to be right

    place = fabric.place()
    async with Client(place.url, namespace=place.namespace) as client:
        return await client.tools(capability)


def _arguments(schema: Mapping[str, Any]) -> str:
    """Return a schema's properties as one writes them: `a b [c]`, brackets around what may be left out."""
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict):
        return ""
    needed: Sequence[Any] = required if isinstance(required, list) else ()
    return " ".join(str(name) if name in needed else f"[{name}]" for name in properties)


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def status(capability: str | None = None, /, *, json: Json = False, fabric: Fabric = FOUND) -> int:
    """Show pools, queues and workers.

    Parameters
    ----------
    capability
        Whose; unset: every pool's.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    from mcpweft.pages import pool_json, status_json  # once the command line is known to be right

    if capability is not None:
        pool = run(_pool(fabric, capability))
        if json:
            answer.print_json(pool_json(pool))
        else:
            _print([pool])
        return Exit.OK
    whole = run(_status(fabric))
    if json:
        answer.print_json(status_json(whole))
    else:
        _print(whole.pools)
        for line in _summary(whole):
            answer.print_line(line)
    return Exit.OK


async def _pool(fabric: Fabric, capability: str) -> PoolView:
    from mcpweft import Client  # once the command line is known to be right

    place = fabric.place()
    async with Client(place.url, namespace=place.namespace) as client:
        return await client.pool(capability)


async def _status(fabric: Fabric) -> FleetStatus:
    from mcpweft import Client  # once the command line is known to be right

    place = fabric.place()
    async with Client(place.url, namespace=place.namespace) as client:
        return await client.status()


def _print(pools: Sequence[PoolView]) -> None:
    rows = [
        (
            pool.capability,
            *(str(count) for count in pool.waiting.values()),
            str(pool.running),
            str(pool.delayed),
            str(pool.dead),
            str(pool.done),
            _figure(pool.throughput),
            _figure(pool.avg_response_ms),
            _part(pool.error_rate),
            f"{sum(worker.usable for worker in pool.workers)} of {len(pool.workers)}",
        )
        for pool in pools
    ]
    heads = (
        "pool",
        "critical",
        "high",
        "normal",
        "low",
        "running",
        "delayed",
        "dead",
        "done",
        "per s",
        "avg ms",
        "failed",
        "usable",
    )
    print_table(heads, rows, empty="No pool is registered yet: start a worker, or `mcpweft up`.")
    workers = {worker.id: (worker, pool) for pool in pools for worker in pool.workers}
    if workers:
        titles = (
            "worker",
            "server",
            "in flight",
            "health",
            "state",
            "breaker",
            "ping ms",
            "service ms",
            "ok",
            "errors",
            "why it takes no work",
        )
        print_table(titles, [_worker(worker) for worker, _ in workers.values()], empty="")


def _worker(worker: WorkerView) -> tuple[str, ...]:
    reason = worker.reason or ("it is draining" if worker.draining else "")
    return (
        worker.id,
        worker.server,
        f"{_figure(worker.in_flight)} of {_figure(worker.slots)}",
        worker.health or "?",
        worker.state or "?",
        worker.breaker or "?",
        _figure(worker.ping_ms),
        _figure(worker.service_ms),
        _figure(worker.ok),
        _figure(worker.errors),
        "" if worker.usable else reason or "it is silent",
    )


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


def _part(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:.1f}%"


def _summary(whole: FleetStatus) -> tuple[str, ...]:
    health = "healthy" if whole.is_healthy else "not healthy"
    taking = f"{whole.healthy_servers} of {whole.total_servers} servers take work"
    others = f"{whole.degraded_servers} are degraded, {whole.unhealthy_servers} unhealthy"
    up = "?" if whole.uptime_s is None else duration.spoken(float(round(whole.uptime_s)))
    figures = (
        f"{_figure(whole.throughput)} requests per s", f"{_figure(whole.avg_response_ms)} ms on average",
        f"{_part(whole.error_rate)} failed", f"strategy {whole.strategy or '?'}", f"up for {up}",
    )  # fmt: skip
    return f"{health}: {taking}, {whole.queue_size} requests wait", others, ", ".join(figures)
