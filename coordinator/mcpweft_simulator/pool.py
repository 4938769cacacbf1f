"""A simulated pool: its queue, its bell, who waits for work, and what came of each request.

Above stands the fleet; below, the queue. The bell wakes who has waited longest, as BZPOPMIN does; workers
with a hold watch without popping it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcpweft_simulator.queue import Queue, Request

if TYPE_CHECKING:
    from mcpweft_simulator.clockwork import Clockwork
    from mcpweft_simulator.worker import Worker


@dataclass(slots=True)
class Ended:
    """What became of one request."""

    accepted: float
    took: float
    klass: int
    worker: str
    ok: bool


@dataclass(slots=True)
class Ledger:
    """All that ended."""

    ended: list[Ended] = field(default_factory=list[Ended])
    accepted: int = 0

    def times(self, start: float = 0.0, end: float = float("inf"), klass: int | None = None) -> list[float]:
        """Return how long those took, in seconds, sorted, that were accepted in that span and answered."""
        return sorted(
            each.took
            for each in self.ended
            if each.ok and start <= each.accepted < end and klass in {None, each.klass}
        )


class Pool:
    """One pool."""

    def __init__(self, name: str, clock: Clockwork) -> None:
        self.name = name
        self.queue = Queue()
        self.ledger = Ledger()
        self._clock = clock
        self._token = False
        self._waiting: deque[Worker] = deque()
        self._watching: dict[Worker, None] = {}

    def accept(self, request: Request) -> None:
        """Take a request in."""
        request.pool = self.name
        self.ledger.accepted += 1
        self.queue.add(request, self._clock.now)
        self._tell()

    def _tell(self) -> None:
        self.ring()
        for worker in list(self._watching):
            worker.seen(self)

    def ring(self) -> None:
        """Wake one who waits; the token stays where nobody can follow it."""
        for _ in range(len(self._waiting)):
            if self._waiting.popleft().rung(self):
                return
        self._token = True

    def wait(self, worker: Worker, *, holds: bool) -> None:
        """Let a worker wait for work."""
        if holds:
            self._watching[worker] = None
        elif worker not in self._waiting:
            self._waiting.append(worker)
            if self._token and self.queue.waiting:
                self._token = False
                self._clock.at(self._clock.now, self.ring)

    def forget(self, worker: Worker) -> None:
        """Let a worker wait no longer."""
        self._watching.pop(worker, None)
        if worker in self._waiting:
            self._waiting.remove(worker)

    def settle(self, request: Request, worker: Worker, *, success: bool, again: float) -> None:
        """End a delivery: with an answer, another try, or a dead letter."""
        self.queue.ended(request)
        if success or request.attempt >= request.max_attempts:
            self._end(request, worker.name, ok=success)
        else:
            request.tried.add(worker.name)
            self.give_back(request, again)

    def give_back(self, request: Request, again: float) -> None:
        """Let others have a request at once."""
        self.queue.delay(request, self._clock.now, again)
        self._clock.at(self._clock.now, self._tell)
        if again > self._clock.now:
            self._clock.at(again + 1e-6, self._tell)

    def end_late(self) -> None:
        """End what a fetch found too late."""
        for request in self.queue.expired:
            self._end(request, "", ok=False)
        self.queue.expired.clear()

    def _end(self, request: Request, worker: str, *, ok: bool) -> None:
        now = self._clock.now
        self.ledger.ended.append(
            Ended(request.accepted, now - request.accepted, request.klass, worker, ok=ok)
        )
