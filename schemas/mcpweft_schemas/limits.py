"""How much a server, and each of its tools, takes in the whole fleet: calls per second, and calls at a time.

    Limit(rate=10.0, most=3)    ten calls a second, in bursts of ten at most, and three at a time

A bucket holds one second's worth of calls, one at least, and fills with `rate`. So within t seconds no more
than rate * t + burst calls start. The scripts keep to it as they hand work out (`lua/_limits.lua`).

Above stand the configuration, which sets limits, and the worker, which registers them. This module must
never know a store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What one thing takes; None: as much as comes."""

    rate: float | None = None
    """Calls per second."""
    most: int | None = None
    """Calls at a time."""

    @property
    def burst(self) -> float:
        """How many calls may start at once after a pause."""
        return max(1.0, self.rate or 0.0)

    @property
    def told(self) -> str:
        """The limit as the scripts read it: `per_second burst most`; empty where there is none."""
        if self.rate is None and self.most is None:
            return ""
        return f"{self.rate or 0:.9g} {self.burst:.9g} {self.most or 0}"

    def part(self, parties: int) -> Limit:
        """Return what each of so many may take, so that all together never take more."""
        return Limit(
            rate=None if self.rate is None else self.rate / parties,
            most=None if self.most is None else max(1, self.most // parties),
        )


NONE = Limit()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one server in one pool."""

    server: Limit = NONE
    tools: Mapping[str, Limit] = field(default_factory=dict[str, Limit])
    """By tool."""

    @property
    def told(self) -> str:
        """What is told of the server as a whole."""
        return self.server.told

    def told_of_tool(self, tool: str) -> str:
        """Return what is told of a tool."""
        return self.tools.get(tool, NONE).told


UNLIMITED = Limits()
