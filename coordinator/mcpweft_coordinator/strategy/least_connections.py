"""least_connections: who has fewer calls in flight goes first.

    hold_j = step · (calls in flight at j),    step = s̄ / 20, at most 5 ms

The worker itself multiplies, at the moment of the fetch, so this is exact and not a second old as a pushed
choice would be. It is join-the-shortest-queue with a small price: a request for which nobody is idle waits
`step` times the least number in flight. It pays where calls disturb each other (a server that computes), most
of all where their lengths differ much: the number in flight is then the best sign of what is left to do
(Gupta, Harchol-Balter, Sigman and Whitt, Analysis of join-the-shortest-queue routing for web server farms,
Performance Evaluation 64, 2007). Where more wait than there are workers, nobody holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcpweft_schemas.share import Share

if TYPE_CHECKING:
    from mcpweft_coordinator.strategy.figures import Figures, Shares

_PART = 0.05
_LONGEST_STEP_MS = 5.0
_STEP_MS = 1.0  # while no service time is known


def least_connections(figures: Figures, memory: Any = None) -> tuple[Shares, Any]:  # noqa: ARG001  # needs none
    """Let each call in flight hold its worker back a little."""
    known = figures.known
    step = _STEP_MS
    if known:
        step = min(_LONGEST_STEP_MS, 1000 * _PART * sum(known.values()) / len(known))
    share = Share(step_ms=step, depth=len(figures.candidates))
    return {each.worker: share for each in figures.candidates}, None
