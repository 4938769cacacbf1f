"""Presets of one's own: valid whatever is asked, or a refusal that says what to write."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft_schemas.config import StrategyName
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_schemas.presets import Purpose, Reliability, custom, validate

COMMAND = {"search": {"command": "search-server"}}


@given(
    server_count=st.integers(3, 500),
    strategy=st.sampled_from(StrategyName),
    reliability=st.sampled_from(Reliability),
    performance_optimized=st.booleans(),
    service_time=st.floats(0.001, 100_000),
    concurrency=st.integers(1, 2000),
    purpose=st.sampled_from(Purpose),
)
def test_whatever_is_asked_passes_for_its_purpose(**asked: Any) -> None:
    preset = custom("mine", **asked)
    review = validate(preset.config(COMMAND), preset.purpose)
    assert review.passed, review.errors
    assert {one.key for one in review.warnings} <= {"redis.url"}


@given(count=st.integers(2, 200), service=st.floats(0.001, 10), slots=st.integers(1, 300), fast=st.booleans())
def test_its_figure_is_little_s_law_below_the_point_of_scaling(
    count: int, service: float, slots: int, *, fast: bool
) -> None:
    preset = custom(
        "mine", server_count=count, service_time=service, concurrency=slots, performance_optimized=fast
    )
    config = preset.config(COMMAND)
    assert preset.load.most_qps * service == pytest.approx(config.scaling.up_at * count * slots)


def test_reliability_is_attempts_breakers_and_servers() -> None:
    low, high = (custom("mine", server_count=3, reliability=each).config(COMMAND) for each in ("low", "high"))
    assert (low.call.max_attempts, high.call.max_attempts) == (2, 5)
    assert (low.breaker.failure_threshold, high.breaker.failure_threshold) == (5, 2)
    assert (low.servers["search"].least, high.servers["search"].least) == (2, 3)


def test_performance_is_short_attempts_and_early_servers() -> None:
    config = custom("mine", server_count=3, performance_optimized=True).config(COMMAND)
    assert (config.call.attempt_timeout, config.scaling.up_at) == (5.0, 0.7)
    assert custom("mine", server_count=3).config(COMMAND).call.attempt_timeout == 30.0


def test_a_slow_server_is_given_ten_times_what_it_takes() -> None:
    config = custom("mine", server_count=2, service_time="20m").config(COMMAND)
    assert config.call.attempt_timeout == 12_000
    assert config.call.submit_timeout == config.call.timeout > 36_000


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"server_count": 1}, "this needs 2"),
        ({"server_count": 2, "reliability": "high"}, "this needs 3"),
        ({"server_count": 0, "purpose": Purpose.TESTING}, "this needs 1"),
        ({"server_count": 3, "strategy": "weigthed_response_time"}, "Did you mean weighted_response_time?"),
        ({"server_count": 3, "strategy": "?"}, "Write one of round_robin, "),
        ({"server_count": 3, "reliability": "medium"}, "Write one of low, moderate, high."),
        ({"server_count": 3, "service_time": "soon"}, "a duration, such as"),
        ({"server_count": 3, "service_time": 0}, "Write a figure above 0."),
        ({"server_count": 3, "concurrency": 0}, "Write 1 or more."),
        ({"server_count": 3, "name": "My preset"}, "a-z"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_write(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidConfigError, match=says.replace("?", r"\?")):
        custom(asked.pop("name", "mine"), **asked)
