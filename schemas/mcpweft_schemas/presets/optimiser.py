"""A preset from goals: calls a second, latency, reliability and what it may cost.

The slots that the load needs come from Little's law, what calls wait from Erlang's C formula
(`queueing`): the fewest servers are taken with which the goals hold. Above stand users who know their
load. This module must never count on a figure that nobody stated: the service time is an argument,
measured or estimated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from mcpweft_schemas import duration
from mcpweft_schemas.config import StrategyName
from mcpweft_schemas.errors import InvalidConfigError, UnmetGoalError
from mcpweft_schemas.presets import queueing
from mcpweft_schemas.presets.plan import Plan, positive, reliability_of, round_up, span
from mcpweft_schemas.presets.preset import Load, Preset, Purpose, Setting, Size
from mcpweft_schemas.presets.reliability import LEVELS, Reliability

_UP_AT, _FAST_UP_AT = 0.8, 0.7
"""What `scaling.up_at` will be: beyond it the fleet would ask for another server at once."""
_FULL = 0.95  # with a server down, under `moderate`: the queue does not grow for ever
_FAST_S = 5.0
_MOST_CALLS = 100_000.0
"""Calls under way beyond which nothing is reckoned: no store here was measured with nearly as many."""
_FEW_SLOTS = 2


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached. Times in seconds."""

    qps: float
    latency: float
    service_time: float
    concurrency: int
    reliability: Reliability

    @property
    def load(self) -> float:
        """Calls under way on average."""
        return queueing.under_way(self.qps, self.service_time)

    @property
    def fast(self) -> bool:
        """Whether somebody waits for the answer."""
        return self.latency <= _FAST_S

    @property
    def up_at(self) -> float:
        """The part of the slots that may be in use while all servers are there."""
        return _FAST_UP_AT if self.fast else _UP_AT

    def latency_with(self, servers: int) -> float:
        """Return the seconds within which 95 of 100 calls are answered by so many servers."""
        return queueing.latency(servers * self.concurrency, self.load, self.service_time)

    def holds(self, servers: int) -> bool:
        """Return whether so many servers are enough, with those that may be down."""
        full = servers * self.concurrency
        if self.load > self.up_at * full or self.latency_with(servers) > self.latency:
            return False
        less = full - self.concurrency
        match self.reliability:
            case Reliability.LOW:
                return True
            case Reliability.MODERATE:
                return self.load <= _FULL * less
            case Reliability.HIGH:
                return self.load <= _FULL * less and self.latency_with(servers - 1) <= self.latency

    def servers(self) -> int:
        """Return the fewest servers with which it holds; a lone call must be in time."""
        filled = math.floor(self.load / (self.up_at * self.concurrency))  # `holds` judges the last one
        most = least = max(LEVELS[self.reliability].least, filled)
        while not self.holds(most):
            least, most = most + 1, 2 * most
        while least < most:
            middle = (least + most) // 2
            least, most = (least, middle) if self.holds(middle) else (middle + 1, most)
        return least


def optimize_for(
    *,
    expected_qps: float,
    max_latency: float | str,
    service_time: float | str,
    reliability: Reliability | str = Reliability.MODERATE,
    cost_budget: float | None = None,
    server_cost: float = 1.0,
    concurrency: int = 8,
) -> Preset:
    """Return the preset with the fewest servers that reaches the goals.

    Args:
        expected_qps: Calls a second at the busiest.
        max_latency: Within which 95 of 100 calls are to be answered: seconds, or text as `500ms`.
        service_time: What a call takes a server by itself: measured (`mcpweft_worker_service_seconds`), or
            estimated. Give its 95th percentile where it varies much.
        reliability: `low`, `moderate` or `high`: what is still to hold with one server down.
        cost_budget: What all servers together may cost, in the unit of `server_cost`.
        server_cost: What one server costs; 1 makes the budget a number of servers.
        concurrency: Calls that one server runs at once without slowing down.

    Raises:
        UnmetGoalError: no number of servers does it, or none within the budget; `remedies` says what would.
        InvalidConfigError: an argument is wrong.

    """
    goal = Goal(
        positive("expected_qps", expected_qps),
        span("max_latency", max_latency),
        span("service_time", service_time),
        concurrency,
        reliability_of(reliability),
    )
    positive("concurrency", concurrency)
    _possible(goal)
    count = goal.servers()
    most = count + math.ceil(count / 2)
    if cost_budget is not None:
        affordable = math.floor(
            positive("cost_budget", cost_budget) / positive("server_cost", server_cost) + 1e-9
        )
        if affordable < count:
            raise _too_dear(goal, count, affordable, server_cost)
        most = min(most, affordable)
    return _plan(goal, Size(count, count, most)).preset()


def _plan(goal: Goal, size: Size) -> Plan:
    say = duration.spoken
    found = goal.latency_with(size.usual)
    return Plan(
        name=f"qps_{goal.qps:g}".replace(".", "_").replace("+", ""),
        purpose=Purpose.PRODUCTION,
        character=f"{goal.qps:g} calls a second of {say(goal.service_time)} within {found:.3g} s "
        f"(95 of 100), {goal.reliability} reliability",
        size=size,
        concurrency=goal.concurrency,
        load=Load(goal.qps / 2, goal.qps, goal.service_time),
        strategy=_strategy(goal),
        reliability=goal.reliability,
        fast=goal.fast,
        target_wait=round_up(min(goal.latency, _FAST_S)),
    )


def _strategy(goal: Goal) -> Setting:
    if goal.concurrency <= _FEW_SLOTS:
        return Setting(
            ("strategy", "name"),
            StrategyName.PREDICTIVE.value,
            "With few slots each, a call that a slower server takes waits for the longest.",
        )
    return Setting(
        ("strategy", "name"),
        StrategyName.WEIGHTED_RESPONSE_TIME.value,
        "With several slots each, a server that grows slow takes fewer calls.",
    )


def _possible(goal: Goal) -> None:
    """Refuse what no number of servers reaches."""
    alone = goal.service_time + queueing.FABRIC_S
    if goal.latency <= alone:
        raise _unmet(
            f"A call alone takes {alone:.4g} s ({goal.service_time:g} s of service and the fabric's own "
            f"{queueing.FABRIC_S:g} s), and max_latency is {goal.latency:g} s: no number of servers helps",
            f"max_latency above {alone:.4g} s",
            f"a server that takes less than {max(0.0, goal.latency - queueing.FABRIC_S):.4g} s for a call",
        )
    if goal.load > _MOST_CALLS:
        raise _unmet(
            f"{goal.qps:g} calls a second of {goal.service_time:g} s are {goal.load:.4g} under way at a "
            f"time, more than is reckoned with here ({_MOST_CALLS:g})",
            f"at most {_MOST_CALLS / goal.service_time:.4g} calls a second for each fabric",
            "several namespaces on stores of their own",
        )


def _too_dear(goal: Goal, count: int, affordable: int, cost: float) -> InvalidConfigError:
    remedies = [f"a cost_budget of {_above(count * cost):g} ({count} servers)"]
    if affordable >= LEVELS[goal.reliability].least:
        if (qps := _reachable_qps(goal, affordable)) > 0:
            remedies.append(f"expected_qps of {_below(qps):g} with the {affordable} servers that it pays for")
        remedies += [
            f"max_latency of {latency:g} s with as many" for latency in _reachable_latency(goal, affordable)
        ]
    remedies += [
        f"{less} reliability"
        for less in _lower(goal.reliability)
        if affordable >= LEVELS[less].least and replace(goal, reliability=less).holds(affordable)
    ]
    return _unmet(
        f"It takes {count} servers at {cost:g} each, {_above(count * cost):g} in all, and the budget pays "
        f"for {affordable}",
        *remedies,
    )


def _reachable_qps(goal: Goal, servers: int) -> float:
    """Return the calls a second that so many servers reach, to a thousandth; 0 for none."""
    low, high = 0.0, goal.qps
    while high - low > goal.qps / 1000:
        middle = (low + high) / 2
        low, high = (middle, high) if replace(goal, qps=middle).holds(servers) else (low, middle)
    return low


def _reachable_latency(goal: Goal, servers: int) -> list[float]:
    """Return the seconds within which so many servers do it, or nothing where time does not help."""
    worst = goal.latency_with(servers - (goal.reliability is Reliability.HIGH))
    patient = _above(_FAST_S + 0.001)  # where nobody waits in front of a screen, servers may be fuller
    tried = [_above(worst), max(_above(worst), patient)] if math.isfinite(worst) else []
    return [latency for latency in tried if replace(goal, latency=latency).holds(servers)][:1]


def _above(value: float) -> float:
    """Return a figure of four digits that is no less."""
    return math.ceil(value / _last_digit(value) - 1e-9) * _last_digit(value)


def _below(value: float) -> float:
    """Return a figure of four digits that is no more."""
    return math.floor(value / _last_digit(value)) * _last_digit(value)


def _last_digit(value: float) -> float:
    return 10.0 ** (math.floor(math.log10(value)) - 3)


def _lower(reliability: Reliability) -> list[Reliability]:
    """Return the reliabilities that ask for less, the next one first."""
    order = list(Reliability)
    return order[: order.index(reliability)][::-1]


def _unmet(what: str, *remedies: str) -> UnmetGoalError:
    error = UnmetGoalError(what, advice=f"What would do: {'; or '.join(remedies)}.")
    error.remedies = remedies
    return error
