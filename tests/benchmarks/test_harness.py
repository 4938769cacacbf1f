"""The arithmetic of the benchmarks: rounds, turns, medians, percentiles, the last line."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from benchmarks.rig import report
from benchmarks.rig.harness import (
    Figures,
    Summary,
    interleave,
    of,
    over,
    percentile,
    summarise,
    turns,
)
from benchmarks.rig.load import closed_loop
from benchmarks.rig.measured import called_by_scripts

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ROUNDS = [{"ours": {"rate": 10.0}, "theirs": {"rate": 5.0}}, {"ours": {"rate": 9.0}, "theirs": {"rate": 3.0}}]


def test_a_summary_is_the_median_and_the_range() -> None:
    assert summarise([3, 1, 2]) == Summary(2, 1, 3)
    assert summarise([4, 1, 2, 3]) == Summary(2.5, 1, 4)
    assert summarise([7]) == Summary(7, 7, 7)


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(values, 1) == 100
    assert percentile([3.0], 0.01) == 3


def test_each_round_begins_with_another_arm() -> None:
    assert [turns(["a", "b", "c"], number) for number in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_arms_are_measured_in_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []

    def arm(name: str) -> Figures:
        order.append(name)
        return {"n": float(len(order))}

    heard: list[tuple[int, str]] = []
    found = interleave(
        {"a": lambda: arm("a"), "b": lambda: arm("b")},
        rounds=2,
        tell=lambda number, name, _: heard.append((number, name)),
    )
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert heard == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]
    assert found == [{"a": {"n": 4}, "b": {"n": 3}}, {"a": {"n": 5}, "b": {"n": 6}}]
    assert [list(row) for row in found] == [["a", "b"], ["a", "b"]]


def test_a_cold_run_begins_with_what_counts() -> None:
    found = interleave({"a": lambda: {"n": 1.0}}, rounds=2, warm_up=False)
    assert found == [{"a": {"n": 1}}, {"a": {"n": 1}}]


def test_a_ratio_is_formed_within_each_round() -> None:
    assert over(ROUNDS, lambda row: row["ours"]["rate"] / row["theirs"]["rate"]) == Summary(2.5, 2, 3)
    assert of(ROUNDS, "theirs", "rate") == Summary(4, 3, 5)


async def test_a_closed_loop_counts_what_ends_within_its_time_and_tells_of_all_that_was_made() -> None:
    made = 0
    most = 0
    open_now = 0

    async def call() -> None:
        nonlocal made, most, open_now
        made, open_now = made + 1, open_now + 1
        most = max(most, open_now)
        await asyncio.sleep(0.001)
        open_now -= 1

    found = await closed_loop(call, in_flight=3, seconds=0.1, settle=0.05)
    assert found["calls"] == made
    assert most == 3
    assert 0 < found["rate"] * 0.1 < made
    assert 1 <= found["p50_ms"] <= found["p99_ms"]


def made_of(rounds: list[dict[str, Figures]]) -> report.Report:
    return report.Report(
        name="some", rounds=rounds, figures={"ratio": 1 / 3, "best": "theirs"}, store="valkey 1"
    )


def test_the_last_line_is_one_json_object() -> None:
    line = report.last_line(made_of(ROUNDS))
    assert "\n" not in line
    assert json.loads(line) == {"benchmark": "some", "rounds": 2, "ratio": 0.33333, "best": "theirs"}


def test_a_record_holds_the_command_the_machine_and_all_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/x/some.py", "--rounds", "2"])
    report.write(made_of(ROUNDS), tmp_path, plot=True)
    whole = json.loads((tmp_path / "some.json").read_text())
    assert whole["command"] == "scripts/bench some --rounds 2"
    assert whole["machine"]["store"] == "valkey 1"
    assert whole["rounds"] == ROUNDS
    assert (tmp_path / "some.csv").read_text().splitlines() == [
        "round,arm,figure,value",
        "1,ours,rate,10",
        "1,theirs,rate,5",
        "2,ours,rate,9",
        "2,theirs,rate,3",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["some.csv", "some.json"]


def test_the_table_shows_each_figure_of_each_arm() -> None:
    lines = report.table(ROUNDS).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["ours", "rate", "9.5", "9", "10"],
        ["theirs", "rate", "4", "3", "5"],
    ]


def test_what_scripts_call_is_known_and_is_nothing_that_starts_or_waits() -> None:
    inner = called_by_scripts()
    assert {"hget", "xadd", "xreadgroup", "xack"} <= inner
    assert inner.isdisjoint({"eval", "evalsha", "xread", "bzpopmin", "client"})
