"""What the server uses of its machine: processor time and memory.

A server may say it itself, beside any answer: `_meta: {"mcpweft/load": {"cpu": 0.7, "memory": 0.2}}`, each a
part of all that it has, 0 to 1. Else it is measured, of the whole process tree, where the server runs here
as a child: there one processor's time counts as all that it can use, for a server is one event loop as a
rule. Of a server behind a URL that says nothing, nobody can know, and a figure that nobody knows is None.

Above stands the report. Below is psutil. It must never touch the processes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY = 1.0
"""Seconds between two looks."""
FRESH = 10.0
"""Seconds for which what a server said of itself stands."""
LOAD = "mcpweft/load"


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
        """Part of its processor time that the server has used of late, 0 to 1."""
        self.memory: float | None = None
        """Part of the memory that it has in use, 0 to 1."""
        self._pid = pid
        self._clock = clock
        self._whole = psutil.virtual_memory().total
        self._before: Use | None = None
        self._heard = float("-inf")

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    def hear(self, meta: Any) -> None:
        """Take over what a server says of itself beside an answer, where it does."""
        told = _table(_table(meta).get(LOAD))
        if told:
            self.cpu, self.memory = _share(told.get("cpu")), _share(told.get("memory"))
            self._heard, self._before = self._clock(), None

    async def look(self) -> None:
        """Measure once, in a thread: a machine with many processes takes a while to list them."""
        if self._clock() - self._heard < FRESH:
            return
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


def _table(told: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def _share(told: Any) -> float | None:
    lawful = isinstance(told, int | float) and not isinstance(told, bool) and 0 <= told <= 1
    return float(told) if lawful else None


def _part(before: Use, now: Use) -> float | None:
    passed = now.at - before.at
    if passed <= 0 or not before.cpu.keys() & now.cpu.keys():  # another process: nothing to compare with
        return None
    seconds = sum(spent - before.cpu.get(pid, 0.0) for pid, spent in now.cpu.items())
    return min(1.0, max(0.0, seconds / passed))
