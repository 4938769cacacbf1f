"""Each recommendation on the figures that call for it, with those figures as evidence, and on no others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mcpweft import Class
from mcpweft.analytics.advice import recommendations
from mcpweft.analytics.figures import (
    Advice,
    Latency,
    PoolAnalytics,
    Recommendation,
    Requests,
    Series,
    ServerUse,
    Standing,
)


def times(mean_ms: float, count: int = 100, p95_ms: float | None = None) -> Latency:
    return Latency(count, mean_ms, mean_ms, p95_ms or mean_ms, p95_ms or mean_ms)


def series(**given: Any) -> Series:
    plain: dict[str, Any] = {"pool": "p", "attempts": 100, "answered": 100, "service": times(50.0),
                             "queue": times(1.0), "response": times(51.0), "busy": 0.5}  # fmt: skip
    return Series(**plain | given)


def pool(**given: Any) -> PoolAnalytics:
    plain: dict[str, Any] = {
        "capability": "p", "covered_s": 100.0, "strategy": "round_robin", "total": series(), "classes": (),
        "servers": (), "tools": (), "series": (), "requests": Requests(accepted=100, unretried=0),
        "standing": Standing(), "use": (), "timeline": (),
    }  # fmt: skip
    return PoolAnalytics(**plain | given)


def advised(*pools: PoolAnalytics) -> list[Recommendation]:
    return list(recommendations(pools))


def use(utilisation: float | None, server: str = "alpha", name: str = "p") -> ServerUse:
    return ServerUse(pool=name, server=server, workers=2.0, slots=8.0, utilisation=utilisation)


def busy_pool(utilisation: float | None = 0.95, wait: float = 300.0, name: str = "p") -> PoolAnalytics:
    total = series(pool=name, queue=times(wait), response=times(wait + 50))
    mine = series(pool=name, server="alpha", busy=7.6)
    return pool(capability=name, total=total, servers=(mine,), use=(use(utilisation, name=name),))


def test_nothing_is_advised_where_all_is_well_or_nothing_is_known() -> None:
    assert advised(pool(), pool(total=Series(pool="p"), requests=Requests(), strategy=None)) == []


# -- more servers ------------------------------------------------------------------------------------------


def test_a_server_in_use_for_which_requests_wait_needs_more_workers() -> None:
    (one,) = advised(busy_pool())
    assert (one.advice, one.server, one.key) == (Advice.MORE_SERVERS, "alpha", "servers.alpha.workers")
    evidence = one.evidence
    assert (evidence["utilisation"], evidence["queue_mean_ms"], evidence["slots"]) == (0.95, 300.0, 8.0)
    assert evidence["needed_slots"] == pytest.approx(7.6 / 0.7)  # what is under way, with room to spare
    assert evidence["needed_workers"] == 3  # of four slots each


def test_by_littles_law_what_is_asked_for_counts_where_it_is_more_than_what_is_served() -> None:
    flooded = replace(busy_pool(), requests=Requests(accepted=40_000))
    (one,) = advised(flooded)
    assert one.evidence["asked_for_slots"] == pytest.approx(400 * 0.05)  # 400 a second, 50 ms each
    assert one.evidence["needed_workers"] == 8


@pytest.mark.parametrize("well", [busy_pool(0.79), busy_pool(wait=40.0), busy_pool(None)])
def test_neither_a_wait_nor_full_slots_alone_call_for_more_workers(well: PoolAnalytics) -> None:
    assert advised(well) == []


def test_a_servers_use_is_that_of_all_its_pools() -> None:
    assert {one.pool for one in advised(busy_pool(0.5), busy_pool(0.45, name="q"))} == {"p", "q"}


# -- classes -----------------------------------------------------------------------------------------------


def classes_of(low: Latency, served: int = 100, waiting: float = 5.0) -> PoolAnalytics:
    rows = (series(klass=Class.HIGH, queue=times(20.0)), series(klass=Class.LOW, queue=low, attempts=served))
    standing = Standing(looks=9, waiting={Class.HIGH: 0.5, Class.LOW: waiting}, running=0.0, delayed=0.0)
    return pool(classes=rows, standing=standing)


def test_a_class_that_waits_far_longer_than_another_starves() -> None:
    (one,) = advised(classes_of(times(12_000.0)))
    assert one.advice is Advice.STARVING_CLASS
    assert (one.evidence["klass"], one.evidence["queue_p95_ms"]) == ("low", 12_000.0)
    assert (one.evidence["quickest"], one.evidence["quickest_queue_p95_ms"]) == ("high", 20.0)


def test_a_class_of_which_nothing_was_served_starves() -> None:
    (one,) = advised(classes_of(Latency(), served=0))
    assert (one.evidence["attempts"], one.evidence["queue_p95_ms"]) == (0, None)


@pytest.mark.parametrize(
    "well",
    [
        classes_of(times(9_000.0)),
        classes_of(times(12_000.0), waiting=0.2),
        classes_of(Latency(), served=4),
        replace(classes_of(times(12_000.0)), standing=Standing()),
    ],
)
def test_a_class_that_waits_a_while_or_of_which_little_waits_does_not(well: PoolAnalytics) -> None:
    assert advised(well) == []


# -- attempts and retries ----------------------------------------------------------------------------------


def late(timed_out: int, near: int, answered: int = 100) -> PoolAnalytics:
    one = series(server="alpha", answered=answered, timed_out=timed_out, near_timeout=near, timeout_ms=2000.0)
    return pool(servers=(one,))


def test_answers_in_the_last_fifth_of_an_attempts_time_call_for_more_of_it() -> None:
    (one,) = advised(late(4, 2))
    assert (one.advice, one.key) == (Advice.ATTEMPT_TIMEOUT, "servers.alpha.attempt_timeout")
    assert one.evidence == {
        "timed_out": 4, "near_timeout": 2, "answered": 100, "service_p99_ms": 50.0, "timeout_ms": 2000.0,
    }  # fmt: skip


@pytest.mark.parametrize("well", [late(9, 0), late(0, 2), late(1, 9, answered=2000)])
def test_a_server_that_hangs_or_is_late_now_and_then_does_not(well: PoolAnalytics) -> None:
    assert advised(well) == []


def test_a_spent_retry_budget_is_told_with_who_failed() -> None:
    rows = (series(server="alpha", failed=3), series(server="beta", failed=70))
    (one,) = advised(pool(servers=rows, requests=Requests(accepted=1, unretried=12, retried=40)))
    assert (one.advice, one.server, one.key) == (Advice.RETRY_BUDGET, "beta", "queue.retry_ratio")
    assert one.evidence["unretried"] == 12
    assert one.evidence["failed_by_server"] == {"alpha": 3, "beta": 70}


# -- strategy ----------------------------------------------------------------------------------------------


def apart(slow: float, strategy: str | None = "round_robin", count: int = 20) -> PoolAnalytics:
    rows = (series(server="a", service=times(50.0)), series(server="b", service=times(slow, count)))
    return pool(servers=rows, strategy=strategy)


def test_servers_that_differ_in_speed_call_for_a_strategy_that_looks_at_it() -> None:
    (one,) = advised(apart(101.0))
    assert (one.advice, one.server, one.key) == (Advice.STRATEGY, "b", "strategy.pools.p")
    assert one.evidence == {"strategy": "round_robin", "service_mean_ms": {"a": 50.0, "b": 101.0}}


@pytest.mark.parametrize(
    "well", [apart(100.0), apart(500.0, "predictive"), apart(500.0, None), apart(500.0, count=19)]
)
def test_a_small_difference_a_few_answers_or_another_strategy_do_not(well: PoolAnalytics) -> None:
    assert advised(well) == []
