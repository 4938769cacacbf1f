"""How times lie: quantiles to a tenth, differences, and what travels."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft_schemas.spread import BUCKETS, Spread, bucket_of

times = st.lists(st.floats(0, 1e7), max_size=60)


def spread(values: list[float]) -> Spread:
    made = Spread()
    for value in values:
        made.add(value)
    return made


@pytest.mark.parametrize("part", [0.5, 0.95, 0.99])
def test_a_quantile_is_right_to_a_tenth(part: float) -> None:
    rng = random.Random(4)
    values = sorted(rng.lognormvariate(4, 1) for _ in range(4000))
    assert spread(values).quantile(part) == pytest.approx(values[int(part * 4000)], rel=0.1)


@given(bucket=st.integers(1, BUCKETS - 2), part=st.floats(0.001, 0.999))
def test_a_time_is_in_the_bucket_that_ends_a_fifth_above_where_the_last_one_does(
    bucket: int, part: float
) -> None:
    assert bucket_of(1.2 ** (bucket - 1) * 1.2**part) == bucket
    assert (bucket_of(0.0), bucket_of(1.0), bucket_of(1e12)) == (0, 0, BUCKETS - 1)


def test_nothing_has_no_quantile() -> None:
    assert Spread().quantile(0.5) is None
    assert Spread.read([]).total == 0


@given(before=times, after=times)
def test_what_came_since_and_what_was_before_is_all(before: list[float], after: list[float]) -> None:
    whole, old = spread(before + after), spread(before)
    assert whole.since(old).told() == spread(after).told()
    assert old.plus(spread(after)).told() == whole.told()


@given(values=times)
def test_what_travels_is_read_as_it_was(values: list[float]) -> None:
    made = spread(values)
    assert Spread.read(made.told()).told() == made.told()
    assert len(made.told()) <= 1 + BUCKETS


def test_who_began_anew_has_counted_all_since() -> None:
    assert spread([5.0]).since(spread([5.0, 7.0])).total == 1


@pytest.mark.parametrize("garbage", [None, 3, "x", ["a"], [-1, 2], [3, -2], [10**9, 1], {"a": 1}])
def test_what_is_no_such_list_says_nothing_or_little(garbage: object) -> None:
    assert Spread.read(garbage).total <= 1
