"""Goals become the fewest servers that reach them, or an error that says what would."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpweft_schemas.errors import InvalidConfigError, UnmetGoalError
from mcpweft_schemas.presets import Preset, Reliability, optimize_for, queueing, validate

COMMAND = {"search": {"command": "search-server"}}
GOALS = st.fixed_dictionaries(
    {
        "expected_qps": st.floats(0.1, 5000),
        "service_time": st.floats(0.001, 10),
        "concurrency": st.integers(1, 300),
        "reliability": st.sampled_from(Reliability),
    }
)
SLACK = st.floats(1.05, 20)


def with_latency(goals: dict[str, Any], slack: float) -> dict[str, Any]:
    return {**goals, "max_latency": (goals["service_time"] + queueing.FABRIC_S) * slack}


def slots(preset: Preset, down: int = 0) -> int:
    return (preset.size.usual - down) * int(preset.concurrency.value)


@given(GOALS, SLACK)
def test_whatever_is_asked_passes_and_reaches_its_goal(goals: dict[str, Any], slack: float) -> None:
    asked = with_latency(goals, slack)
    preset = optimize_for(**asked)
    config = preset.config(COMMAND)
    review = validate(config, preset.purpose)
    assert review.passed, review.errors
    assert {one.key for one in review.warnings} <= {"redis.url"}
    load = asked["expected_qps"] * asked["service_time"]
    down = 1 if asked["reliability"] is Reliability.HIGH else 0
    assert load <= config.scaling.up_at * slots(preset)
    assert queueing.latency(slots(preset, down), load, asked["service_time"]) <= asked["max_latency"]
    assert load < slots(preset, 0 if asked["reliability"] is Reliability.LOW else 1)


@settings(max_examples=30)
@given(GOALS, SLACK)
def test_a_budget_of_one_server_less_is_too_little(goals: dict[str, Any], slack: float) -> None:
    asked = with_latency(goals, slack)
    count = optimize_for(**asked).size.usual
    exact = optimize_for(**asked, cost_budget=count * 3.0, server_cost=3.0)
    assert (exact.size.usual, exact.size.most) == (count, count)
    with pytest.raises(UnmetGoalError, match=rf"It takes {count} servers"):
        optimize_for(**asked, cost_budget=count - 0.5)


@settings(max_examples=30)
@given(GOALS, SLACK, st.floats(0.3, 0.95))
def test_each_remedy_that_an_error_names_does_help(goals: dict[str, Any], slack: float, part: float) -> None:
    asked = with_latency(goals, slack)
    budget = max(0.5, part * optimize_for(**asked).size.usual)
    with pytest.raises(UnmetGoalError) as caught:
        optimize_for(**asked, cost_budget=budget)
    assert caught.value.remedies[0].startswith("a cost_budget of ")
    for remedy in caught.value.remedies:
        assert remedy in str(caught.value)
        again: dict[str, Any] = {**asked, "cost_budget": budget, **change(remedy)}
        optimize_for(**again)


def change(remedy: str) -> dict[str, Any]:
    """What a remedy asks to be changed."""
    if found := re.match(r"(?:a )?(cost_budget|expected_qps|max_latency) of ([\d.e+-]+)", remedy):
        return {found[1]: float(found[2])}
    found = re.fullmatch(r"(\w+) reliability", remedy)
    assert found, remedy
    return {"reliability": found[1]}


def test_the_service_time_decides_and_not_a_figure_for_each_server() -> None:
    fast, slow = (
        optimize_for(expected_qps=200, max_latency="5s", service_time=each).size.usual
        for each in ("20ms", "2s")
    )
    assert (fast, slow) == (2, 72)


def test_a_tighter_latency_takes_more_servers_before_a_queue_forms() -> None:
    loose, tight = (
        optimize_for(
            expected_qps=6, service_time="500ms", concurrency=1, reliability="low", max_latency=each
        ).size.usual
        for each in ("4s", "600ms")
    )
    assert loose < tight


def test_the_number_follows_the_load_up_to_what_the_budget_pays_for() -> None:
    asked: dict[str, Any] = {"expected_qps": 300, "max_latency": "1s", "service_time": "200ms"}
    assert optimize_for(**asked).size.most == 17
    size = optimize_for(**asked, cost_budget=13).size
    assert (size.least, size.most) == (11, 13)


def test_what_no_number_of_servers_reaches_is_said() -> None:
    with pytest.raises(UnmetGoalError, match="no number of servers helps") as caught:
        optimize_for(expected_qps=1, max_latency="100ms", service_time="100ms")
    assert caught.value.code == "INVALID_CONFIG"
    assert caught.value.remedies == (
        "max_latency above 0.105 s",
        "a server that takes less than 0.095 s for a call",
    )
    with pytest.raises(UnmetGoalError, match="several namespaces"):
        optimize_for(expected_qps=1e6, max_latency="10s", service_time="1s")


@pytest.mark.parametrize(
    "wrong",
    [
        {"expected_qps": 0},
        {"expected_qps": float("nan")},
        {"max_latency": "-1s"},
        {"service_time": 0},
        {"concurrency": 0},
        {"reliability": "perfect"},
        {"cost_budget": 0},
        {"cost_budget": 1, "server_cost": -1},
    ],
)
def test_an_argument_that_is_wrong_is_refused_by_name(wrong: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"expected_qps": 10, "max_latency": "1s", "service_time": "100ms", **wrong}
    with pytest.raises(InvalidConfigError, match=list(wrong)[-1]):
        optimize_for(**asked)
