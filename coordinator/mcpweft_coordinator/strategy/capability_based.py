"""capability_based: specialists first, generalists when they are needed.

A worker that serves one pool can do nothing else; one that serves several is worth more elsewhere. So while
a pool has specialists, the others hold back in it for as long as a specialist takes to come free,

    hold = s̄ of the specialists,    depth = half the specialists' slots

and come in at once for what waits beyond that depth, or when a request's deadline presses (no hold at all).
The rule is that of flexible servers in queueing networks, who serve where nobody else can before they help
where others can (Bell and Williams, Annals of Applied Probability 11(3), 2001, with a threshold on the
backlog of the shared class).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcpweft_schemas.share import EVEN, Share, lawful_hold

if TYPE_CHECKING:
    from mcpweft_coordinator.strategy.figures import Figures, Shares

_HOLD_MS = 20.0  # while no service time is known
_PART = 0.5


def capability_based(figures: Figures, memory: Any = None) -> tuple[Shares, Any]:  # noqa: ARG001  # needs none
    """Hold the generalists back while specialists keep up."""
    specialists = [each for each in figures.candidates if each.pools == 1]
    shares: Shares = {each.worker: EVEN for each in figures.candidates}
    if not specialists or figures.pressed:
        return shares, None
    known = figures.known
    times = [known[each.worker] for each in specialists if each.worker in known]
    hold = 1000 * sum(times) / len(times) if times else _HOLD_MS
    depth = int(_PART * sum(each.concurrency for each in specialists))
    for each in figures.candidates:
        if each.pools > 1:
            shares[each.worker] = Share(hold_ms=lawful_hold(hold), depth=depth)
    return shares, None
