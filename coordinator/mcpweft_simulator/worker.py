"""A simulated worker: bound to one server, it pulls as the real one does, with the real breaker and slots.

Above stands the fleet. Below: the clockwork, the pools' queues, the server; `Breaker`, `Slots.divide` and
`Share` are the product's own. It must never know why it holds back. Times are seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweft_coordinator.strategy.figures import Candidate
from mcpweft_schemas.share import EVEN, Share
from mcpweft_schemas.spread import LATEST
from mcpweft_simulator.server import Answer
from mcpweft_workers.breaker import Breaker, Outcome, Policy
from mcpweft_workers.slots import Slots

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from mcpweft_simulator.clockwork import Clockwork
    from mcpweft_simulator.pool import Pool
    from mcpweft_simulator.queue import Request
    from mcpweft_simulator.server import Call, Server
    from mcpweft_workers.breaker import Permit

BACKOFF = 1.0
APART = 0.005
"""Seconds that one who watches lets pass once work came, at least."""


class Worker:
    """One worker; the fleet tells it when it joins, dies or leaves."""

    def __init__(
        self,
        name: str,
        server: Server,
        pools: Sequence[Pool],
        *,
        concurrency: int,
        clock: Clockwork,
        rng: random.Random,
        breaker: Policy | None = None,
        attempt_timeout: float | None = None,
    ) -> None:
        self.name = name
        self.server = server
        self.concurrency = concurrency
        self.pools = {pool.name: pool for pool in pools}
        self.breaker = Breaker(breaker or Policy(), rng, clock.now)
        self.running: dict[Request, Call] = {}
        self.of_pool = dict.fromkeys(self.pools, 0)
        self.shares: dict[str, Share] = {}
        self.alive = False
        self.leaving = False
        self.overhead = 0.0
        """Seconds for which each call keeps its slot after the server's answer."""
        self._clock = clock
        self._rng = rng
        self._timeout = attempt_timeout
        self._slots = Slots(concurrency, dict.fromkeys(self.pools, 1.0), self._room)
        self._pulling = set(self.pools)  # those whose fetcher asks for slots; the others wait for work
        self._look_at = dict.fromkeys(self.pools, float("inf"))
        self._service: float | None = None
        self._answered = clock.now
        self._measured = clock.now

    def _room(self) -> int:
        return self.breaker.room(self._clock.now)

    # --- what the coordinator sees, and says

    def candidate(self) -> Candidate:
        """Return its figures, as a beat carries them."""
        now = self._clock.now
        cpu = self.server.cpu(self._measured)
        self._measured = now
        return Candidate(
            worker=self.name,
            concurrency=self.concurrency,
            in_flight=len(self.running),
            service_ms=None if self._service is None else self._service * 1000,
            answered_ago=now - self._answered,
            cpu=cpu,
            pools=len(self.pools),
        )

    def usable(self) -> bool:
        """Whether it takes work."""
        return self.alive and not self.leaving and self._room() > 0

    def take(self, pool: Pool, share: Share) -> None:
        """Keep to a share from now on."""
        if self.shares.get(pool.name, EVEN) != share:
            self.shares[pool.name] = share
            if self.alive:
                pool.forget(self)
                self._pulling.add(pool.name)
                self.pull()

    # --- its life

    def join(self) -> None:
        """Begin to pull."""
        self.alive = True
        self.pull()

    def leave(self) -> None:
        """Pull no more; what runs ends."""
        self.leaving = True
        for pool in self.pools.values():
            pool.forget(self)

    def die(self) -> list[tuple[Pool, Request]]:
        """Be gone at once; return what ran here."""
        self.alive = False
        left = [(self.pools[request.pool], request) for request in self.running]
        for call in self.running.values():
            self.server.drop(call)
        self.running.clear()
        for pool in self.pools.values():
            pool.forget(self)
        return left

    # --- pulling

    def pull(self) -> None:
        """Take as much as there is room for, from all pools that may have work."""
        self._slots.running = len(self.running)
        while self.alive and not self.leaving and (room := self._slots.room()) > 0:
            asking = {name for name in self._pulling if self._own(name) > 0}
            if not asking:
                break
            got = 0
            for name, dealt in self._slots.divide(room, asking).items():
                got += self._fetch(self.pools[name], min(dealt, self._own(name)))
            if not got and asking <= self._pulling:
                break

    def _own(self, name: str) -> int:
        """Return how many more calls of a pool may run here, by the share."""
        return self.shares.get(name, EVEN).slots(self.concurrency) - self.of_pool[name]

    def _fetch(self, pool: Pool, slots: int) -> int:
        now = self._clock.now
        share = self.shares.get(pool.name, EVEN)
        taken = pool.queue.fetch(
            self.name, slots, now, share.hold(len(self.running)) / 1000, share.depth if share.holds else 0
        )
        for request in taken.requests:
            self._start(pool, request)
        pool.end_late()
        self._slots.running = len(self.running)
        if len(taken.requests) < slots and not taken.more:
            self._pulling.discard(pool.name)
            self._look_at[pool.name] = float("inf")
            if taken.next_due is not None:
                self._look(pool, taken.next_due)
            pool.wait(self, holds=share.hold(len(self.running)) > 0)
        elif taken.more:
            pool.ring()
        return len(taken.requests)

    def rung(self, pool: Pool) -> bool:
        """Follow the bell; return False where it cannot."""
        self._pulling.add(pool.name)
        self._slots.running = len(self.running)
        if self.leaving or not self.alive or self._slots.room() <= 0 or self._own(pool.name) <= 0:
            return False
        self.pull()
        return True

    def seen(self, pool: Pool) -> None:
        """Hear, as one who holds, that a request has come."""
        share = self.shares.get(pool.name, EVEN)
        hold = share.hold(len(self.running)) / 1000 if pool.queue.waiting <= share.depth else 0.0
        self._look(pool, self._clock.now + max(APART, hold))

    def _look(self, pool: Pool, when: float) -> None:
        if when < self._look_at[pool.name]:
            self._look_at[pool.name] = when
            self._clock.at(when + 1e-6, self._due, pool, when)

    def _due(self, pool: Pool, when: float) -> None:
        if self._look_at[pool.name] == when:
            self._look_at[pool.name] = float("inf")
            self._again(pool)

    def _again(self, pool: Pool) -> None:
        pool.forget(self)
        self._pulling.add(pool.name)
        self.pull()

    def _rest(self) -> None:
        """Wait at the bell again, where only calls in flight held it back."""
        for name, share in self.shares.items():
            if share.holds and not share.hold(0) and name not in self._pulling:
                self.pools[name].forget(self)
                self.pools[name].wait(self, holds=False)

    # --- running

    def _start(self, pool: Pool, request: Request) -> None:
        permit = self.breaker.acquire(self._clock.now)
        if permit is None:
            raise RuntimeError("more was fetched than there is room for")
        began = self._clock.now
        self.of_pool[pool.name] += 1

        def done(answer: Answer) -> None:
            took = self._clock.now - began
            if self.overhead:
                self._clock.after(self.overhead, self._ends, pool, request, permit, took, answer)
            else:
                self._ends(pool, request, permit, took, answer)

        call = self.running[request] = self.server.begin(done)
        if self._timeout is not None:
            self._clock.after(self._timeout, self._time_over, request, call, done)

    def _time_over(self, request: Request, call: Call, done: Callable[[Answer], None]) -> None:
        if self.running.get(request) is call:
            self.server.drop(call)
            done(Answer.FAILURE)

    def _ends(self, pool: Pool, request: Request, permit: Permit, took: float, answer: Answer) -> None:
        now = self._clock.now
        success = answer is Answer.OK
        if self.running.pop(request, None) is None:
            return
        self.of_pool[pool.name] -= 1
        self._answered = now
        if success:
            self._service = took if self._service is None else self._service + LATEST * (took - self._service)
        self.breaker.record(permit, Outcome.SUCCESS if success else Outcome.FAILURE, took, now)
        if (wait := self.breaker.retry_at(now)) > now and wait != float("inf"):
            self._clock.at(wait + 1e-6, self.pull)
        pool.settle(request, self, success=success, again=now + BACKOFF * self._rng.random())
        if not self.running:
            self._rest()
        self.pull()
