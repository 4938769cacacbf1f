"""When to go to the fabric, when round it: what is remembered of one capability's failures.

    there ──the fabric could not serve──▶ away until t ──t is past: one query tries──▶ there, or away longer

While the fabric is away, queries go straight to the fallback. Once the pause is over, one of them asks both
and tells which answered; the pause doubles with each try that fails. Above stands the client. Decisions only:
this module must never ask anybody anything. Times are seconds of any clock that only grows.
"""

from __future__ import annotations

from enum import Enum

FIRST, LONGEST = 0.5, 15.0
"""Seconds until the fabric is tried again, after one failure and after many."""


class Way(Enum):
    """Whom to ask."""

    FABRIC = "fabric"
    """The fabric; the fallback if it cannot serve."""
    BOTH = "both"
    """Both at once: the answer is the first one, and the fabric is known again."""
    FALLBACK = "fallback"
    """The fallback alone."""


class Detour:
    """Of one capability."""

    def __init__(self, first: float = FIRST, longest: float = LONGEST) -> None:
        self._first, self._longest = first, longest
        self._pause = 0.0
        self._until = 0.0
        self._trying = False
        self.reason = ""
        """Why the fabric is away; empty where it is not."""

    def way(self, now: float) -> Way:
        """Return whom the next query asks. After BOTH, `served`, `failed` or `dropped` must be told."""
        if not self.reason:
            return Way.FABRIC
        if self._trying or now < self._until:
            return Way.FALLBACK
        self._trying = True
        return Way.BOTH

    def served(self) -> None:
        """Hear that the fabric answered."""
        self._pause, self._trying, self.reason = 0.0, False, ""

    def failed(self, now: float, reason: str, *, after: float = 0.0) -> None:
        """Hear that the fabric could not serve, and that it is not worth a try for `after` seconds."""
        if not self.reason or self._trying:
            self._pause = min(self._longest, max(self._first, 2 * self._pause))
        self._until = now + max(self._pause, min(after, self._longest))
        self._trying, self.reason = False, reason

    def dropped(self) -> None:
        """Hear that a try was given up before it told anything."""
        self._trying = False
