"""What other strategies would have given on a recorded load, and when nothing is said of it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft import Class
from mcpweft.analytics.advice import recommendations
from mcpweft.analytics.figures import (
    Advice,
    Arrivals,
    Latency,
    Load,
    PoolAnalytics,
    Requests,
    Series,
    ServerLoad,
    Standing,
)
from mcpweft_coordinator.strategy.choice import STRATEGIES
from mcpweft_schemas.spread import Spread
from mcpweft_simulator import excerpt as excerpts
from mcpweft_simulator import rehearsal
from mcpweft_simulator.excerpt import MOST, excerpt
from mcpweft_simulator.rehearsal import rehearse
from simulation.workload import WORKLOADS, measure

if TYPE_CHECKING:
    from mcpweft.analytics.figures import Rehearsal, Rehearsed

UNEQUAL_RATE = 0.3 * (3 / 0.05 + 1 / 0.15)
"""A load of 0.3 on three servers of 50 ms and one of 150, of one call at a time: that of W2."""


def server(name: str, *times_ms: float, workers: float = 1, slots: float | None = None) -> ServerLoad:
    spread = Spread()
    for ms in times_ms:
        spread.add(ms)
    return ServerLoad(
        server=name, workers=workers, slots=workers if slots is None else slots,
        service_ms=sum(times_ms) / len(times_ms), service=tuple(spread.told()), shared=False,
    )  # fmt: skip


UNEQUAL = (server("quick", 50.0, workers=3), server("slow", 150.0))


def pool(
    servers: tuple[ServerLoad, ...] = UNEQUAL, rate: float = UNEQUAL_RATE, p95_ms: float = 150.0, **given: Any
) -> PoolAnalytics:
    """An hour of a pool by slots of 10 s."""
    spans = tuple(Arrivals(seconds=10.0, accepted=round(10 * rate)) for _ in range(360))
    response = Latency(5000, p95_ms, p95_ms, p95_ms, p95_ms)
    services = [
        Series(pool="p", server=each.server, service=Latency(100, each.service_ms)) for each in servers
    ]
    plain: dict[str, Any] = {
        "capability": "p", "covered_s": 3600.0, "strategy": "round_robin",
        "total": Series(pool="p", attempts=5000, answered=5000, error_rate=0.0, response=response),
        "classes": (), "servers": tuple(services), "tools": (), "series": (), "requests": Requests(),
        "standing": Standing(), "use": (), "timeline": (),
        "load": Load(arrivals=spans, servers=servers, classes={Class.NORMAL: 4000, Class.LOW: 1000}),
    }  # fmt: skip
    return PoolAnalytics(**plain | given)


def run_of(told: Rehearsal, strategy: str) -> Rehearsed:
    (found,) = [run for run in told.runs if run.strategy == strategy]
    return found


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less of the record, by two strategies."""
    monkeypatch.setattr(excerpts, "MOST", 1000)
    monkeypatch.setattr(rehearsal, "SEEDS", (1, 2))
    monkeypatch.setattr(rehearsal, "STRATEGIES", ("round_robin", "predictive"))


def test_where_one_server_is_slower_predictive_is_recommended_by_the_figures_of_the_same_workload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(excerpts, "MOST", 3000)
    told = rehearse(pool())
    assert (told.holds, told.better, told.reason) == (True, "predictive", "")
    assert told.runs[0].strategy == "round_robin"
    for strategy in ("round_robin", "predictive"):
        same = measure(WORKLOADS["W2"], 0.3, STRATEGIES[strategy], seed=5, seconds=200.0)
        found = run_of(told, strategy)
        assert found.p50.middle_ms == pytest.approx(same["p50"], rel=0.05)
        assert found.p95.middle_ms == pytest.approx(same["p95"], rel=0.1)
    (said,) = recommendations([pool()], [told])
    assert (said.advice, said.key) == (Advice.STRATEGY, "strategy.pools.p")
    better = run_of(told, "predictive").p95
    assert said.evidence == {
        "strategy": "round_robin", "measured_p95_ms": 150.0,
        "simulated_p95_ms": run_of(told, "round_robin").p95.middle_ms, "rehearsed": "predictive",
        "rehearsed_p95_ms": better.middle_ms, "rehearsed_p95_least_ms": better.least_ms,
        "rehearsed_p95_most_ms": better.most_ms, "seeds": 3, "calls": told.calls,
        "seconds": told.seconds, "recorded_s": 3600.0,
    }  # fmt: skip
    assert better.least_ms <= better.middle_ms <= better.most_ms < 0.9 * 150
    assert 0 < told.calls <= 3000 * 3 * len(rehearsal.STRATEGIES)


def test_among_equal_servers_no_other_strategy_is_recommended(short: None) -> None:
    told = rehearse(pool((server("quick", 50.0, workers=4),), 24.0, 50.0))
    assert (told.holds, told.better) == (True, None)
    assert "no other strategy is better" in told.reason
    assert recommendations([pool()], [told]) == ()  # what was tried outweighs that they differ in speed


def test_a_p95_that_the_model_does_not_give_stops_it_and_it_says_so(short: None) -> None:
    told = rehearse(pool(p95_ms=400.0))
    assert (told.holds, told.better, [run.strategy for run in told.runs]) == (False, None, ["round_robin"])
    assert "gives a p95 of 150 ms where 400 were measured" in told.reason
    (said,) = recommendations([pool()], [told])
    assert "rehearsed" not in said.evidence  # the rule that needs no model stays


def test_times_are_drawn_as_they_were_recorded_with_the_measured_mean(short: None) -> None:
    heavy = server("heavy", *[20.0] * 18, 400.0, 400.0, workers=4, slots=64)
    told = rehearse(pool((heavy,), 20.0, 400.0))
    assert told.holds
    run = told.runs[0]
    assert run.p50.middle_ms == pytest.approx(20, rel=0.1)
    assert run.p95.middle_ms == pytest.approx(400, rel=0.1)


def test_the_same_record_gives_the_same_figures(short: None) -> None:
    assert rehearse(pool()) == rehearse(pool())


def test_a_thousand_calls_a_second_for_an_hour_are_represented_by_a_bounded_number_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rehearsal, "SEEDS", (1,))
    monkeypatch.setattr(rehearsal, "STRATEGIES", ("round_robin", "predictive"))
    crew = (server("quick", 50.0, workers=54), server("slow", 150.0, workers=18))
    told = rehearse(pool(crew, 1000.0))
    assert (told.holds, told.better, told.recorded_s) == (True, "predictive", 3600.0)
    assert told.calls <= 2 * MOST
    assert 5 <= told.seconds < 12


@pytest.mark.parametrize("rate", [0.01, 1.0, 100.0, 20_000.0])
@pytest.mark.parametrize("seconds", [10.0, 600.0])
@pytest.mark.parametrize("workers", [1, 100])
def test_what_is_run_of_a_record_has_its_rate_and_a_bound(rate: float, seconds: float, workers: int) -> None:
    spans = [Arrivals(seconds=seconds, accepted=round(rate * seconds * (1 + at % 2))) for at in range(1008)]
    part = excerpt(spans, workers)
    assert 0 < part.seconds <= sum(each.seconds for each in spans)
    moments = list(part.moments(random.Random(3)))
    assert len(moments) <= MOST
    assert moments == sorted(moments)
    assert len(part.pieces) >= 4 or part.seconds < 5


def test_a_short_record_is_run_whole() -> None:
    spans = [Arrivals(seconds=10.0, accepted=30 * (at % 3)) for at in range(30)]
    part = excerpt(spans, 4)
    assert [piece.seconds * piece.rate for piece in part.pieces] == [each.accepted for each in spans]


def test_nothing_is_said_where_a_figure_is_missing_or_the_model_is_not_this_fleet() -> None:
    def load_with(**given: Any) -> Load:
        load = pool().load
        assert load is not None
        return replace(load, servers=(replace(UNEQUAL[0], **given), UNEQUAL[1]))

    total = pool().total
    cases: list[tuple[PoolAnalytics, str]] = [
        (pool(strategy=None), "is not known"),
        (pool(strategy="adaptive"), "adaptive goes by more"),
        (pool(strategy="resource_aware"), "resource_aware goes by more"),
        (pool(load=None), "not all that a rehearsal needs was measured"),
        (pool(total=replace(total, response=Latency())), "not all that a rehearsal needs was measured"),
        (pool(total=replace(total, answered=40)), "40 answers are too few"),
        (pool(total=replace(total, error_rate=0.2)), "20.0% of the attempts failed"),
        (pool(load=load_with(shared=True)), "quick serves other pools"),
        (pool(load=load_with(workers=2.5)), "workers of quick"),
        (pool(load=load_with(slots=4.0)), "or of their slots, changed"),
        (pool(rate=0.02, servers=(server("slow", 50.0, workers=400),)), "too little"),
    ]
    for given, reason in cases:
        told = rehearse(given)
        assert (told.holds, told.better, told.runs, told.calls) == (False, None, (), 0)
        assert reason in told.reason
    assert rehearse(pool(), doubt="the strategy changed").reason == "the strategy changed"
