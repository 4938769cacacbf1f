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
    def __call__(self, pool: PoolAnalytics, *, changed: bool = False) -> Rehearsal: ...


async def rehearsed(found: Analytics) -> Analytics:
    """Return the analytics with a rehearsal of each pool, and the recommendations that follow from it."""
    done = [await asyncio.to_thread(_run, pool, changed=_changed(pool, found)) for pool in found.pools]
    return replace(found, rehearsals=tuple(done), recommendations=recommendations(found.pools, done))


def _run(pool: PoolAnalytics, *, changed: bool) -> Rehearsal:
    return cast("_Rehearse", import_module(_HOME).rehearse)(pool, changed=changed)


def _changed(pool: PoolAnalytics, found: Analytics) -> bool:
    """Whether the strategy became another one once there was work."""
    began = next((point.at_ms for point in pool.timeline if point.throughput), None)
    return began is not None and any(
        change.pool == pool.capability and change.at_ms >= began for change in found.strategy_changes
    )
