"""What ended in a pool in the last half a minute to a minute, from its counters and two pictures of them.

Each end of a request counts its state, and its time from acceptance on (`took`). Each half a minute the sweep
keeps a picture of these counters beside the one before (`sweep.lua`), so what has ended since the older of
the two is a difference. Plain arithmetic on a pool's `stat`.

Above stand those who show figures. This module must never guess: what nobody knows is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_COUNTED = ("done", "dead", "cancelled", "expired", "took")
_LONGEST_MS = 90_000
"""An older picture is no recent one: nobody has swept for so long."""


@dataclass(frozen=True, slots=True)
class Recent:
    """What ended in the window."""

    ended: int = 0
    """Requests, however they ended."""
    unanswered: int = 0
    """Those of them that ended as dead letters or because their time was over."""
    took_ms: int = 0
    """From acceptance to outcome, of all of them together."""

    @classmethod
    def read(cls, stat: Mapping[str, str], now_ms: int) -> Self | None:
        """Read a pool's counters; None where nobody keeps the window."""
        older = stat.get("recent", "").partition(" | ")[0].split()
        if len(older) != 1 + len(_COUNTED) or now_ms - int(older[0]) > _LONGEST_MS:
            return None
        pairs = zip(_COUNTED, older[1:], strict=True)
        done, dead, cancelled, expired, took = (int(stat.get(name, 0)) - int(was) for name, was in pairs)
        return cls(done + dead + cancelled + expired, dead + expired, took)

    @classmethod
    def sum(cls, parts: Iterable[Self | None]) -> Self | None:
        """Return all that is known as one; None where nothing is."""
        known = [part for part in parts if part is not None]
        if not known:
            return None
        return cls(
            sum(part.ended for part in known),
            sum(part.unanswered for part in known),
            sum(part.took_ms for part in known),
        )

    @property
    def mean_ms(self) -> float | None:
        """The mean time from acceptance to outcome; None where nothing ended."""
        return self.took_ms / self.ended if self.ended else None

    @property
    def error_rate(self) -> float | None:
        """The part of them that ended without an answer; None where nothing ended."""
        return self.unanswered / self.ended if self.ended else None
