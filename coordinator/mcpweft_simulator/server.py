"""A simulated MCP server: how long a call takes, what calls do to each other, and how it fails.

Above stands the simulated worker. Below: the clockwork. It must never know of queues.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from mcpweft_simulator.clockwork import Clockwork

_NOTHING = 1e-9  # seconds of work that are none
Work = "Callable[[random.Random, float], float]"
"""Draws the seconds of work of a call that starts at a moment."""


def exactly(seconds: float) -> Callable[[random.Random, float], float]:
    """Return work that always takes the same."""
    return lambda _rng, _now: seconds


def exponential(mean: float) -> Callable[[random.Random, float], float]:
    """Return work that is distributed exponentially."""
    return lambda rng, _now: rng.expovariate(1 / mean)


def lognormal(mean: float, sigma: float) -> Callable[[random.Random, float], float]:
    """Return work with a heavy tail: lognormal with that mean, `sigma` of the logarithm."""
    mu = math.log(mean) - sigma * sigma / 2
    return lambda rng, _now: rng.lognormvariate(mu, sigma)


def drifting(*points: tuple[float, float]) -> Callable[[random.Random, float], float]:
    """Return work that goes in straight lines through (moment, seconds), and stays as at the ends."""

    def work(_rng: random.Random, now: float) -> float:
        before = points[0]
        for point in points:
            if now < point[0]:
                span = point[0] - before[0]
                return point[1] if not span else before[1] + (point[1] - before[1]) * (now - before[0]) / span
            before = point
        return points[-1][1]

    return work


class Answer(StrEnum):
    """How a call ended."""

    OK = "ok"
    """With an answer."""
    FAILURE = "failure"
    """The server died, or its answer is no answer."""


class Trouble(StrEnum):
    """How a server fails."""

    CRASH = "crash"
    """Calls fail at once, those in flight too; it takes none until it is over."""
    HANG = "hang"
    """No call ends."""
    SLOW = "slow"
    """Calls take `size` times as long."""
    ERRORS = "errors"
    """Calls fail with the probability `size`, at their end."""


@dataclass(frozen=True, slots=True)
class Episode:
    """A time of trouble, from `start` until `end`."""

    kind: Trouble
    start: float
    end: float
    size: float = 1.0


def flapping(start: float, end: float, *, down: float, up: float) -> Iterator[Episode]:
    """Yield crashes of `down` seconds with `up` seconds between them."""
    at = start
    while at < end:
        yield Episode(Trouble.CRASH, at, min(end, at + down))
        at += down + up


class Call:
    """One call under way."""

    __slots__ = ("done", "left", "started")

    def __init__(self, left: float, started: float, done: Callable[[Answer], None]) -> None:
        self.left = left
        self.started = started
        self.done: Callable[[Answer], None] | None = done
        """Told once how the call ended; None afterwards, or when nobody listens any more."""


class Server:
    """One server; `cores` says how many calls run at full speed, None that calls never disturb each other."""

    def __init__(
        self,
        name: str,
        clock: Clockwork,
        rng: random.Random,
        work: Callable[[random.Random, float], float],
        *,
        cores: float | None = None,
        burn: float = 0.0,
        episodes: tuple[Episode, ...] = (),
    ) -> None:
        self.name = name
        self.calls = 0
        """Begun here: the ground truth."""
        self._clock = clock
        self._rng = rng
        self._work = work
        self._cores = cores
        self._burn = burn  # the part of its cores that something else takes
        self._episodes = episodes
        self._running: list[Call] = []
        self._since = 0.0
        self._turn = 0
        self._busy = 0.0
        for episode in episodes:
            if episode.kind is Trouble.CRASH:
                clock.at(episode.start, self._crash)

    def trouble(self, kind: Trouble) -> Episode | None:
        """Return the trouble of that kind that it is in."""
        now = self._clock.now
        for episode in self._episodes:
            if episode.kind is kind and episode.start <= now < episode.end:
                return episode
        return None

    def begin(self, done: Callable[[Answer], None]) -> Call:
        """Begin a call; `done` is told how it ended."""
        self.calls += 1
        now = self._clock.now
        work = self._work(self._rng, now)
        if self._episodes and (slow := self.trouble(Trouble.SLOW)):
            work *= slow.size
        call = Call(work, now, done)
        if self._episodes and self.trouble(Trouble.CRASH):
            self._clock.at(now, self._end, call, Answer.FAILURE)
        elif self._cores is None:
            if self._episodes:
                self._running.append(call)
            self._clock.at(now + work, self._finish, call)
        else:
            self._advance()
            self._running.append(call)
            self._plan()
        return call

    def drop(self, call: Call) -> None:
        """Stop listening to a call: cancelled, or its worker is gone."""
        call.done = None
        if call in self._running:
            self._advance()
            self._running.remove(call)
            self._plan()

    def cpu(self, since: float) -> float | None:
        """Return the part of its processor time used since `since`; None where it has none to share."""
        if self._cores is None:
            return None
        self._advance()
        used, self._busy = self._busy, 0.0
        return min(1.0, self._burn + used / max(1e-9, self._clock.now - since) / self._cores)

    # --- its end

    def _finish(self, call: Call) -> None:
        if call.done is None:
            return
        if self._episodes:
            if hang := self.trouble(Trouble.HANG):
                self._clock.at(hang.end, self._finish, call)
                return
            errors = self.trouble(Trouble.ERRORS)
            if call in self._running:
                self._running.remove(call)
            if errors and self._rng.random() < errors.size:
                self._end(call, Answer.FAILURE)
                return
        self._end(call, Answer.OK)

    @staticmethod
    def _end(call: Call, answer: Answer) -> None:
        if call.done is not None:
            done, call.done = call.done, None
            done(answer)

    def _crash(self) -> None:
        self._advance()
        running, self._running = self._running, []
        for call in running:
            self._end(call, Answer.FAILURE)

    # --- calls that share its cores (processor sharing)

    @property
    def _speed(self) -> float:
        """How fast each call goes on; 1 is full speed."""
        if self._cores is None:
            return 1.0
        return min(1.0, self._cores * (1 - self._burn) / max(1, len(self._running)))

    def _advance(self) -> None:
        now = self._clock.now
        if self._cores is not None and self._running:
            done = (now - self._since) * self._speed
            self._busy += done * len(self._running)
            for call in self._running:
                call.left -= done
        self._since = now

    def _plan(self) -> None:
        self._turn += 1
        if self._cores is not None and self._running:
            first = min(call.left for call in self._running)
            self._clock.after(max(0.0, first) / self._speed, self._look, self._turn)

    def _look(self, turn: int) -> None:
        if turn != self._turn:
            return
        self._advance()
        ended = [call for call in self._running if call.left <= _NOTHING]
        self._running = [call for call in self._running if call.left > _NOTHING]
        self._plan()
        for call in ended:
            self._finish(call)
