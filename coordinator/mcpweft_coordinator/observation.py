"""From what the store says of a pool to what a strategy sees: a look, and what is kept for the next one.

Counters only grow, so rates and response times are differences between looks. A worker that is not usable is
no candidate: its breaker is open, or it drains, starts or is gone.

Above stands `dealer`, which asks the store. This module must never ask anybody anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcpweft_coordinator.strategy.figures import Candidate, Figures
from mcpweft_schemas.packing import unpack_map
from mcpweft_schemas.spread import Spread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_schemas.store import PoolStatus

SPAN = 10.0
"""Seconds over which the rate of arrivals is measured."""
PRESSING_MS = 2000
"""A deadline that is so near presses."""
_QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class Look:
    """What is kept of a pool from look to look."""

    accepted: tuple[tuple[float, int], ...] = ()
    """When, by the store's clock in seconds, how many had been accepted: the looks of the last `SPAN`."""
    times: Mapping[str, Spread] = field(default_factory=dict[str, Spread])
    """Worker → how long its answers had taken by then."""


def observe(status: PoolStatus, before: Look) -> tuple[Figures, Look]:
    """Return a pool's figures at this look. `status` was asked for with the horizon `PRESSING_MS`."""
    now = status.now_ms / 1000
    loads = {worker: unpack_map(load) for worker, load in status.load.items()}
    counted = int(status.stat.get("accepted", 0))
    kept = [look for look in before.accepted if now - look[0] <= SPAN and look[1] <= counted]
    accepted = (*kept, (now, counted))
    times = {worker: _times(load, status.capability) for worker, load in loads.items()}
    fresh = Spread()
    for worker, counts in times.items():
        if worker in before.times:
            fresh = fresh.plus(counts.since(before.times[worker]))
    waiting = sum(status.waiting.values()) + status.due
    figures = Figures(
        now=now,
        candidates=tuple(
            _candidate(worker, loads.get(worker, {}), unpack_map(info))
            for worker, info in sorted(status.members.items())
            if status.usable.get(worker, 0) > status.now_ms and not loads.get(worker, {}).get("draining")
        ),
        waiting=waiting,
        arrivals=_rate(accepted),
        pressed=waiting > 0 and any(status.over),
        answers=fresh.total,
        response_ms=fresh.quantile(_QUANTILE),
    )
    return figures, Look(accepted, times)


def _times(load: Mapping[str, Any], capability: str) -> Spread:
    told = load.get("times")
    return Spread.read(told.get(capability) if isinstance(told, dict) else None)


def _rate(accepted: tuple[tuple[float, int], ...]) -> float | None:
    (since, before), (now, count) = accepted[0], accepted[-1]
    return (count - before) / (now - since) if now > since else None


def _candidate(worker: str, load: Mapping[str, Any], info: Mapping[str, Any]) -> Candidate:
    silent_ms = load.get("silent_ms")
    return Candidate(
        worker=worker,
        concurrency=max(1, int(load.get("slots") or info.get("concurrency") or 1)),
        in_flight=int(load.get("in_flight") or 0),
        service_ms=load.get("service_ms"),
        answered_ago=None if silent_ms is None else silent_ms / 1000,
        cpu=load.get("cpu"),
        memory=load.get("memory"),
        pools=max(1, len(info.get("capabilities") or ())),
    )
