"""When a breaker trips and how it recovers: the figures, each held to its range.

Above stand the plan, which fills it from the configuration, and the breaker. Below is nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When to trip and how to recover; times in seconds, rates from 0 to 1. None switches a rule off.

    A threshold trips when it is reached (≥). Rates count over the window, once it holds `minimum_calls`.
    """

    window: float = 300.0
    """Span of the window by time."""
    window_calls: int | None = None
    """If given, the window is the last so many calls instead."""
    minimum_calls: int = 10
    consecutive_failures: int | None = 5
    failure_rate: float | None = 0.5
    slow_after: float = 10.0
    """A call that takes this long, however it ends, is slow."""
    slow_rate: float | None = None
    """Off by default: a tool may be slow by nature. When on, a slow probe fails."""
    recovery: float = 60.0
    """The first wait; it grows by `growth` with each failed recovery, up to `longest_recovery`."""
    growth: float = 2.0
    longest_recovery: float = 600.0
    jitter: float = 0.1
    """Each wait is longer by a random part of itself, up to this: the fleet must not probe in step."""
    probes: int = 3
    """At most so many probes at a time."""
    successes: int = 3
    """So many probes must succeed to close."""
    probe_life: float = 60.0
    """A probe that has not reported by then makes room for another: its worker may be gone."""

    def __post_init__(self) -> None:
        """Check each figure's range; ValueError names the first that is out of it."""
        for name in (
            "window",
            "minimum_calls",
            "slow_after",
            "recovery",
            "probes",
            "successes",
            "probe_life",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be above 0")
        for name in ("window_calls", "consecutive_failures", "failure_rate", "slow_rate"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"{name} is {value}, but must be above 0, or none to switch it off")
            if value is not None and name.endswith("rate") and value > 1:
                raise ValueError(f"{name} is {value}, but must be 1 at most")
        for name, floor in (("growth", 1), ("longest_recovery", self.recovery), ("jitter", 0)):
            if not getattr(self, name) >= floor:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least {floor}")
        if self.window_calls is not None and self.window_calls < self.minimum_calls:
            raise ValueError(
                f"minimum_calls is {self.minimum_calls}, but window_calls holds {self.window_calls} only"
            )
