"""What each strategy is good for, and what it must not harm, in the simulator."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpweft_coordinator.strategy.adaptive import ARMS
from mcpweft_coordinator.strategy.choice import STRATEGIES
from mcpweft_coordinator.strategy.figures import Candidate, Figures
from mcpweft_schemas.share import Share
from mcpweft_simulator.fleet import Fleet
from simulation.workload import WORKLOADS, measure

if TYPE_CHECKING:
    from collections.abc import Mapping

SEED, SECONDS = 5, 420.0
SHORT = 180.0
"""Long enough for a throughput, and for W4's slow server to have become so."""
_DONE: dict[tuple[str, float, str, float], Mapping[str, float]] = {}


def figures_of(workload: str, load: float, strategy: str, seconds: float = SECONDS) -> Mapping[str, float]:
    """Measure once, however many tests ask."""
    asked = workload, load, strategy, seconds
    if asked not in _DONE:
        _DONE[asked] = measure(WORKLOADS[workload], load, STRATEGIES[strategy], seed=SEED, seconds=seconds)
    return _DONE[asked]


def gained(workload: str, load: float, part: str, ideal: tuple[float, float]) -> float:
    """Return which part of an ideal model's gain, from the first figure to the second, predictive has."""
    plain = figures_of(workload, load, "round_robin")[part]
    assert plain == pytest.approx(ideal[0], rel=0.06), "the simulator and the ideal model agree on the start"
    return (plain - figures_of(workload, load, "predictive")[part]) / (ideal[0] - ideal[1])


@pytest.mark.parametrize(
    ("workload", "load", "ideals"),
    [
        ("W2", 0.3, {"p95": (150, 61), "p99": (150, 81)}),
        ("W2", 0.6, {"p95": (150, 99), "p99": (173, 126)}),
        ("W3", 0.3, {"p99": (1030, 250)}),
        ("W3", 0.6, {"p99": (910, 374)}),
    ],
)
def test_predictive_has_three_quarters_of_what_can_be_had_on_unequal_servers(
    workload: str, load: float, ideals: dict[str, tuple[float, float]]
) -> None:
    for part, ideal in ideals.items():
        assert gained(workload, load, part, ideal) >= 0.75, part


@pytest.mark.parametrize("workload", ["W1", "W2", "W3"])
def test_predictive_costs_next_to_nothing_where_every_server_must_work(workload: str) -> None:
    plain, predictive = (figures_of(workload, 0.85, name) for name in ("round_robin", "predictive"))
    for part in ("p50", "p95", "p99"):
        assert predictive[part] <= 1.05 * plain[part], part


@pytest.mark.parametrize(
    ("strategy", "workload", "load"),
    [
        ("weighted_response_time", "W4", 0.6),
        ("least_connections", "W5", 0.6),
        ("resource_aware", "W7", 0.3),
        ("resource_aware", "W7", 0.85),
    ],
)
def test_a_strategy_beats_round_robin_by_a_tenth_on_the_workload_that_it_is_made_for(
    strategy: str, workload: str, load: float
) -> None:
    seconds = SHORT if workload == "W7" else SECONDS  # which neither changes nor has a heavy tail
    plain = figures_of(workload, load, "round_robin", seconds)["p95"]
    assert figures_of(workload, load, strategy, seconds)["p95"] <= 0.9 * plain


@pytest.mark.parametrize("workload", ["W2", "W4", "W6"])
@pytest.mark.parametrize("half", [0, 1])
def test_no_strategy_costs_throughput(workload: str, half: int) -> None:
    plain = figures_of(workload, 0.85, "round_robin", SHORT)["throughput"]
    for strategy in sorted(set(STRATEGIES) - {"round_robin"})[half::2]:
        assert figures_of(workload, 0.85, strategy, SHORT)["throughput"] >= 0.95 * plain, strategy


def test_adaptive_settles_on_the_best_and_goes_on_trying_the_others() -> None:
    fleet = Fleet(seed=5)
    pools = WORKLOADS["W2"](fleet, 0.3)
    used: list[str] = []

    def watching(figures: Figures, memory: Any) -> tuple[dict[str, Share], Any]:
        shares, memory = STRATEGIES["adaptive"](figures, memory)
        used.append(memory.arm)
        return shares, memory

    fleet.coordinate(pools, watching)
    fleet.run(900)
    assert set(used[:420]) == set(ARMS), "each is tried"
    assert used[480:].count("predictive") > 0.8 * len(used[480:])


def test_adaptive_books_a_period_on_the_strategy_in_force_and_waits_for_enough_answers() -> None:
    crew = (Candidate(worker="a", concurrency=1, service_ms=50.0),)

    def look(now: float, answers: int, memory: Any) -> Any:
        figures = Figures(now=now, candidates=crew, arrivals=1.0, answers=answers, response_ms=60.0)
        return STRATEGIES["adaptive"](figures, memory)[1]

    memory = look(0.0, 0, None)
    first = memory.arm
    memory = look(61.0, 5, memory)
    assert memory.arm == first, "five answers tell nothing"
    memory = look(62.0, 6, memory)
    assert memory.arm != first
    (book,) = memory.books.values()
    assert {name: account.periods for name, account in book.items()} == {first: 1}


def test_predictive_finds_a_server_again_that_has_become_fast() -> None:
    fleet = Fleet(seed=3)
    pools = WORKLOADS["W4"](fleet, 0.3)
    fleet.coordinate(pools, STRATEGIES["predictive"])
    fleet.run(400)  # it is fast again from 360 on
    before = [worker.server.calls for worker in fleet.workers]
    fleet.run(430)
    calls = [worker.server.calls - known for worker, known in zip(fleet.workers, before, strict=True)]
    assert calls[0] > 0.15 * sum(calls), "a fair part is a quarter"


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_shares_of_a_steady_fleet_change_only_to_look_again_at_a_server_not_heard_of(strategy: str) -> None:
    fleet = Fleet(seed=4)
    pools = WORKLOADS["W2"](fleet, 0.3)
    dealt: list[dict[str, Share]] = []

    def watching(figures: Figures, memory: Any) -> tuple[dict[str, Share], Any]:
        shares, memory = STRATEGIES[strategy](figures, memory)
        dealt.append(shares)
        return shares, memory

    fleet.coordinate(pools, watching)
    fleet.run(120)
    holds = [shares["w3"].holds for shares in dealt[30:]]
    assert sum(a != b for a, b in pairwise(holds)) <= 2 * 90 / 15


unknown = st.none()
candidates = st.builds(
    Candidate,
    worker=st.uuids().map(str),
    concurrency=st.integers(1, 64),
    in_flight=st.integers(0, 64),
    service_ms=unknown | st.floats(0.001, 1e6),
    answered_ago=unknown | st.floats(0, 1e6),
    cpu=unknown | st.floats(0, 1),
    memory=unknown | st.floats(0, 1),
    pools=st.integers(1, 5),
)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@settings(max_examples=150, deadline=None)
@given(
    crews=st.lists(
        st.lists(candidates, max_size=6, unique_by=lambda each: each.worker), min_size=1, max_size=3
    ),
    waiting=st.integers(0, 10**6),
    arrivals=unknown | st.floats(0, 1e6),
    pressed=st.booleans(),
)
def test_whatever_the_figures_each_candidate_gets_a_lawful_share_and_somebody_goes_at_once(
    strategy: str, crews: list[list[Candidate]], waiting: int, arrivals: float | None, *, pressed: bool
) -> None:
    memory = None
    for at, crew in enumerate(crews):
        figures = Figures(
            now=float(at), candidates=tuple(crew), waiting=waiting, arrivals=arrivals, pressed=pressed
        )
        shares, memory = STRATEGIES[strategy](figures, memory)
        assert set(shares) == {each.worker for each in crew}
        assert not crew or any(share.hold(0) == 0 for share in shares.values())
        for each in crew:
            assert 1 <= shares[each.worker].slots(each.concurrency) <= each.concurrency
            assert Share.read(shares[each.worker].packed()) == shares[each.worker]
