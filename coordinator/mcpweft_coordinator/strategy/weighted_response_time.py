"""weighted_response_time: slots in proportion to speed.

    concurrency_j = max(1, round(c_j · min(1, 1.25 · s_median / s_j)))

s is each server's mean service time (EWMA, without queueing), c what it takes at a time. Under equal slots a
server that has become eight times slower keeps as many calls in flight as the others, and each of them is a
slow answer; with slots by 1/s its part of the calls in flight falls with its part of the capacity (the
weights of weighted round robin, after Katevenis et al., IEEE JSAC 9(8), 1991, with measured rates in place
of configured ones). The quarter is for noise: equal servers must not take slots from each other by chance.

A slow one keeps one slot, so it goes on being measured and is found again once it recovers. A server of
concurrency 1 cannot be given less: `predictive` holds such a one back in time instead.
"""

from __future__ import annotations

from statistics import median_low
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.share import EVEN, Share

if TYPE_CHECKING:
    from mcpweft_coordinator.strategy.figures import Figures, Shares

_TOLERANCE = 1.25


def weighted_response_time(figures: Figures, memory: Any = None) -> tuple[Shares, Any]:  # noqa: ARG001  # needs none
    """Deal slots by 1/EWMA of the service time; who has none yet gets all that its server takes."""
    known = figures.known
    usual = _TOLERANCE * median_low(known.values()) if known else 0.0
    shares: Shares = {}
    for each in figures.candidates:
        slots = each.concurrency
        if each.worker in known:
            slots = max(1, round(slots * min(1.0, usual / known[each.worker])))
        shares[each.worker] = EVEN if slots == each.concurrency else Share(concurrency=slots)
    return shares, None
