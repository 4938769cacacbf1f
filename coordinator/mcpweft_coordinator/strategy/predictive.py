"""predictive: a slow server is used only where waiting for a faster one would take longer.

The slow-server rule. A request that a slow worker takes now ends after s_j. If it waits instead, the faster
ones (all i with s_i < s_j, rate μ = Σ c_i/s_i, mean service s_f = Σ c_i / μ) take the k-th in line after
about k/μ, so waiting is better while k/μ + s_f < s_j:

    gap_j = (s_j - s_f) · confidence_j,    hold_j = gap_j,    depth_j = gap_j · μ · shrink(load)

The optimum is a threshold on the length of the queue (Lin and Kumar, Optimal control of a queueing system
with two heterogeneous servers, IEEE Trans. Automatic Control 29(8), 1984; for more servers, Rykov 2001 and
Luh and Viniotis 2002). gap · μ is what is best for the request itself; taking one more off the queue also
helps those behind it, the more the fuller the system is. So the threshold shrinks with the load,

    shrink(load) = min(1, 6.5 (1 - load)²)

and is nothing at full load, where every server must work. (The form is ours, fitted in the simulator: what a
waiting request costs the others grows with 1/(1-load), and so does the number of those others.)

s_j is a forecast: Holt's linear trend (1957) over the measured mean service times, looked ahead to the
middle of the time for which the decision stands. How far it is believed is decided by its own past error:
confidence = 1 - (mean relative error of its forecasts) / 0.5, at least 0. So times that jump about, as they
do under a heavy tail, make no server look slow. One that has not answered for more than 10 s is known the
less with each second: its hold fades with e^(-(silence - 10 s) / 3 s), so it gets a request now and then,
which tells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.share import DEEPEST, EVEN, Share, lawful_hold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcpweft_coordinator.strategy.figures import Candidate, Figures, Shares

_LEVEL, _TREND, _ERROR = 0.5, 0.1, 0.1
"""What the newest figure weighs in the level, the trend and the mean error."""
_AHEAD = 1.0  # seconds
_HOPELESS = 0.5
_KNOWN, _FADES = 10.0, 3.0  # seconds
_CLEARLY = 2.0
"""A server must be slower than the faster ones by this factor to hold back: times that jump about differ by
chance, and a crew of equals in which half hold back wakes many for each request."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected of one server; seconds, and seconds per second."""

    level: float
    trend: float
    error: float
    """Mean relative error of the forecasts so far."""
    at: float

    @property
    def confidence(self) -> float:
        """How far the trend is believed, 0 to 1."""
        return max(0.0, 1 - self.error / _HOPELESS)

    def ahead(self, seconds: float) -> float:
        """Return the service time that is expected in so many seconds, between half and twice the level."""
        moved = self.level + self.confidence * self.trend * seconds
        return min(2 * self.level, max(self.level / 2, moved))

    def after(self, seen: float, now: float) -> Forecast:
        """Return the forecast once a figure has been seen."""
        passed = now - self.at
        if passed <= 0:
            return self
        expected = self.level + self.trend * passed
        level = max(expected + _LEVEL * (seen - expected), seen / 10)
        trend = self.trend + _TREND * ((level - self.level) / passed - self.trend)
        error = self.error + _ERROR * (abs(seen - self.ahead(passed)) / seen - self.error)
        return Forecast(level, trend, error, now)


def shrink(load: float | None) -> float:
    """Return the part of the threshold that is left at an offered load; all of it where that is unknown."""
    return 1.0 if load is None else min(1.0, 6.5 * max(0.0, 1 - load) ** 2)


def predictive(figures: Figures, memory: Any = None) -> tuple[Shares, Any]:
    """Hold each server back from what faster ones would answer sooner."""
    forecasts = _learn(figures, memory or {})
    service = {worker: forecast.ahead(_AHEAD) for worker, forecast in forecasts.items()}
    left = shrink(figures.load(service))
    shares = {each.worker: EVEN for each in figures.candidates}
    slots, rate = 0, 0.0
    known = sorted((each for each in figures.candidates if each.worker in service), key=_by(service))
    for own, equals in groupby(known, key=_by(service)):
        crew = list(equals)
        if slots and own >= _CLEARLY * slots / rate:
            for each in crew:
                shares[each.worker] = _share(each, own - slots / rate, rate * left, forecasts[each.worker])
        slots += sum(each.concurrency for each in crew)
        rate += sum(each.concurrency for each in crew) / own
    return shares, forecasts


def _by(service: Mapping[str, float]) -> Callable[[Candidate], float]:
    return lambda each: service[each.worker]


def _learn(figures: Figures, before: Mapping[str, Forecast]) -> dict[str, Forecast]:
    known = figures.known
    return {
        worker: before[worker].after(seen, figures.now)
        if worker in before
        else Forecast(seen, 0.0, 0.0, figures.now)
        for worker, seen in known.items()
    }


def _share(each: Candidate, gap: float, rate: float, forecast: Forecast) -> Share:
    """Return the share of one that is slower by `gap` than those who serve `rate` without it."""
    silence = max(0.0, (each.answered_ago or 0.0) - _KNOWN)
    held = gap * forecast.confidence * math.exp(-silence / _FADES)
    depth = int(held * rate)
    return Share(hold_ms=lawful_hold(1000 * held), depth=min(DEEPEST, depth)) if depth >= 1 else EVEN
