"""Who is dead: the decision, walked without a store or a clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcpweft_schemas.rescue import CROWD, Policy, Reclaim, Retire, View, decide

POLICY = Policy(dead_after_ms=1000, patience_ms=10_000, reconnect_ms=1000)
NOW = 1_000_000


def view(up_ms: int = 60_000, **silences: int) -> View:
    return View(NOW, up_ms, {worker: NOW - silence for worker, silence in silences.items()})


def test_a_worker_that_beat_lately_is_left_alone_and_looked_at_when_it_could_be_dead() -> None:
    decision = decide({"a": view(w1=250)}, POLICY)
    assert decision.actions == ()
    assert decision.next_ms == {"a": 750}


def test_silence_of_dead_after_makes_a_suspect() -> None:
    assert decide({"a": view(w1=999)}, POLICY).actions == ()
    assert decide({"a": view(w1=1000)}, POLICY).actions == (Reclaim("a", "w1"),)


def test_only_who_is_silent_for_longer_than_patience_is_removed() -> None:
    assert decide({"a": view(w1=10_999)}, POLICY).actions == (Reclaim("a", "w1"),)
    assert decide({"a": view(w1=11_000)}, POLICY).actions == (Reclaim("a", "w1"), Retire("a", "w1"))


def test_who_never_beat_is_removed() -> None:
    assert decide({"a": View(NOW, 60_000, {"w1": 0})}, POLICY).actions == (
        Reclaim("a", "w1"),
        Retire("a", "w1"),
    )


def test_nobody_is_judged_before_store_and_link_have_been_up_for_dead_after_and_a_reconnect() -> None:
    decision = decide({"a": view(up_ms=1999, w1=50_000)}, POLICY)
    assert decision.actions == ()
    assert decision.next_ms == {"a": 1}
    assert decide({"a": view(up_ms=2000, w1=50_000)}, POLICY).actions


def test_a_worker_lives_as_long_as_it_is_heard_in_any_pool() -> None:
    assert decide({"a": view(w1=5000), "b": view(w1=10)}, POLICY).actions == ()


def test_if_over_half_of_four_or_more_are_silent_at_once_they_get_one_period_more() -> None:
    most = decide({"a": view(w1=1500, w2=1500, w3=1500, w4=10)}, POLICY)
    assert most.doubt
    assert most.actions == ()
    assert most.next_ms == {"a": 500}
    later = decide({"a": view(w1=2000, w2=2000, w3=2000, w4=10)}, POLICY)
    assert later.actions == (Reclaim("a", "w1"), Reclaim("a", "w2"), Reclaim("a", "w3"))


def test_half_of_four_or_all_of_three_are_not_doubted() -> None:
    assert len(decide({"a": view(w1=1500, w2=1500, w3=10, w4=10)}, POLICY).actions) == 2
    assert len(decide({"a": view(w1=1500, w2=1500, w3=1500)}, POLICY).actions) == 3


def test_a_crowd_is_counted_over_the_whole_fleet() -> None:
    views = {name: view(**{f"w{name}": 1500}) for name in "abc"} | {"d": view(wd=10)}
    assert decide(views, POLICY).doubt


fleets = st.dictionaries(
    st.sampled_from("ab"),
    st.builds(
        View,
        now_ms=st.just(NOW),
        up_ms=st.integers(0, 5000),
        beats=st.dictionaries(
            st.sampled_from(["w1", "w2", "w3", "w4", "w5"]), st.integers(NOW - 15_000, NOW)
        ),
    ),
)


@given(fleets)
def test_nobody_who_beat_within_dead_after_is_ever_acted_on_and_nobody_is_forgotten(
    views: dict[str, View],
) -> None:
    decision = decide(views, POLICY)
    heard: dict[str, int] = {}
    for seen in views.values():
        for worker, beat in seen.beats.items():
            heard[worker] = max(beat, heard.get(worker, 0))
    limit = POLICY.dead_after_ms * (2 if decision.doubt else 1)
    for action in decision.actions:
        assert NOW - heard[action.worker] >= limit
        assert views[action.capability].up_ms >= POLICY.settled_ms
    reclaimed = {(a.capability, a.worker) for a in decision.actions if isinstance(a, Reclaim)}
    for name, seen in views.items():
        assert 1 <= decision.next_ms[name] <= POLICY.settled_ms
        for worker in seen.beats:
            dead = NOW - heard[worker] >= limit and seen.up_ms >= POLICY.settled_ms
            assert ((name, worker) in reclaimed) == dead
            # The next look comes no later than the moment at which this one could be dead.
            if not dead and seen.up_ms >= POLICY.settled_ms:
                assert decision.next_ms[name] <= max(1, limit - (NOW - heard[worker]))


@given(fleets)
def test_doubt_needs_a_crowd(views: dict[str, View]) -> None:
    workers = {worker for seen in views.values() for worker in seen.beats}
    if decide(views, POLICY).doubt:
        assert len(workers) >= CROWD
