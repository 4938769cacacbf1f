"""A recorded load, run under the strategy in force and under others, to see what those would have given.

    rehearse(pool)     of a pool's analytics, whose `load` is the record

The model is what the record says and no more: requests come as a Poisson process at the recorded rates, with
the recorded part of each class; each server has as many workers, with as many slots, as it had on average,
and takes for a call a time drawn from its own recorded ones, by their buckets, scaled to its measured mean.
Calls do not disturb each other, none fails, and no time goes by between two of them. All strategies get the
same requests at the same moments, and each server's calls the same times in the same order.

Whether that is this fleet is not taken for granted. The p95 that it gives under the strategy in force is held
against the measured one; where they differ by more than `TOLERANCE`, the model does not hold and no other
strategy is run. Where it holds, another one is better if its p95 is lower by `CLEARLY` in each of the runs,
seed by seed; of several the one with the lowest.

What goes by figures that the record does not have is not run, since it would be round_robin under another
name: resource_aware (the processor's use) and capability_based (other pools). Nor is adaptive: it tries each
of the others for minutes before it is itself, and what it learnt before is not recorded.

The work is bounded: `MOST` calls a run (`excerpt`), a run for each of `SEEDS` and of `STRATEGIES`, so 144,000
calls in all. That is some 10 s of one processor, whatever was recorded.

Above stand the analytics of the face, which load it by name. Below: the fleet, and the values of the
analytics. It must never ask anybody anything. Times are seconds where a name does not say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from mcpweft.analytics.figures import Range, Rehearsal, Rehearsed
from mcpweft_coordinator.strategy.choice import STRATEGIES as ALL
from mcpweft_schemas.life import Class
from mcpweft_schemas.spread import Spread, middle_of
from mcpweft_simulator.excerpt import LEAST, excerpt
from mcpweft_simulator.fleet import Fleet

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mcpweft.analytics.figures import Load, PoolAnalytics, ServerLoad
    from mcpweft_simulator.excerpt import Excerpt
    from mcpweft_simulator.pool import Pool

STRATEGIES = ("round_robin", "least_connections", "weighted_response_time", "predictive")
"""Those that can be rehearsed."""
SEEDS = (1, 2, 3)
TOLERANCE = 0.25
"""By which part of the measured p95 the simulated one may differ."""
CLEARLY = 0.1
"""By which part of its p95 another strategy must be better, in each run."""
ENOUGH = 100
"""Answers from which on a p95 says something."""
FAILING = 0.01
"""The part of attempts that may fail: the model knows no failures."""
WHOLE = 0.1
"""How far means of workers and of their slots may be off whole numbers: else those changed."""
TIMEOUT, STEP = 120.0, 5.0
"""How long a request is waited for, and how often it is looked whether all have ended."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What one run gave."""

    times: tuple[float, float, float]
    """p50, p95 and p99 in ms."""
    calls: int


def rehearse(pool: PoolAnalytics, *, doubt: str = "") -> Rehearsal:
    """Return what others would have given; `doubt`: why the load may be another strategy's, if it may."""
    load, measured, present = pool.load, pool.total.response.p95_ms, pool.strategy
    taken = excerpt(load.arrivals, sum(map(_workers, load.servers))) if load else None
    refused = next(_objections(pool, taken, doubt=doubt), "")
    if refused or load is None or taken is None or measured is None or present is None:
        return Rehearsal(
            pool=pool.capability, strategy=present, measured_p95_ms=measured, holds=False, better=None,
            reason=refused,
        )  # fmt: skip
    runs = {present: _runs(load, taken, present)}
    simulated = _range(runs[present], 1).middle_ms
    holds = abs(simulated - measured) <= TOLERANCE * measured
    if holds:
        runs |= {name: _runs(load, taken, name) for name in STRATEGIES if name != present}
    better = _better(runs, present) if holds else None
    return Rehearsal(
        pool=pool.capability, strategy=present, measured_p95_ms=measured, holds=holds, better=better,
        reason=_reason(simulated, measured, present, holds=holds, better=better),
        runs=tuple(
            Rehearsed(strategy=name, p50=_range(each, 0), p95=_range(each, 1), p99=_range(each, 2))
            for name, each in runs.items()
        ),
        seeds=len(SEEDS), calls=sum(run.calls for each in runs.values() for run in each),
        seconds=round(taken.seconds, 3), recorded_s=round(sum(each.seconds for each in load.arrivals), 3),
    )  # fmt: skip


def _objections(pool: PoolAnalytics, taken: Excerpt | None, *, doubt: str) -> Iterator[str]:
    """Yield why a pool cannot be rehearsed."""
    load, total = pool.load, pool.total
    if pool.strategy is None:
        yield "by which strategy the work is divided is not known"
    elif pool.strategy not in STRATEGIES:
        yield f"{pool.strategy} goes by more than a recorded load holds"
    if doubt:
        yield doubt
    if load is None or total.response.p95_ms is None:
        yield "not all that a rehearsal needs was measured"
    if total.answered < ENOUGH:
        yield f"{total.answered} answers are too few: a p95 takes {ENOUGH}"
    if (total.error_rate or 0.0) > FAILING:
        yield f"{total.error_rate:.1%} of the attempts failed, and the model knows no failures"
    yield from _unlike(load.servers if load else ())
    if taken and (taken.calls < ENOUGH or taken.seconds < LEAST):
        yield f"a rehearsal may take {taken.calls:.0f} calls in {taken.seconds:.0f} s of it: too little"


def _unlike(servers: Sequence[ServerLoad]) -> Iterator[str]:
    """Yield what of a crew the model does not have."""
    for server in servers:
        if server.shared:
            yield f"{server.server} serves other pools as well, and the model has one"
        if max(map(_off, (server.workers, server.slots / server.workers))) > WHOLE:
            yield f"the number of workers of {server.server}, or of their slots, changed within that time"


def _off(mean: float) -> float:
    """Return how far a mean is off a whole number from 1 on."""
    return abs(mean - max(1, round(mean)))


def _workers(server: ServerLoad) -> int:
    return max(1, round(server.workers))


def _slots(server: ServerLoad) -> int:
    return max(1, round(server.slots / server.workers))


def _reason(simulated: float, measured: float, present: str, *, holds: bool, better: str | None) -> str:
    if not holds:
        return (
            f"the model does not hold: under {present} it gives a p95 of {simulated:.0f} ms where "
            f"{measured:.0f} were measured"
        )
    if better is None:
        return f"no other strategy is better by {CLEARLY:.0%} at p95 in each of {len(SEEDS)} runs"
    return ""


def _better(runs: Mapping[str, Sequence[_Run]], present: str) -> str | None:
    """Return the best of those that are clearly better whatever the seed."""
    found = [
        name
        for name, each in runs.items()
        if all(
            run.times[1] <= (1 - CLEARLY) * own.times[1] for run, own in zip(each, runs[present], strict=True)
        )
    ]
    return min(found, key=lambda name: _range(runs[name], 1).middle_ms, default=None)


def _range(runs: Sequence[_Run], which: int) -> Range:
    times = sorted(run.times[which] for run in runs)
    return Range(least_ms=times[0], middle_ms=times[len(times) // 2], most_ms=times[-1])


# --- one run


def _runs(load: Load, taken: Excerpt, strategy: str) -> list[_Run]:
    return [_run(load, taken, strategy, seed) for seed in SEEDS]


def _run(load: Load, taken: Excerpt, strategy: str, seed: int) -> _Run:
    fleet = Fleet(seed)
    pool = fleet.pool("rehearsed")
    for server in load.servers:
        work = _drawn(server)
        for number in range(_workers(server)):
            name = f"{server.server}.{number}"
            fleet.worker(name, fleet.server(name, work), [pool], concurrency=_slots(server))
    fleet.requests(pool, taken.moments(fleet.rng()), klass=_classes(load), timeout=TIMEOUT)
    fleet.coordinate([pool], ALL[strategy])
    end = taken.lead.seconds + taken.seconds
    fleet.run(end)
    _finish(fleet, pool, end + TIMEOUT)
    times = pool.ledger.times(taken.lead.seconds, end)
    late = sum(not each.ok and each.accepted >= taken.lead.seconds for each in pool.ledger.ended)
    times += [TIMEOUT] * late  # whose time ran out waited for all of it
    last = len(times) - 1
    p50, p95, p99 = (1000 * times[min(last, int(part * len(times)))] for part in (0.5, 0.95, 0.99))
    return _Run((p50, p95, p99), pool.ledger.accepted)


def _finish(fleet: Fleet, pool: Pool, latest: float) -> None:
    """Let what was accepted end, so that the long ones count as well."""
    while len(pool.ledger.ended) < pool.ledger.accepted and fleet.clock.now < latest:
        fleet.run(fleet.clock.now + STEP)


def _drawn(server: ServerLoad) -> Callable[[random.Random, float], float]:
    """Return what draws a call's time from those that were recorded; its mean is the measured one."""
    counts = Spread.read(list(server.service)).counts
    middles = [middle_of(bucket) for bucket in counts]
    summed = sum(ms * count for ms, count in zip(middles, counts.values(), strict=True))
    scale = server.service_ms * sum(counts.values()) / summed / 1000
    times, weights = [ms * scale for ms in middles], list(accumulate(counts.values()))
    if len(times) == 1:
        return lambda _rng, _now: times[0]
    return lambda rng, _now: rng.choices(times, cum_weights=weights)[0]


def _classes(load: Load) -> Callable[[random.Random], int]:
    """Return what draws a request's class by the recorded parts."""
    known = [(at, load.classes.get(klass, 0)) for at, klass in enumerate(Class)]
    numbers, weights = [at for at, _ in known], list(accumulate(count for _, count in known))
    if not weights[-1]:
        return lambda _rng: list(Class).index(Class.NORMAL)
    return lambda rng: rng.choices(numbers, cum_weights=weights)[0]
