"""Has the recorded load of each pool run under other strategies, and recommends by what came of it.

The simulator (`mcpweft_simulator.rehearsal`) stands above this house, so it is loaded by its name when it is
needed. It is all computation, some 10 s for a pool: it runs in a thread, one pool after the other, and leaves
the caller's loop free.

Above stands the client. Below are the analytics, as the historian has put them together. This module must
never compute a figure itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from mcpweft.analytics.advice import recommendations

if TYPE_CHECKING:
    from mcpweft.analytics.figures import Analytics, PoolAnalytics, Rehearsal

_HOME = "mcpweft_simulator.rehearsal"


class _Rehearse(Protocol):
    def __call__(self, pool: PoolAnalytics, *, doubt: str = "") -> Rehearsal: ...


async def rehearsed(found: Analytics) -> Analytics:
    """Return the analytics with a rehearsal of each pool, and the recommendations that follow from it."""
    done = [await asyncio.to_thread(_run, pool, doubt=_doubt(pool, found)) for pool in found.pools]
    return replace(found, rehearsals=tuple(done), recommendations=recommendations(found.pools, done))


def _run(pool: PoolAnalytics, *, doubt: str) -> Rehearsal:
    return cast("_Rehearse", import_module(_HOME).rehearse)(pool, doubt=doubt)


def _doubt(pool: PoolAnalytics, found: Analytics) -> str:
    """Say why the strategy in force may not be the one by which the recorded load was divided."""
    began = next((point.at_ms for point in pool.timeline if point.throughput), None)
    if began is None:
        return ""
    if found.events_from_ms is None or found.events_from_ms > began + 1000 * found.slot_s:
        return "no events of its beginning are kept, so whether the strategy changed is not known"
    changes = (change for change in found.strategy_changes if change.pool == pool.capability)
    if any(change.at_ms >= began for change in changes):
        return "the strategy changed within that time"
    return ""
