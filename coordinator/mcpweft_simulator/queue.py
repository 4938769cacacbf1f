"""One pool's queue in virtual time: what the scripts do with streams, here with deques.

It follows docs/protocol.md as the scripts do, as far as order is concerned: which request goes to whom, and
when; a test holds it against the scripts on the same scenarios. Above stands the simulated pool. It must
never know a clock: `now` is an argument, in any unit.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush

WEIGHT = (8, 4, 2, 1)
READS = 50
LOOK = 64
CLASSES = len(WEIGHT)


@dataclass(slots=True, eq=False)
class Request:
    """One request, with the marks that its way leaves on it."""

    number: int
    accepted: float
    klass: int = 2
    """0 critical, 1 high, 2 normal, 3 low."""
    deadline: float = float("inf")
    max_attempts: int = 3
    attempt: int = 0
    ready: float = 0.0
    """Since when it has waited for just anybody."""
    tried: set[str] = field(default_factory=set[str])
    again: float = 0.0
    """When those that tried it may have it again."""
    pool: str = ""
    leased: bool = False
    """Whether its entry lies in the stream of its class while it runs."""


@dataclass(slots=True)
class Taken:
    """What one fetch gave."""

    requests: list[Request]
    more: bool
    """Whether work is left that somebody could take now."""
    next_due: float | None
    """When there is something that this worker may take, as far as that is known."""


class Queue:
    """The requests of one pool that nobody runs."""

    def __init__(self) -> None:
        self.classes: tuple[deque[Request], ...] = (deque(), deque(), deque(), deque())
        self.expired: list[Request] = []
        """Requests that a fetch found too late; whoever looks empties it."""
        self.waiting = 0
        self._at = 0
        self._turn = [0, 0, 0, 0]
        self._leased = [0, 0, 0, 0]  # a stream is as long as what waits in it and what runs
        self._delayed: list[tuple[float, int, Request]] = []

    def __len__(self) -> int:
        return self.waiting + len(self._delayed)

    def add(self, request: Request, now: float) -> None:
        """Take a new request in."""
        request.ready = now
        self.classes[request.klass].append(request)
        self.waiting += 1

    def delay(self, request: Request, due: float, again: float) -> None:
        """Take a failed one back: from `due` on for others, from `again` on for those that tried it."""
        request.again = again
        heappush(self._delayed, (due, request.number, request))

    def ended(self, request: Request) -> None:
        """Hear that a delivery has ended, however it did."""
        if request.leased:
            request.leased = False
            self._leased[request.klass] -= 1

    def fetch(self, instance: str, slots: int, now: float, hold: float = 0.0, depth: int = 0) -> Taken:
        """Hand out up to `slots` requests, those that wait for a time first."""
        taken = Taken([], more=False, next_due=None)
        left = self._due(taken, instance, slots, now)
        taken.more = self._new(taken, slots, now, (hold, depth)) or left
        if hold > 0:
            for line in self.classes:
                if line:
                    self._sooner(taken, line[0].ready + hold, now)
        if self._delayed:
            self._sooner(taken, self._delayed[0][0], now)
        return taken

    @staticmethod
    def _sooner(taken: Taken, at: float, now: float) -> None:
        if at > now and (taken.next_due is None or at < taken.next_due):
            taken.next_due = at

    def _due(self, taken: Taken, instance: str, slots: int, now: float) -> bool:
        """Take what is due; return whether some of it was left for want of slots."""
        kept: list[tuple[float, int, Request]] = []
        left = False
        while self._delayed and self._delayed[0][0] <= now and len(kept) < LOOK:
            if len(taken.requests) >= slots:
                left = True
                break
            item = heappop(self._delayed)
            request = item[2]
            if request.deadline <= now:
                self.expired.append(request)
            elif instance in request.tried and now < request.again:
                self._sooner(taken, request.again, now)
                kept.append(item)
            else:
                self._start(taken, request)
        for item in kept:
            heappush(self._delayed, item)
        return left

    def _ripe(self, line: deque[Request], most: int, now: float, hold: float, depth: int) -> int:
        """Return how many of a class a worker with a hold may take: ripe, or beyond `depth`."""
        old = 0
        for request in line:
            if old == most or request.ready + hold > now:
                break
            old += 1
        return min(most, max(old, self.waiting - depth))

    def _new(self, taken: Taken, slots: int, now: float, holding: tuple[float, int]) -> bool:
        """Deficit round robin over the classes, as fetch.lua does it; return whether something is left."""
        reads, dry = 0, 0
        empty = [False] * CLASSES
        turn = list(self._turn)
        for which in range(CLASSES):
            if not len(self.classes[which]) + self._leased[which]:
                empty[which] = True
                turn[which] = 0
                dry += 1
        at = self._at
        while len(taken.requests) < slots and reads < READS and dry < CLASSES:
            if not empty[at]:
                if turn[at] <= 0:
                    turn[at] = WEIGHT[at]
                most = turn[at] if dry < CLASSES - 1 else READS
                want = min(slots - len(taken.requests), most, READS - reads)
                got = self._read(taken, at, want, now, holding)
                reads += got
                if got < want:
                    turn[at], empty[at] = 0, True
                    dry += 1
                else:
                    turn[at] = max(0, turn[at] - got)
            if turn[at] <= 0:
                at = (at + 1) % CLASSES
        if reads:
            self._at, self._turn = at, turn
        return dry < CLASSES and self.waiting > 0

    def _read(self, taken: Taken, which: int, want: int, now: float, holding: tuple[float, int]) -> int:
        line = self.classes[which]
        hold, depth = holding
        count = min(want, len(line)) if hold <= 0 else self._ripe(line, want, now, hold, depth)
        count = min(count, len(line))
        for _ in range(count):
            request = line.popleft()
            if request.deadline <= now:
                self.expired.append(request)
            else:
                request.leased = True
                self._leased[which] += 1
                self._start(taken, request)
        self.waiting -= count
        return count

    @staticmethod
    def _start(taken: Taken, request: Request) -> None:
        request.attempt += 1
        taken.requests.append(request)
