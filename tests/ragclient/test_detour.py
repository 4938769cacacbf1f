"""When the fabric is tried, and when it is left alone."""

from __future__ import annotations

from mcpweft.rag.detour import Detour, Way


def test_the_fabric_is_asked_until_it_cannot_serve() -> None:
    detour = Detour(first=1.0)
    assert detour.way(0.0) is Way.FABRIC
    detour.failed(0.0, "gone")
    assert detour.way(0.5) is Way.FALLBACK
    assert detour.reason == "gone"


def test_one_query_tries_it_again_once_the_pause_is_over_and_the_others_do_not_wait_for_it() -> None:
    detour = Detour(first=1.0)
    detour.failed(0.0, "gone")
    assert [detour.way(1.0), detour.way(1.0), detour.way(9.0)] == [Way.BOTH, Way.FALLBACK, Way.FALLBACK]
    detour.served()
    assert detour.way(9.0) is Way.FABRIC
    assert not detour.reason


def test_the_pause_doubles_with_each_try_up_to_the_longest_and_begins_anew_after_an_answer() -> None:
    detour = Detour(first=1.0, longest=3.0)
    now, pauses = 0.0, []
    detour.failed(now, "gone")
    for _ in range(4):
        begun = now
        while detour.way(now) is not Way.BOTH:
            now += 0.25
        pauses.append(now - begun)
        detour.failed(now, "gone")
    assert pauses == [1.0, 2.0, 3.0, 3.0]
    detour.served()
    detour.failed(now, "gone")
    assert detour.way(now + 1.0) is Way.BOTH


def test_many_queries_that_fail_at_once_are_one_failure() -> None:
    detour = Detour(first=1.0)
    for _ in range(50):
        detour.failed(0.0, "gone")
    assert detour.way(1.0) is Way.BOTH


def test_a_try_that_is_given_up_leaves_the_next_one_to_another_query() -> None:
    detour = Detour(first=1.0)
    detour.failed(0.0, "gone")
    assert detour.way(1.0) is Way.BOTH
    detour.dropped()
    assert detour.way(1.0) is Way.BOTH


def test_what_the_fabric_says_of_its_return_is_kept_to_within_reason() -> None:
    detour = Detour(first=1.0, longest=5.0)
    detour.failed(0.0, "no servers", after=3.0)
    assert (detour.way(2.9), detour.way(3.0)) == (Way.FALLBACK, Way.BOTH)
    detour.failed(3.0, "no servers", after=1e9)
    assert (detour.way(7.9), detour.way(8.0)) == (Way.FALLBACK, Way.BOTH)
