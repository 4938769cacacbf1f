"""The simulated queue hands out what the scripts hand out, in the same order, on the same scenarios."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

import altered
import realredis
from mcpweft_schemas.life import Class
from mcpweft_schemas.wire import READS
from mcpweft_simulator.queue import Queue, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from altered import Clock
    from mcpweft_schemas.wire import Delivery
    from pool import Pool

pytestmark = realredis.every_store
CLASSES = list(Class)
WORKERS = ("w1", "w2", "w3")


@pytest.fixture
def standing_clock() -> Iterator[None]:
    """Let time stand still in the moves, and in the names of entries, which say how old they are."""
    with altered.in_force(altered.TEST_CLOCK, *altered.ENTRY_CLOCK):
        yield


class Twins:
    """One pool on a real store, and its simulated counterpart; both are told the same."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._queue = Queue()
        self._requests: dict[str, Request] = {}
        self._running: list[tuple[str, Delivery, Request]] = []

    async def enqueue(self, klass: Class, timeout_ms: int) -> None:
        """Accept a request in both."""
        number = len(self._requests)
        named = f"echo~{number:032x}"  # what is due at the same moment goes by its name
        await self._pool.accept(id=named, klass=klass, timeout_ms=timeout_ms, max_attempts=99)
        self._requests[named] = Request(
            number, self._clock.ms, CLASSES.index(klass), self._clock.ms + timeout_ms, 99
        )
        self._queue.add(self._requests[named], self._clock.ms)

    async def fetch(self, worker: str, slots: int, hold_ms: int, depth: int) -> None:
        """Fetch from both: the same requests in the same order, and the same about what is left."""
        reader = self._pool.workers[worker]
        real = await self._pool.store.fetch("echo", reader, slots, READS, hold_ms=hold_ms, depth=depth)
        simulated = self._queue.fetch(worker, slots, self._clock.ms, hold_ms, depth)
        real_requests = [self._requests[delivery.id] for delivery in real.deliveries]
        assert [r.number for r in real_requests] == [r.number for r in simulated.requests]
        assert real.more == simulated.more
        due = None if simulated.next_due is None else simulated.next_due - self._clock.ms
        assert real.next_due_ms == due
        self._running += zip([worker] * slots, real.deliveries, real_requests, strict=False)

    async def fail(self, index: int, backoff_ms: int) -> None:
        """Let one of those that run fail, to be tried again."""
        worker, delivery, request = self._running.pop(index % len(self._running))
        await self._pool.settle(delivery, "retry", instance=worker, backoff_ms=backoff_ms)
        self._queue.ended(request)
        request.tried.add(worker)
        self._queue.delay(request, self._clock.ms, min(self._clock.ms + backoff_ms, request.deadline))

    @property
    def running(self) -> int:
        return len(self._running)


@pytest.mark.parametrize("seed", range(8))
async def test_the_simulated_queue_and_the_scripts_give_the_same_to_the_same(
    seed: int, clock: Clock, pool: Pool
) -> None:
    rng = random.Random(seed)
    await pool.declare(bound=10_000)
    for worker in WORKERS:
        await pool.join(worker, echo=True)
    twins = Twins(pool, clock)
    for _ in range(120):
        what = rng.choices(["enqueue", "fetch", "fail", "wait"], [5, 4, 2, 2])[0]
        if what == "enqueue":
            for _ in range(rng.randint(1, 8)):
                await twins.enqueue(rng.choice(CLASSES), rng.choice([300, 5_000, 60_000, 60_000]))
        elif what == "fetch":
            hold_ms = rng.choice([0, 0, 1, 30, 200])
            await twins.fetch(
                rng.choice(WORKERS), rng.choice([1, 1, 2, 5, 30]), hold_ms, rng.choice([0, 2, 9])
            )
        elif what == "fail" and twins.running:
            await twins.fail(rng.randrange(1000), rng.choice([0, 50, 400]))
        else:
            await clock.forward(rng.choice([1, 20, 300]))
