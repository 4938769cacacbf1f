"""From what is known of a load and its servers to a preset: the keys that follow from figures.

Above stand `custom` and `optimiser`, which decide how many servers there are. This module must never
decide that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mcpweft_schemas import duration
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_schemas.presets.preset import Load, Preset, Purpose, Setting, Size
from mcpweft_schemas.presets.reliability import LEVELS, Reliability

_BACKOFF_MAX = 10.0  # the key's default
_PATIENCE = 10.0
"""Service times that an attempt is given: of exponential ones, 1 in 22,000 takes longer (e**-10)."""
_ATTEMPT_S, _FAST_S = 30.0, 5.0
"""An attempt's time at least: the key's default, and where an answer that comes late is worth nothing."""
_BOUND, _BURST, _SUBMIT_S = 10_000, 500, 3600.0  # the keys' defaults


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to become a preset. Times in seconds."""

    name: str
    purpose: Purpose
    character: str
    size: Size
    concurrency: int
    load: Load
    strategy: Setting
    reliability: Reliability
    fast: bool
    """Whether an attempt that takes long is worth nothing, and servers are to come early."""
    target_wait: float | None = None
    """Seconds that a request should wait at most; the default where None."""

    def preset(self) -> Preset:
        """Return it."""
        return Preset(
            name=self.name,
            purpose=self.purpose,
            character=self.character,
            size=self.size,
            load=self.load,
            concurrency=Setting(
                ("concurrency",), self.concurrency, "Calls that one server runs at once, as was said."
            ),
            settings=(
                self.strategy,
                *LEVELS[self.reliability].breaker,
                *self._call(),
                *self._queue(),
                *self._scaling(),
                *self._metrics(),
            ),
        )

    def _call(self) -> tuple[Setting, ...]:
        level = LEVELS[self.reliability]
        attempt = round_up(max(_PATIENCE * self.load.service_time, _FAST_S if self.fast else _ATTEMPT_S))
        pauses = duration.longest_wait(level.backoff, _BACKOFF_MAX, level.attempts)
        need = attempt * level.attempts + pauses
        timeout = round_up(1.25 * need)
        say = duration.spoken
        sum_of = f"{level.attempts} attempts of {say(attempt)} and their pauses need {say(need)}"
        found = [
            Setting(
                ("call", "max_attempts"), level.attempts, f"Reliability is {self.reliability}: so many tries."
            ),
            Setting(("call", "backoff"), say(level.backoff), "The pause before the same server again."),
            Setting(
                ("call", "attempt_timeout"),
                say(attempt),
                f"Ten service times of {say(self.load.service_time)} or more: who takes longer hangs.",
            ),
            Setting(("call", "timeout"), say(timeout), f"{sum_of}; a quarter more is for the queue."),
        ]
        if timeout > _SUBMIT_S:
            found.append(Setting(("call", "submit_timeout"), say(timeout), f"{sum_of}."))
        return tuple(found)

    def _queue(self) -> tuple[Setting, ...]:
        found: list[Setting] = []
        slots = self.size.most * self.concurrency
        bound = max(2 * slots, math.ceil(10 * self.load.most_qps))
        if bound > _BOUND:
            why = "Twice what all servers run at once, and ten seconds of the load at least."
            found.append(Setting(("queue", "bound"), bound, why))
        if self.concurrency >= _BURST:
            why = "Above what the death of one server cuts off."
            found.append(Setting(("queue", "retry_burst"), 2 * self.concurrency, why))
        return tuple(found)

    def _scaling(self) -> tuple[Setting, ...]:
        if not self.size.scaled:
            return ()
        found: list[Setting] = []
        if self.fast:
            found += [
                Setting(("scaling", "up_at"), 0.7, "Earlier than usual: a server takes seconds to start."),
                Setting(("scaling", "down_at"), 0.2, "Later than usual: what is needed again costs a start."),
                Setting(("scaling", "cooldown"), "3m", "Two steps up may follow each other sooner."),
            ]
        if self.target_wait is not None:
            why = "A queue that would wait for longer than the latency allows asks for servers."
            found.append(Setting(("scaling", "target_wait"), duration.spoken(self.target_wait), why))
        return tuple(found)

    def _metrics(self) -> tuple[Setting, ...]:
        if self.purpose is not Purpose.PRODUCTION:
            return ()
        return (
            Setting(("worker", "port"), 0, "Metrics and health of each worker, on any free port."),
            Setting(("coordinator", "port"), 9464, "Metrics, health and /v1/scaling of the coordinator."),
        )


def round_up(seconds: float) -> float:
    """Return a span that reads well: whole milliseconds below a second, else whole seconds, never less."""
    return math.ceil(seconds * 1000) / 1000 if seconds < 1 else float(math.ceil(seconds))


def span(name: str, value: object) -> float:
    """Return the seconds that an argument means, more than none. Raises InvalidConfigError."""
    try:
        seconds = duration.seconds(value)
    except ValueError as error:
        raise InvalidConfigError(f"{name} is {value!r}", advice=f"{error}.") from error
    return positive(name, seconds)


def positive(name: str, value: float) -> float:
    """Return a figure that is finite and more than none. Raises InvalidConfigError."""
    if not (math.isfinite(value) and value > 0):
        raise InvalidConfigError(f"{name} is {value!r}", advice="Write a figure above 0.")
    return value


def reliability_of(value: Reliability | str) -> Reliability:
    """Return the reliability that is meant. Raises InvalidConfigError."""
    try:
        return Reliability(value)
    except ValueError:
        known = ", ".join(Reliability)
        raise InvalidConfigError(f"reliability is {value!r}", advice=f"Write one of {known}.") from None
