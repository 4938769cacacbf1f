"""What a workload builds, written down so that real workers and servers can be built by it.

    plan = Blueprint.of("W2", load=0.6)
    plan.bound      worker → its server, pools and concurrency
    plan.labour     server → how long its calls take, and what they do to each other
    plan.rates      pool → arrivals per second at a moment

Above stand `staffed` and `labour`; below, `tests/simulation`, whose workloads these are. It must never run
anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from mcpweft_simulator.fleet import Fleet
from simulation.workload import WORKLOADS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from mcpweft_simulator.pool import Pool
    from mcpweft_simulator.server import Server
    from mcpweft_simulator.worker import Worker


@dataclass(frozen=True, slots=True)
class Bound:
    """One worker."""

    server: str
    pools: tuple[str, ...]
    concurrency: int


@dataclass(frozen=True, slots=True)
class Labour:
    """What a server's calls take: draws of (chance, moment), and the options of a simulated `Server`."""

    work: Callable[[random.Random, float], float]
    options: dict[str, Any]


class Blueprint(Fleet):
    """A fleet that is described and never run."""

    def __init__(self) -> None:
        super().__init__()
        self.bound: list[Bound] = []
        self.labour: dict[str, Labour] = {}
        self.rates: dict[str, Callable[[float], float]] = {}

    @classmethod
    def of(cls, workload: str, load: float) -> Self:
        """Describe a workload at a load."""
        plan = cls()
        WORKLOADS[workload](plan, load)
        return plan

    def server(self, name: str, work: Callable[[random.Random, float], float], **options: Any) -> Server:
        """Note a server."""
        self.labour[name] = Labour(work, options)
        return super().server(name, work, **options)

    def worker(
        self, name: str, server: Server, pools: Sequence[Pool], *, concurrency: int = 1, at: float = 0.0,
        **options: Any,
    ) -> Worker:  # fmt: skip
        """Note a worker."""
        self.bound.append(Bound(server.name, tuple(pool.name for pool in pools), concurrency))
        return super().worker(name, server, pools, concurrency=concurrency, at=at, **options)

    def arrivals(self, pool: Pool, rate: Callable[[float], float], **options: Any) -> None:
        """Note how often requests come."""
        self.rates[pool.name] = rate
        super().arrivals(pool, rate, **options)
