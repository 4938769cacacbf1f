"""What each pool weighs for a worker that serves several: by what waits there that nobody else can do.

    need_p   = max(0, waiting_p · s̄_p - slots of p's specialists · 1 s),  times four where deadlines press
    weight_p = 16 · need_p / (largest need among the worker's pools), as a power of two, 1 at least

s̄ is the mean service time of the pool's workers (0.1 s while none is known). Specialists, which serve one
pool only, are reserved: what they can do within a second is theirs, and only the rest calls for generalists.
The weights are those of the worker's deficit round robin, which is work-conserving: a pool without work takes
nothing from the others, whatever it weighs. Every pool keeps at least a sixteenth of the heaviest one's part.

Weights move by powers of two, and by a factor of four at most from one look to the next, so noise moves
none of them and a worker's parts change at most twice from end to end.

Above stands `dealer`. Below: the figures. This module must never ask anybody anything.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_coordinator.strategy.figures import Figures

Weights = dict[str, dict[str, float]]
"""Worker → capability → weight, for those that serve several pools."""
HEAVIEST = 16.0
STEP = 4.0
"""A weight changes by this factor at most from look to look."""
_HORIZON = 1.0  # seconds that specialists are given to do it themselves
_PRESSED = 4.0
_SERVICE = 0.1  # seconds, while no service time is known


def need(figures: Figures) -> float:
    """Return the work of a pool, in seconds of a slot, that its specialists cannot do within a second."""
    known = figures.known
    service = sum(known.values()) / len(known) if known else _SERVICE
    reserved = sum(each.concurrency for each in figures.candidates if each.pools == 1)
    left = max(0.0, figures.waiting * service - reserved * _HORIZON)
    return left * _PRESSED if figures.pressed else left


def weigh(pools: Mapping[str, Figures], before: Weights) -> Weights:
    """Return what each pool weighs for each worker that serves several of these."""
    needs = {name: need(figures) for name, figures in pools.items()}
    serves: dict[str, list[str]] = {}
    for name, figures in pools.items():
        for each in figures.candidates:
            serves.setdefault(each.worker, []).append(name)
    weights: Weights = {}
    for worker, names in serves.items():
        if len(names) > 1:
            most = max(needs[name] for name in names)
            past = before.get(worker, {})
            weights[worker] = {name: _step(past.get(name, 1.0), _aim(needs[name], most)) for name in names}
    return weights


def _aim(own: float, most: float) -> float:
    if own <= 0:
        return 1.0
    return 2.0 ** max(0, round(math.log2(HEAVIEST * own / most)))


def _step(before: float, aim: float) -> float:
    return min(before * STEP, max(before / STEP, aim))
