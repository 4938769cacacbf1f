"""What the figures recommend: a rule a function, each with the figures that it stands on.

A rule says nothing where one of its figures is not known, and none works out what another setting would
have given. Of strategies the simulator says it, where a rehearsal was asked for and its model holds; then
that alone counts.

Above stand `historian` and `rehearser`. Plain functions of figures; this module must never ask anybody
anything.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mcpweft.analytics.figures import Advice, Recommendation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mcpweft.analytics.figures import PoolAnalytics, Rehearsal, Series
    from mcpweft_schemas.life import Class

FULL = 0.8
"""Utilisation from which on a server is short of slots."""
AIM = 0.7
"""Utilisation that more workers are to bring."""
WAITING_PART = 0.5
"""The part of a response that is waiting, from which on requests wait rather than run."""
STARVING_MS, STARVING_TIMES = 10_000, 10
"""How long, and how many times as long as in another class, requests of a class wait that starves."""
NEAR_PART, NEAR_LEAST = 0.01, 3
"""Attempts that came near their time or passed it: from which part on, and how many of them at least."""
ENOUGH = 20
"""Answers of a server from which on its mean service time says something."""
APART = 2.0
"""How many times as long the slower server takes."""
BLIND = {"round_robin"}
"""Strategies that do not look at how long a server takes."""


def recommendations(
    pools: Sequence[PoolAnalytics], rehearsals: Iterable[Rehearsal] = ()
) -> tuple[Recommendation, ...]:
    """Return what the figures of all pools recommend, pool by pool."""
    rules = (_starving, _attempt_timeout, _retry_budget)
    believed = {each.pool: each for each in rehearsals if each.holds}
    found: list[Recommendation] = []
    for pool in pools:
        found += _more_servers(pool, pools)
        for rule in rules:
            found += rule(pool)
        rehearsal = believed.get(pool.capability)
        found += _strategy(pool) if rehearsal is None else _rehearsed(rehearsal)
    return tuple(found)


def _more_servers(pool: PoolAnalytics, pools: Sequence[PoolAnalytics]) -> Iterator[Recommendation]:
    """Say whose slots are in use, where a request waits for half of its time or longer.

    By Little's law, requests per second times the seconds that a server takes for one is how many it has
    under way at a time: so many slots are needed, and some to spare.
    """
    total, accepted = pool.total, pool.requests.accepted
    wait, response = total.queue.mean_ms, total.response.mean_ms
    if wait is None or not response or wait / response < WAITING_PART:
        return
    for use in pool.use:
        used = _used(use.server, pools)
        mine = next((one for one in pool.servers if one.server == use.server), None)
        if used is None or used < FULL or mine is None or not use.slots or not use.workers:
            continue
        service, busy = mine.service.mean_ms, mine.busy or 0.0
        part = mine.answered / total.answered if total.answered else 0.0
        asked = (
            None if accepted is None or service is None else accepted / pool.covered_s * part * service / 1000
        )
        needed = max(busy, asked or 0.0) / AIM
        workers = max(math.ceil(use.workers) + 1, math.ceil(needed / (use.slots / use.workers)))
        yield Recommendation(
            advice=Advice.MORE_SERVERS, pool=pool.capability, server=use.server,
            text=f"{use.server} is {used:.0%} in use, and {wait / response:.0%} of a response is waiting: "
            f"run {workers} workers of it, or let it have more with `max`.",
            key=f"servers.{use.server}.workers",
            evidence={
                "utilisation": used, "workers": use.workers, "slots": use.slots, "busy": busy,
                "queue_mean_ms": wait, "response_mean_ms": response, "service_mean_ms": service,
                "asked_for_slots": asked, "needed_slots": needed, "needed_workers": workers,
            },
        )  # fmt: skip


def _used(server: str, pools: Sequence[PoolAnalytics]) -> float | None:
    """Return a server's utilisation by all of its pools, which share its slots."""
    parts = [use.utilisation for pool in pools for use in pool.use if use.server == server]
    known = [part for part in parts if part is not None]
    return sum(known) if known and len(known) == len(parts) else None


def _starving(pool: PoolAnalytics) -> Iterator[Recommendation]:
    """Say which class waits far longer than another, and so long that its callers notice."""
    waits = {one.klass: one.queue.p95_ms for one in pool.classes if one.klass is not None}
    known = {klass: wait for klass, wait in waits.items() if wait is not None}
    if not known:
        return
    quickest = min(known, key=lambda klass: known[klass])
    for klass, waiting in (pool.standing.waiting or {}).items():
        wait = known.get(klass)
        served = next((one.attempts for one in pool.classes if one.klass is klass), 0)
        if klass is quickest or waiting < 1 or (served and wait is None):
            continue
        if wait is not None and (wait < STARVING_MS or wait < STARVING_TIMES * known[quickest]):
            continue
        if wait is None and pool.covered_s < STARVING_MS / 1000:
            continue
        yield _starves(pool, klass, {
            "klass": klass.value, "waiting": waiting, "attempts": served, "queue_p95_ms": wait,
            "quickest": quickest.value, "quickest_queue_p95_ms": known[quickest],
        })  # fmt: skip


def _starves(pool: PoolAnalytics, klass: Class, evidence: dict[str, Any]) -> Recommendation:
    return Recommendation(
        advice=Advice.STARVING_CLASS, pool=pool.capability,
        text=f"Requests of class {klass.value} wait while those of {evidence['quickest']} are served: give "
        "the pool more workers, or send less above this class.",
        key="servers.*.workers", evidence=evidence,
    )  # fmt: skip


def _attempt_timeout(pool: PoolAnalytics) -> Iterator[Recommendation]:
    """Say whose answers come as late as attempts are given; one that answers none so late hangs instead."""
    for one in pool.servers:
        close, ended = one.timed_out + one.near_timeout, one.answered + one.timed_out
        if not one.near_timeout or close < NEAR_LEAST or close / ended < NEAR_PART:
            continue
        yield Recommendation(
            advice=Advice.ATTEMPT_TIMEOUT, pool=pool.capability, server=one.server,
            text=f"Of {ended} attempts on {one.server}, {one.timed_out} ran out of time and "
            f"{one.near_timeout} were answered in the last fifth of it: give attempts more, or ask for less.",
            key=f"servers.{one.server}.attempt_timeout",
            evidence={
                "timed_out": one.timed_out, "near_timeout": one.near_timeout, "answered": one.answered,
                "service_p99_ms": one.service.p99_ms, "timeout_ms": one.timeout_ms,
            },
        )  # fmt: skip


def _retry_budget(pool: PoolAnalytics) -> Iterator[Recommendation]:
    """Say that requests ended because the retry budget was spent, and who failed most."""
    asked = pool.requests
    if not asked.unretried:
        return
    worst = max(pool.servers, key=lambda one: one.failed, default=None)
    blamed = worst is not None and worst.failed > 0
    yield Recommendation(
        advice=Advice.RETRY_BUDGET, pool=pool.capability, server=worst.server if worst and blamed else None,
        text=f"Requests ended ({asked.unretried}) because the pool's retry budget was spent: mend the server "
        "that fails; only where it fails in bursts, raise the budget.",
        key="queue.retry_ratio",
        evidence={
            "unretried": asked.unretried, "retried": asked.retried, "failed": pool.total.failed,
            "error_rate": pool.total.error_rate, "failed_by_server": _failed(pool.servers),
        },
    )  # fmt: skip


def _failed(servers: Sequence[Series]) -> dict[str, int]:
    return {str(one.server): one.failed for one in servers}


def _strategy(pool: PoolAnalytics) -> Iterator[Recommendation]:
    """Say which servers differ in speed where the work is divided as if they did not."""
    times = {
        str(one.server): one.service.mean_ms
        for one in pool.servers
        if one.service.mean_ms is not None and one.service.count >= ENOUGH
    }
    if pool.strategy not in BLIND or len(times) < 2 or max(times.values()) <= APART * min(times.values()):  # noqa: PLR2004  # two differ
        return
    slow, quick = max(times, key=lambda name: times[name]), min(times, key=lambda name: times[name])
    yield Recommendation(
        advice=Advice.STRATEGY, pool=pool.capability, server=slow,
        text=f"{slow} takes {times[slow]:.0f} ms where {quick} takes {times[quick]:.0f}, and {pool.strategy} "
        "does not look at that: try predictive or weighted_response_time.",
        key=f"strategy.pools.{pool.capability}",
        evidence={"strategy": pool.strategy, "service_mean_ms": times},
    )  # fmt: skip


def _rehearsed(told: Rehearsal) -> Iterator[Recommendation]:
    """Say what the better strategy would have given; nothing where none was clearly better."""
    runs = {run.strategy: run.p95 for run in told.runs}
    if told.better is None or told.strategy is None:
        return
    present, other = runs[told.strategy], runs[told.better]
    yield Recommendation(
        advice=Advice.STRATEGY, pool=told.pool,
        text=f"{told.better} would have given a p95 of {other.middle_ms:.0f} ms ({other.least_ms:.0f} to "
        f"{other.most_ms:.0f}) by the simulator on the recorded load, where it gives {told.strategy} "
        f"{present.middle_ms:.0f} and {told.measured_p95_ms:.0f} were measured.",
        key=f"strategy.pools.{told.pool}",
        evidence={
            "strategy": told.strategy, "measured_p95_ms": told.measured_p95_ms,
            "simulated_p95_ms": present.middle_ms, "rehearsed": told.better,
            "rehearsed_p95_ms": other.middle_ms, "rehearsed_p95_least_ms": other.least_ms,
            "rehearsed_p95_most_ms": other.most_ms, "seeds": told.seeds, "calls": told.calls,
            "seconds": told.seconds, "recorded_s": told.recorded_s,
        },
    )  # fmt: skip
