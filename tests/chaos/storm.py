"""A storm over a fabric: calls by the thousand, a blow a second, and what the logs prove of it in the end.

    verdict = await storm(requests=100_000, seed=1, folder=Path("…"), server=server)

Four producers, eight workers of two pools, two coordinators, each a process of its own. The same seed deals
the same blows and makes the same calls; who is hit by them, and when, is up to the machine. Above stand
`scripts/bench chaos` and a short run among the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import checker
from chaos import recovery
from chaos.arena import Arena
from chaos.blows import DEAL
from chaos.load import Feed, calls
from chaos.plan import plan
from faults.fabric import Fabric
from proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import realredis
    from chaos.plan import Blow

POOLS = ("echo", "twin")
_LOOK = 0.05  # seconds between two looks at what has ended
END_WITHIN = 120.0
"""Seconds from the last call's start until all of them must have ended: what is left then hangs."""


@dataclass(slots=True)
class Verdict:
    """What a storm came to."""

    requests: int
    seconds: float
    violations: dict[str, list[str]]
    """By kind, a sentence each; every kind is there."""
    blows: Counter[str]
    recovery: dict[str, list[float]]
    """Seconds, by kind of blow; see recovery.py."""
    codes: Counter[str] = field(default_factory=Counter[str])
    """How the requests ended, by their code."""


class _Record:
    """The blows that were dealt: kind, and when it was over."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.over: list[tuple[str, float]] = []
        self._tell = tell

    async def deal(self, arena: Arena, blow: Blow) -> None:
        self._tell(f"{blow.kind} {f'for {blow.span:.1f} s' if blow.span else ''}")
        await DEAL[blow.kind](arena, blow)
        self.over.append((blow.kind, time.time()))  # as the producers' logs tell it


async def storm(
    *,
    requests: int,
    seed: int,
    folder: Path,
    server: realredis.RedisServer,
    mean: float = 1.0,
    least: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Let it break over a fabric until so many requests were made, and at least so many blows were dealt.

    `mean`: seconds from blow to blow. `tell` hears of each blow.
    """
    began = time.monotonic()
    record = _Record(tell)
    async with Proxy(server.url) as proxy, Fabric(server.url, f"storm{seed}", folder, POOLS) as fabric:
        arena = Arena(fabric, server, proxy, Feed(calls(seed, POOLS), requests))
        await arena.ready()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(arena.orphans.watch())
            blowing = group.create_task(_blow(arena, record, seed, mean))
            while not (arena.feed.over and len(record.over) >= least):
                arena.feed.tend(arena.calling)
                arena.tend()
                await asyncio.sleep(_LOOK)
            blowing.cancel()
            await asyncio.wait([blowing])
            await arena.calm()
            with contextlib.suppress(AssertionError):  # what still waits is found by the checker
                await fabric.finish(END_WITHIN)
            watching.cancel()
        await arena.orphans.look()
        evidence = await fabric.evidence(arena.orphans.seen.values())
        logs = [producer.log_lines.all() for producer in fabric.producers]
    return Verdict(
        requests=arena.feed.handed,
        seconds=time.monotonic() - began,
        violations=checker.violations(evidence),
        blows=Counter(kind for kind, _ in record.over),
        recovery=recovery.recoveries(record.over, recovery.answered(logs)),
        codes=Counter(outcome.code for outcome in evidence.outcomes),
    )


async def _blow(arena: Arena, record: _Record, seed: int, mean: float) -> None:
    """Deal blows until cancelled; those under way are dealt to their end."""
    async with asyncio.TaskGroup() as under_way:
        try:
            for blow in plan(seed, mean):
                await asyncio.sleep(blow.after)
                under_way.create_task(record.deal(arena, blow), name=str(blow.kind))
        except asyncio.CancelledError:
            pass  # told to deal no more; a group that is cancelled would leave processes stopped
