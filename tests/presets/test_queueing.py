"""The formulas against values that can be worked out by hand, and against a queue that is played."""

from __future__ import annotations

import heapq
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft_schemas.presets import queueing


@pytest.mark.parametrize(
    ("slots", "load", "part"),
    [(1, 0.5, 0.5), (1, 0.9, 0.9), (2, 1.0, 1 / 3), (3, 2.0, 4 / 9), (4, 0.0, 0.0), (2, 2.0, 1.0)],
)
def test_the_part_of_calls_that_wait_is_what_one_works_out_by_hand(
    slots: int, load: float, part: float
) -> None:
    assert queueing.waits(slots, load) == pytest.approx(part)


def test_a_call_waits_at_one_slot_as_long_as_the_textbook_says() -> None:
    # M/M/1: P(W > t) = rho * exp(-(1 - rho) * t / S); with rho = 0.5 and S = 2, 5 of 100 wait for over 9.21 s
    assert queueing.wait(1, 0.5, 2.0, 0.95) == pytest.approx(4 * math.log(0.5 / 0.05))


def test_nobody_knows_how_long_calls_wait_at_full_load() -> None:
    assert queueing.wait(4, 4.0, 1.0) == math.inf


@given(st.integers(1, 200), st.floats(0.01, 0.99), st.floats(0.001, 10))
def test_more_slots_never_make_calls_wait_longer(slots: int, part: float, service: float) -> None:
    load = part * slots
    assert queueing.wait(slots + 1, load, service) <= queueing.wait(slots, load, service) + 1e-9


@pytest.mark.parametrize(("slots", "load"), [(4, 3.2), (16, 14.0), (2, 1.0)])
def test_a_queue_that_is_played_waits_as_long_as_computed(slots: int, load: float) -> None:
    rng = random.Random(7)
    free = [0.0] * slots
    now, waited = 0.0, list[float]()
    for _ in range(200_000):
        now += rng.expovariate(load)
        begins = max(now, heapq.heappop(free))
        heapq.heappush(free, begins + rng.expovariate(1.0))
        waited.append(begins - now)
    waited.sort()
    assert waited[int(0.95 * len(waited))] == pytest.approx(queueing.wait(slots, load, 1.0), rel=0.1)


def test_a_huge_pool_is_reckoned_without_overflow() -> None:
    assert 0 < queueing.waits(20_000, 19_900.0) < 1
