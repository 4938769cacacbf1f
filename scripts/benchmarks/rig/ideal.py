"""An ideal model of servers with exact service times: what arrivals would wait if nothing else took time.

Above stands the experiment of balance. Times are seconds. It must never know what was measured.
"""

from __future__ import annotations

import heapq
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def poisson(rate: float, until: float, seed: str) -> list[float]:
    """Return the moments of arrivals at so many a second."""
    rng = random.Random(seed)  # noqa: S311  # the same seed has the same arrivals
    found: list[float] = []
    at = rng.expovariate(rate)
    while at < until:
        found.append(at)
        at += rng.expovariate(rate)
    return found


def at_random(dues: Sequence[float], services: Sequence[float], choices: Sequence[int]) -> list[float]:
    """Return what each arrival takes where it waits for the server that chance gave it."""
    free = [0.0] * len(services)
    took: list[float] = []
    for due, server in zip(dues, choices, strict=True):
        free[server] = max(due, free[server]) + services[server]
        took.append(free[server] - due)
    return took


def shared(dues: Sequence[float], services: Sequence[float]) -> list[float]:
    """Return what each arrival takes where all wait in one line, for whoever has been free longest."""
    free = [(0.0, server) for server in range(len(services))]
    took: list[float] = []
    for due in dues:
        since, server = heapq.heappop(free)
        end = max(due, since) + services[server]
        heapq.heappush(free, (end, server))
        took.append(end - due)
    return took
