"""A queue with a number of servers that a policy chooses: virtual seconds, seeded chance, the real decision.

Above stand the tests of scaling. Each step is a second of one pool: requests come, workers that have started
take what waits, calls end; then `decide` is asked, and what it wants is started or let go.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcpweft_coordinator.scaling import Memory, Policy, Snapshot, decide

if TYPE_CHECKING:
    from collections.abc import Callable

_STEP = 0.25
"""Seconds of one step inside a second: a call may be shorter than a second."""


@dataclass
class Run:
    """What came out: a value a second."""

    wanted: list[int] = field(default_factory=list[int])
    wait: list[float] = field(default_factory=list[float])
    """The age of the oldest request that waits, seconds."""
    served: int = 0

    @property
    def changes(self) -> list[tuple[int, int]]:
        """(second, by how much) of each change."""
        pairs = zip(self.wanted, self.wanted[1:], strict=False)
        return [(at + 1, after - before) for at, (before, after) in enumerate(pairs) if after != before]

    def calm_after(self, second: int, target: float) -> int:
        """Return how many seconds after `second` the wait was over the target for the last time."""
        late = [at for at, wait in enumerate(self.wait) if at >= second and wait > target]
        return late[-1] - second + 1 if late else 0


@dataclass
class Model:
    """A server whose workers have `slots` slots and calls of `service` seconds, fixed or exponential."""

    rate: Callable[[int], float]
    """Second → requests a second."""
    slots: int = 4
    service: float = 1.0
    start_s: float = 2.0
    exponential: bool = True
    rng: random.Random = field(default_factory=lambda: random.Random(11))

    def run(self, policy: Policy, seconds: int, first: int | None = None) -> Run:
        """Play so many seconds."""
        run, memory = Run(), Memory(policy.least if first is None else first, 0.0)
        workers = [0.0] * memory.wanted  # when each is ready
        waiting: deque[float] = deque()
        calls: list[float] = []  # when each ends
        accepted = ended = 0
        for second in range(seconds):
            for step in range(int(1 / _STEP)):
                now = second + step * _STEP
                count = self._poisson(self.rate(second) * _STEP)
                accepted += count
                waiting.extend([now] * count)
                left = [end for end in calls if end > now]
                ended += len(calls) - len(left)
                calls = left
                free = self.slots * sum(ready <= now for ready in workers) - len(calls)
                for _ in range(min(max(0, free), len(waiting))):
                    waiting.popleft()
                    run.served += 1
                    calls.append(now + self._time())
            ready = sum(at <= second for at in workers)
            seen = Snapshot(
                waiting=len(waiting), running=len(calls), busy=len(calls), ready=ready,
                per_worker=self.slots, accepted=accepted, ended=ended,
            )  # fmt: skip
            memory = decide(seen, policy, memory, float(second)).memory
            workers = sorted(workers)[: memory.wanted]  # who is still starting is let go first
            workers += [second + self.start_s] * (memory.wanted - len(workers))
            run.wanted.append(memory.wanted)
            run.wait.append(second - waiting[0] if waiting else 0.0)
        return run

    def _time(self) -> float:
        return self.rng.expovariate(1 / self.service) if self.exponential else self.service

    def _poisson(self, mean: float) -> int:
        count, left = 0, self.rng.expovariate(1.0)
        while left < mean:
            count += 1
            left += self.rng.expovariate(1.0)
        return count
