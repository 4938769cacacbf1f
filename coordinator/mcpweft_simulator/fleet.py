"""A whole fleet in virtual time: arrivals, workers, a coordinator that senses, decides and publishes.

    fleet = Fleet(seed=1)
    pool = fleet.pool("echo")
    fleet.worker("a", fleet.server("a", exactly(0.05)), [pool])
    fleet.arrivals(pool, rate=lambda now: 24.0)
    fleet.coordinate([pool], round_robin)
    fleet.run(until=600)

The same seed gives the same run. Above stand the rehearsal, `scripts/bench strategies` and the tests. It must
never know what a run is for. Times are seconds.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from mcpweft_coordinator.observation import SPAN
from mcpweft_coordinator.strategy.figures import Figures
from mcpweft_simulator.clockwork import Clockwork
from mcpweft_simulator.pool import Pool
from mcpweft_simulator.queue import Request
from mcpweft_simulator.server import Server
from mcpweft_simulator.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mcpweft_coordinator.strategy.strategy import Strategy

SENSE = 1.0
"""Between two looks of the coordinator."""
LAG = 0.25
"""Until its workers have heard what it decided: a heartbeat."""
DEAD_AFTER = 1.0


class Fleet:
    """Builds and runs one."""

    def __init__(self, seed: int = 1, *, overhead: float = 0.0) -> None:
        """Make one; `overhead`: seconds for which each call keeps its slot after the server's answer."""
        self.clock = Clockwork()
        self.workers: list[Worker] = []
        self._seed = seed
        self._overhead = overhead
        self._streams = 0
        self._number = 0
        self._told: dict[str, int] = {}  # what ended by the last look, by pool

    def rng(self) -> random.Random:
        """Return chance of its own for one part: what one part draws changes nothing for another."""
        self._streams += 1
        return random.Random(f"{self._seed}.{self._streams}")  # noqa: S311  # it is to be repeatable

    def pool(self, name: str) -> Pool:
        """Make a pool."""
        return Pool(name, self.clock)

    def server(self, name: str, work: Callable[[random.Random, float], float], **options: Any) -> Server:
        """Make a server; options as for `Server`."""
        return Server(name, self.clock, self.rng(), work, **options)

    def worker(
        self, name: str, server: Server, pools: Sequence[Pool], *, concurrency: int = 1, at: float = 0.0,
        **options: Any,
    ) -> Worker:  # fmt: skip
        """Make a worker that joins at a moment; options as for `Worker`."""
        worker = Worker(
            name, server, pools, concurrency=concurrency, clock=self.clock, rng=self.rng(),
            **options,
        )  # fmt: skip
        worker.overhead = self._overhead
        self.workers.append(worker)
        self.clock.at(at, worker.join)
        return worker

    def kill(self, worker: Worker, at: float) -> None:
        """Kill a worker; what it ran is taken back once it has been silent for long enough."""

        def die() -> None:
            for pool, request in worker.die():
                pool.queue.ended(request)
                self.clock.after(DEAD_AFTER, pool.give_back, request, self.clock.now)

        self.clock.at(at, die)

    def arrivals(
        self,
        pool: Pool,
        rate: Callable[[float], float],
        *,
        klass: Callable[[random.Random], int] = lambda _: 2,
        timeout: float = 120.0,
        until: float = float("inf"),
    ) -> None:
        """Let requests arrive as a Poisson process whose rate, per second, may change with time."""
        rng = self.rng()

        def arrive() -> None:
            now = self.clock.now
            if now >= until:
                return
            if rate(now) > 0:
                self._number += 1
                pool.accept(Request(self._number, now, klass(rng), deadline=now + timeout))
            following()

        def following() -> None:
            per_second = rate(self.clock.now)
            self.clock.after(rng.expovariate(per_second) if per_second > 0 else 1.0, arrive)

        following()

    def requests(
        self, pool: Pool, moments: Iterator[float], *, klass: Callable[[random.Random], int], timeout: float
    ) -> None:
        """Let requests arrive at given moments, which only grow."""
        rng = self.rng()

        def arrive() -> None:
            now = self.clock.now
            self._number += 1
            pool.accept(Request(self._number, now, klass(rng), deadline=now + timeout))
            following()

        def following() -> None:
            when = next(moments, None)
            if when is not None:
                self.clock.at(when, arrive)

        following()

    def coordinate(self, pools: Sequence[Pool], strategy: Strategy, *, every: float = SENSE) -> None:
        """Let a coordinator look every so often and deal shares."""
        memories: dict[str, Any] = {}
        seen: dict[str, list[tuple[float, int]]] = {pool.name: [] for pool in pools}

        def look() -> None:
            for pool in pools:
                figures = self._sense(pool, seen[pool.name])
                shares, memories[pool.name] = strategy(figures, memories.get(pool.name))
                self.clock.after(LAG, self._publish, pool, shares)
            self.clock.after(every, look)

        self.clock.at(0.0, look)

    def _publish(self, pool: Pool, shares: Any) -> None:
        for worker in self.workers:
            if worker.name in shares and pool.name in worker.pools:
                worker.take(pool, shares[worker.name])

    def _sense(self, pool: Pool, seen: list[tuple[float, int]]) -> Figures:
        now = self.clock.now
        seen.append((now, pool.ledger.accepted))
        while len(seen) > 1 and now - seen[0][0] > SPAN:
            del seen[0]
        span = now - seen[0][0]
        fresh = sorted(each.took for each in pool.ledger.ended[self._told.get(pool.name, 0) :])
        self._told[pool.name] = len(pool.ledger.ended)
        return Figures(
            now=now,
            candidates=tuple(
                worker.candidate() for worker in self.workers if pool.name in worker.pools and worker.usable()
            ),
            waiting=pool.queue.waiting,
            answers=len(fresh),
            response_ms=1000 * fresh[int(0.95 * len(fresh))] if fresh else None,
            arrivals=(pool.ledger.accepted - seen[0][1]) / span if span > 0 else None,
        )

    def run(self, until: float) -> None:
        """Let virtual time pass."""
        self.clock.run(until)
