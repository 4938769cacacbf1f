"""A window over calls: how many ended lately, how many of them failed, how many were slow.

Above stands the breaker. Nothing stands below. It must never know what the figures are for, nor what time
it is: `now` is an argument, in seconds on any clock that only grows.
"""

from __future__ import annotations

import math
from collections import deque

CELLS = 30
"""Cells of a window by time: memory is bounded by them, and its far edge moves by one of them at a time."""


class Window:
    """Running sums over the last `size` calls if `size` is given, else over the last `span` seconds."""

    def __init__(self, span: float, size: int | None = None) -> None:
        self._by_time = size is None
        self._size = size or CELLS
        self._width = span / CELLS
        self._cells: deque[tuple[int, int, int, int]] = deque()  # place, calls, failures, slow
        self._place = 0  # of the newest cell: a count of calls, or of widths since time 0
        self.calls = 0
        self.failures = 0
        self.slow = 0

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count a call that ended at `now`."""
        self.move(now)
        if not self._by_time:
            self._place += 1
        calls = failures = slows = 0
        if self._cells and self._cells[-1][0] == self._place:
            _, calls, failures, slows = self._cells.pop()
        self._cells.append((self._place, calls + 1, failures + failed, slows + slow))
        self._sum(1, int(failed), int(slow))
        self._drop()

    def move(self, now: float) -> None:
        """Forget what is too old at `now`."""
        if self._by_time:
            self._place = max(self._place, math.floor(now / self._width))
            self._drop()

    def _drop(self) -> None:
        while self._cells and self._cells[0][0] <= self._place - self._size:
            _, calls, failures, slow = self._cells.popleft()
            self._sum(-calls, -failures, -slow)

    def _sum(self, calls: int, failures: int, slow: int) -> None:
        self.calls += calls
        self.failures += failures
        self.slow += slow
