"""Asks the store for what was measured, and puts the analytics together.

Of each pool it asks for its slots, `CHUNK` at a time so that no answer holds the store for long, and for its
strategy; of the fleet for its events. An hour of one pool is 14 commands, a week 35.

Above stands the client. Below are the store's moves, and the functions that make figures of what they answer.
This module must never compute one itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mcpweft.analytics.advice import recommendations
from mcpweft.analytics.failovers import breaker_moves, failovers, strategy_changes
from mcpweft.analytics.figures import Analytics
from mcpweft.analytics.load import load_of
from mcpweft.analytics.slots import read_slot
from mcpweft.analytics.summary import Span, answered_retries, summarise
from mcpweft.refusal import unknown_capability
from mcpweft_schemas.packing import unpack_map

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from mcpweft.analytics.slots import Part
    from mcpweft_schemas.event import Event
    from mcpweft_schemas.store import Store

HOUR_S, WEEK_S = 3600, 7 * 24 * 3600
NARROW_S, WIDE_S = 10, 600
CHUNK = 30
_PAGE = 500
_BOOKED_WITHIN_S = 20  # what ended in a slot is booked in it or in the next but one


@dataclass(frozen=True, slots=True)
class _Pool:
    name: str
    parts: Sequence[Part]
    strategy: str | None
    shared: frozenset[str]
    """Servers with a worker that serves other pools as well."""


class Historian:
    """One reading of the analytics."""

    def __init__(self, command: Callable[[], AbstractAsyncContextManager[Store]]) -> None:
        """`command` lends the store for one command."""
        self._command = command

    async def look(self, since_s: float, capability: str | None = None, *, loads: bool = False) -> Analytics:
        """Return what was measured in so many seconds up to now, a week at most; `loads`: with each pool's.

        Raises UnknownCapabilityError.
        """
        async with self._command() as store:
            names = await store.pools()
        if capability is not None and capability not in names:
            raise unknown_capability(capability, list(names))
        chosen = names if capability is None else (capability,)
        async with self._command() as store:
            now_ms = (await store.events(most=1)).now_ms
        slot_s = NARROW_S if since_s <= HOUR_S else WIDE_S
        since = int(now_ms / 1000 - min(since_s, WEEK_S)) // slot_s * slot_s
        span = Span(since, now_ms, slot_s)
        pools = await asyncio.gather(*(self._pool(name, span) for name in chosen))
        events, events_from = await self._events(1000 * since)
        figures = tuple(summarise(pool.name, pool.parts, span, pool.strategy) for pool in pools)
        if loads:
            figures = tuple(
                replace(one, load=load_of(pool.parts, span, pool.shared))
                for one, pool in zip(figures, pools, strict=True)
            )
        concerned = {server for pool in pools for part in pool.parts for server in _servers(part)}
        told = [event for event in events if _concerns(event, capability, concerned)]
        return Analytics(
            since_ms=1000 * since, until_ms=now_ms, slot_s=slot_s, pools=figures,
            failovers=failovers(told, _Served({pool.name: pool.parts for pool in pools}, span)),
            breaker_moves=breaker_moves(told), strategy_changes=strategy_changes(told),
            events_from_ms=events_from, recommendations=recommendations(figures),
        )  # fmt: skip

    async def _pool(self, name: str, span: Span) -> _Pool:
        """Read a pool's slots, and the one before them, where its counters begin."""
        parts: list[Part] = []
        at = span.since_s - span.slot_s
        while at <= span.until_ms // 1000:
            async with self._command() as store:
                history = await store.history(name, span.slot_s, at, CHUNK)
            parts += map(read_slot, history.slots)
            at += CHUNK * span.slot_s
        async with self._command() as store:
            status = await store.status(name)
        if status is None:
            return _Pool(name, parts, None, frozenset())
        told = [unpack_map(info) for info in status.members.values()]
        shared = frozenset(
            str(info.get("server")) for info in told if len(info.get("capabilities") or ()) > 1
        )
        return _Pool(name, parts, status.settings.get("strategy"), shared)

    async def _events(self, since_ms: int) -> tuple[list[Event], int | None]:
        """Return the events since a moment, and from when on they are kept."""
        async with self._command() as store:
            oldest = await store.events(most=1)
        if oldest.newest == "0-0":
            return [], None
        found: list[Event] = []
        position = f"{since_ms}-0"
        while True:
            async with self._command() as store:
                page = await store.events(position, _PAGE)
            found += page.events
            if page.position == position:
                return found, max(since_ms, int(oldest.position.partition("-")[0]))
            position = page.position


class _Served:
    """Which other servers answered retries, by the slots of the pools that were read."""

    def __init__(self, pools: Mapping[str, Sequence[Part]], span: Span) -> None:
        self._pools = pools
        self._slot_s = span.slot_s

    def __call__(self, server: str, began_ms: int, ended_ms: int | None) -> tuple[str, ...] | None:
        until = float("inf") if ended_ms is None else ended_ms / 1000 + _BOOKED_WITHIN_S

        def during(start_s: int) -> bool:
            return start_s + self._slot_s > began_ms / 1000 and start_s <= until

        mine = [parts for parts in self._pools.values() if any(server in _servers(part) for part in parts)]
        if not mine:
            return None
        helped = {name for parts in mine for name in answered_retries(parts, during)}
        return tuple(sorted(helped - {server}))


def _servers(part: Part) -> set[str]:
    return {server for server, _, _ in part.series} | part.servers.keys()


def _concerns(event: Event, capability: str | None, servers: set[str]) -> bool:
    """Whether an event has to do with the pools that were asked for."""
    if capability is None:
        return True
    return event.pool == capability if event.pool else event.server in servers
