"""What is done to a fabric, and when: drawn from a seed, so that a run can be had again.

Above stands the storm, which carries it out. Pure: no clock, no process. It must never know how a blow is
dealt.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Kind(StrEnum):
    """What can be done."""

    KILL_WORKER = "kill worker"
    KILL_PRODUCER = "kill producer"
    KILL_COORDINATOR = "kill coordinator"
    KILL_STORE = "kill store"
    """It is away for the blow's span, and comes back with its append-only file."""
    STOP_WORKER = "stop worker"
    """SIGSTOP, and SIGCONT after the blow's span; so for the next three."""
    STOP_PRODUCER = "stop producer"
    STOP_COORDINATOR = "stop coordinator"
    STOP_STORE = "stop store"
    KILL_SERVER = "kill server"
    HANG_SERVER = "hang server"
    """SIGSTOP for good."""
    CRASH_SERVER = "crash in a call"
    GARBAGE = "garbage from a server"
    HUGE = "huge reply"
    LATENCY = "latency"
    HALF_OPEN = "half-open"
    CUT_BEFORE = "cut before the command"
    CUT_AFTER = "cut after the command"
    TRICKLE = "trickle"
    KILL_CLIENTS = "client kill storm"
    PAUSE_CLIENTS = "client pause"
    FLUSH_SCRIPTS = "script flush"
    FILL_STORE = "memory full"
    """maxmemory is reached, and lifted after the blow's span."""


SPANS: dict[Kind, tuple[float, float]] = {
    Kind.KILL_STORE: (0.1, 1.5),
    Kind.STOP_WORKER: (0.2, 4.0),
    Kind.STOP_PRODUCER: (0.2, 3.0),
    Kind.STOP_COORDINATOR: (0.2, 3.0),
    Kind.STOP_STORE: (0.1, 1.5),
    Kind.LATENCY: (0.5, 2.0),
    Kind.TRICKLE: (0.5, 2.0),
    Kind.KILL_CLIENTS: (0.1, 1.0),
    Kind.PAUSE_CLIENTS: (0.1, 1.5),
    Kind.FILL_STORE: (0.3, 2.0),
}
"""How long a blow lasts, s: from, to. All others are done at once."""


@dataclass(frozen=True, slots=True)
class Blow:
    """One thing that is done."""

    number: int
    after: float
    """Seconds since the blow before."""
    kind: Kind
    span: float
    pick: float
    """Chooses among those that it could hit: 0 to 1, 1 not included."""


def plan(seed: int, mean: float = 1.0) -> Iterator[Blow]:
    """Draw blows without end, every kind once in each deal; gaps are exponential, of `mean` seconds."""
    rng = random.Random(seed)
    number = 0
    while True:
        deck = list(Kind)
        rng.shuffle(deck)
        for kind in deck:
            number += 1
            low, high = SPANS.get(kind, (0.0, 0.0))
            yield Blow(number, rng.expovariate(1 / mean), kind, rng.uniform(low, high), rng.random())
