"""resource_aware: slots in proportion to what is free of the machine under each server.

    free_j        = min over the known of (1 - cpu_j, 1 - memory_j)
    concurrency_j = max(1, round(c_j · free_j / max free))
    hold_j        = one service time where free_j < 0.1, else none

cpu is the part of the processor time that the server's process tree may use and has used, memory the part of
its memory; a figure that nobody knows drops out, and a worker of which nothing is known keeps all its slots.
A server whose processor is taken runs every call slower, and each further call slows all of them (processor
sharing: n calls take n times as long), so it must get fewer at a time, not only its turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcpweft_schemas.share import EVEN, Share, lawful_hold

if TYPE_CHECKING:
    from mcpweft_coordinator.strategy.figures import Candidate, Figures, Shares

_EXHAUSTED = 0.1


def free(candidate: Candidate) -> float | None:
    """Return the part of the scarcest thing that is free, 0 to 1; None where nothing is known."""
    known = [1 - used for used in (candidate.cpu, candidate.memory) if used is not None]
    return max(0.0, min(known)) if known else None


def resource_aware(figures: Figures, memory: Any = None) -> tuple[Shares, Any]:  # noqa: ARG001  # needs none
    """Deal slots by what is free."""
    room = {each.worker: spare for each in figures.candidates if (spare := free(each)) is not None}
    most = max(room.values(), default=0.0)
    service = figures.known
    usual_ms = 1000 * min(service.values(), default=0.0)
    shares: Shares = {}
    for each in figures.candidates:
        if each.worker not in room or most <= 0:
            shares[each.worker] = EVEN
            continue
        slots = max(1, round(each.concurrency * room[each.worker] / most))
        short = room[each.worker] < _EXHAUSTED < most
        shares[each.worker] = Share(
            concurrency=slots, hold_ms=lawful_hold(usual_ms) if short else 0.0, depth=len(figures.candidates)
        )
    return shares, None
