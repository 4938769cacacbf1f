"""The calls of a storm, drawn from a seed, and the window in which each producer makes them.

Mixed: safe and unsafe, quick and slow, all priorities, three tenants, short deadlines, delays, cancels,
progress, and idempotency keys that two producers use at once. Above stands the storm; below are `calling`
and the producers' standard input.
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from typing import TYPE_CHECKING, Any

from faults import calling

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from faults.fabric import Producer

WINDOW = 48
"""Calls that a producer has open at most."""
Call = dict[str, Any]


def calls(seed: int, pools: Sequence[str]) -> Iterator[Call]:
    """Draw calls without end; one with an idempotency key is to be made by two producers."""
    rng = random.Random(seed)
    for number in itertools.count(1):
        pool = rng.choice(pools)
        tool = rng.choice(["echo", "ask", "ask", "say", "say", "say", "fail"])
        how = rng.choices(["call", "submit", "cancel", "progress", "inspect"], [60, 25, 6, 5, 4])[0]
        nonce = f"c{number:06}.{pool}.{tool}"
        options: dict[str, Any] = {"priority": rng.randint(0, 10), "tenant": rng.choice(["", "red", "blue"])}
        options |= _extras(rng, nonce, how)
        yield calling.made(nonce, pool, tool, how=how, ms=rng.uniform(1, 30), **options)


def _extras(rng: random.Random, nonce: str, how: str) -> dict[str, Any]:
    chance = rng.random()
    if chance < 0.06:
        return {"timeout": round(rng.uniform(0.3, 3.0), 2)}
    if chance < 0.09:
        return {"delay": round(rng.uniform(0.05, 1.5), 2)}
    if chance < 0.12:
        return {"start_within": round(rng.uniform(0.5, 5.0), 2)}
    if chance < 0.18 and how in {"call", "submit"}:
        return {"idempotency_key": nonce}
    return {}


class Feed:
    """Hands calls to producers as far as each has room, until so many were handed out."""

    def __init__(self, drawn: Iterator[Call], most: int) -> None:
        self.most = most
        self.handed = 0
        """Requests handed out; a key that two producers use is one."""
        self._drawn = drawn
        self._open: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._shared: deque[tuple[str, Call]] = deque()

    @property
    def over(self) -> bool:
        """Whether all were handed out."""
        return self.handed >= self.most and not self._shared

    def tend(self, producers: Iterable[Producer]) -> None:
        """Look at what has ended, and hand out as many anew."""
        for producer in producers:
            room = WINDOW - self.open(producer)
            calls = [call for _ in range(room) if (call := self._next(producer.name)) is not None]
            if calls:
                self.give(producer, calls)

    def give(self, producer: Producer, calls: Sequence[Mapping[str, Any]]) -> None:
        """Hand these to one producer."""
        self._open[producer.name] = self._open.get(producer.name, 0) + len(calls)
        producer.tell(calls)

    def open(self, producer: Producer) -> int:
        """Return how many of a producer's calls have not ended."""
        events = producer.log_lines.all()
        fresh = events[self._seen.get(producer.name, 0) :]
        self._seen[producer.name] = len(events)
        ended = sum(event["event"] == "outcome" for event in fresh)
        self._open[producer.name] = self._open.get(producer.name, 0) - ended
        return self._open[producer.name]

    def _next(self, producer: str) -> Call | None:
        if self._shared and self._shared[0][0] != producer:
            return self._shared.popleft()[1]
        if self.handed >= self.most:
            return None
        call = next(self._drawn)
        self.handed += 1
        if "idempotency_key" in call["options"]:
            self._shared.append((producer, call | {"how": "call"}))
        return call
