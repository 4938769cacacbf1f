"""A preset of one's own, from the number of servers.

Above stand users who know how many servers they have; who knows the load asks `optimiser` instead. This
module must never make what `review` would refuse.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mcpweft_schemas import duration, slug
from mcpweft_schemas.config import StrategyName
from mcpweft_schemas.errors import InvalidConfigError, near
from mcpweft_schemas.presets.plan import Plan, reliability_of, span
from mcpweft_schemas.presets.preset import Load, Preset, Purpose, Setting, Size
from mcpweft_schemas.presets.reliability import LEVELS, Reliability

if TYPE_CHECKING:
    from mcpweft_schemas.presets.reliability import Level

_UP_AT = 0.8  # scaling.up_at: a pool that is fuller asks for another server
_FAST_UP_AT = 0.7


def custom(
    name: str,
    *,
    server_count: int,
    strategy: StrategyName | str = StrategyName.ROUND_ROBIN,
    reliability: Reliability | str = Reliability.MODERATE,
    performance_optimized: bool = False,
    service_time: float | str = 0.2,
    concurrency: int = 8,
    purpose: Purpose = Purpose.PRODUCTION,
) -> Preset:
    """Return a preset for so many servers.

    The number follows the load between half of them and half as many again. What it is good for, by Little's
    law: `scaling.up_at * server_count * concurrency / service_time` calls a second.

    Args:
        name: What it is called: a-z, 0-9, - and _.
        server_count: Processes of a server at the usual load.
        strategy: How the work is divided (docs/strategies.md).
        reliability: `low`, `moderate` or `high`: attempts, breaker, and servers at least (2, 2, 3).
        performance_optimized: Whether an attempt may only take 5 s (or ten service times, where that is
            more), and servers are started early.
        service_time: What a call takes a server: seconds, or text as `200ms`.
        concurrency: Calls that one server runs at once.
        purpose: What it is validated for.

    Raises:
        InvalidConfigError: an argument is wrong, or there are too few servers for the purpose.

    """
    level = LEVELS[reliability_of(reliability)]
    chosen = strategy_of(strategy)
    seconds = span("service_time", service_time)
    if not slug.LEGAL.fullmatch(name):
        raise InvalidConfigError(f"name is {name!r}", advice=f"Write {slug.FORM}.")
    if concurrency < 1:
        raise InvalidConfigError(f"concurrency is {concurrency}", advice="Write 1 or more.")
    _enough(server_count, level, purpose)
    up_at = _FAST_UP_AT if performance_optimized else _UP_AT
    most_qps = up_at * server_count * concurrency / seconds
    return Plan(
        name=name,
        purpose=purpose,
        character=f"{server_count} servers, {reliability} reliability, calls of {duration.spoken(seconds)}",
        size=_size(server_count, level, purpose),
        concurrency=concurrency,
        load=Load(most_qps / 2, most_qps, seconds),
        strategy=Setting(("strategy", "name"), chosen.value, "As was said."),
        reliability=reliability_of(reliability),
        fast=performance_optimized,
    ).preset()


def _size(count: int, level: Level, purpose: Purpose) -> Size:
    if purpose is not Purpose.PRODUCTION:
        return Size(min(count, max(1, count // 2)), count, count)
    return Size(max(level.least, count // 2), count, math.ceil(1.5 * count))


def _enough(count: int, level: Level, purpose: Purpose) -> None:
    least = level.least if purpose is Purpose.PRODUCTION else 1
    if count < least:
        raise InvalidConfigError(
            f"server_count is {count}, and this needs {least}: one may be down and the others serve",
            advice=f"Write {least} or more, a lower reliability, or another purpose than production.",
        )


def strategy_of(value: StrategyName | str) -> StrategyName:
    """Return the strategy that is meant. Raises InvalidConfigError."""
    try:
        return StrategyName(value)
    except ValueError:
        close = near(str(value), list(StrategyName), most=1)
        advice = f"Did you mean {close[0]}?" if close else f"Write one of {', '.join(StrategyName)}."
        raise InvalidConfigError(f"strategy is {value!r}", advice=advice) from None
