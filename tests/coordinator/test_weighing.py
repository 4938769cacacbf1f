"""What pools weigh for workers that serve several: by what waits there that nobody else can do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcpweft_coordinator.strategy.figures import Candidate, Figures
from mcpweft_coordinator.weighing import HEAVIEST, STEP, Weights, weigh


def pool(waiting: int, *, specialists: int = 0, pressed: bool = False) -> Figures:
    """A pool in which the generalist `g`, and specialists of one slot, take 100 ms for a call."""
    crew = [Candidate(worker=f"s{number}", concurrency=1, service_ms=100.0) for number in range(specialists)]
    generalist = Candidate(worker="g", concurrency=4, service_ms=100.0, pools=2)
    return Figures(now=0.0, candidates=(generalist, *crew), waiting=waiting, pressed=pressed)


def settled(pools: dict[str, Figures]) -> dict[str, float]:
    weights: Weights = {}
    for _ in range(6):
        weights = weigh(pools, weights)
    return weights["g"]


def test_who_serves_one_pool_has_no_weights() -> None:
    assert set(weigh({"a": pool(5, specialists=2), "b": pool(0)}, {})) == {"g"}


def test_where_nothing_waits_all_weigh_the_same() -> None:
    assert settled({"a": pool(0), "b": pool(0)}) == {"a": 1, "b": 1}


def test_the_pool_with_more_work_weighs_more_and_the_other_is_not_starved() -> None:
    assert settled({"a": pool(80), "b": pool(10)}) == {"a": HEAVIEST, "b": 2}
    assert settled({"a": pool(80), "b": pool(0)}) == {"a": HEAVIEST, "b": 1}


def test_what_specialists_do_within_a_second_calls_for_nobody_else() -> None:
    assert settled({"a": pool(20, specialists=2), "b": pool(10)}) == {"a": 1, "b": HEAVIEST}


def test_a_deadline_that_presses_weighs_four_times() -> None:
    assert settled({"a": pool(40), "b": pool(40, pressed=True)}) == {"a": 4, "b": HEAVIEST}


@given(
    st.lists(
        st.tuples(st.integers(0, 10_000), st.integers(0, 10_000), st.booleans()), min_size=1, max_size=20
    )
)
def test_weights_move_by_a_bounded_factor_and_stay_within_their_bounds(
    turns: list[tuple[int, int, bool]],
) -> None:
    weights: Weights = {}
    for one, two, pressed in turns:
        before = weights
        weights = weigh({"a": pool(one, pressed=pressed), "b": pool(two)}, before)
        for name, weight in weights["g"].items():
            past = before.get("g", {}).get(name, 1.0)
            assert 1 <= weight <= HEAVIEST
            assert past / STEP <= weight <= past * STEP
