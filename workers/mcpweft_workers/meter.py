"""What the server's processes use of the machine: processor time and memory, of the whole tree.

Only where the server runs here, as a child: what a server behind a URL uses, nobody here can know, and a
figure that nobody knows is None. A server is one event loop as a rule, so one processor's time counts as all
that it can use.

Above stands the report. Below is psutil. It must never touch the processes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY = 1.0
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a process tree has used up to a moment."""

    at: float
    cpu: dict[int, float]
    """Seconds of processor time, by process."""
    memory: int
    """Bytes that are resident, of all."""


class Meter:
    """The figures of one server; `run` is its owner task."""

    def __init__(self, pid: Callable[[], int | None], clock: Callable[[], float]) -> None:
        self.cpu: float | None = None
        """Part of one processor that the server used between the last two looks, 0 to 1."""
        self.memory: float | None = None
        """Part of the machine's memory that it has, 0 to 1."""
        self._pid = pid
        self._clock = clock
        self._whole = psutil.virtual_memory().total
        self._before: Use | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Measure once, in a thread: a machine with many processes takes a while to list them."""
        pid = self._pid()
        use = None if pid is None else await asyncio.to_thread(used, pid, self._clock())
        self.memory = None if use is None else min(1.0, use.memory / self._whole)
        self.cpu = None if use is None or self._before is None else _part(self._before, use)
        self._before = use


def used(pid: int, at: float) -> Use | None:
    """Return what a process and its descendants have used; None where it is gone or not to be seen."""
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return None
    cpu: dict[int, float] = {}
    memory = 0
    for process in tree:
        try:
            with process.oneshot():
                times = process.cpu_times()
                memory += process.memory_info().rss
            cpu[process.pid] = times.user + times.system
        except psutil.Error:  # it has just ended
            continue
    return Use(at, cpu, memory) if cpu else None


def _part(before: Use, now: Use) -> float | None:
    passed = now.at - before.at
    if passed <= 0 or not before.cpu.keys() & now.cpu.keys():  # another process: nothing to compare with
        return None
    seconds = sum(spent - before.cpu.get(pid, 0.0) for pid, spent in now.cpu.items())
    return min(1.0, max(0.0, seconds / passed))
