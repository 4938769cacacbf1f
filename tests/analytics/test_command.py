"""`mcpweft analytics` as people and programs read it: golden files of one made-up hour."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft import Analytics
from mcpweft.analytics.advice import recommendations
from mcpweft.analytics.figures import (
    BreakerMove,
    Failover,
    Range,
    Rehearsal,
    Rehearsed,
    StrategyChange,
    Trouble,
)
from mcpweft.analytics.slots import Part, Picture
from mcpweft.analytics.summary import Span, summarise
from mcpweft.cli import answer
from mcpweft.cli.analytics import charts, show
from mcpweft.cli.chart import chart
from mcpweft_schemas.figure import Figure, PoolLevel, ServerLevel, Tally, Time
from mcpweft_schemas.life import Class

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
START = 1_767_225_600  # 2026-01-01, where a slot of either width begins
HOUR = Span(START, 1000 * (START + 3600), 10)


def slot(number: int) -> Part:
    """One slot: ten answers of a quick server, ten of one that gets slower, and a class that waits."""
    quick, slow = Tally(), Tally()
    for tally, ms in ((quick, 20.0), (slow, 60.0 + number)):
        for _ in range(10):
            tally.count(Figure.OK)
            tally.count(Figure.BUSY_MS, ms)
            for kind, took in ((Time.SERVICE, ms), (Time.QUEUE, 5.0), (Time.RESPONSE, ms + 5)):
                tally.time(kind, took)
    slow.count(Figure.FAILED, number % 4)
    counters = {
        "accepted": 20 * number,
        "done": 20 * number,
        "took": 1000 * number,
        "unretried": number // 200,
    }
    levels: dict[int, float] = {ServerLevel.LOOKS: 1, ServerLevel.WORKERS: 1, ServerLevel.SLOTS: 4}
    start = START + 10 * number
    return Part(
        start,
        {("quick", "find", Class.NORMAL): quick, ("slow", "find", Class.LOW): slow},
        Tally({PoolLevel.LOOKS: 1, PoolLevel.LOW: number % 7}),
        {"quick": Tally(levels), "slow": Tally(levels)},
        Picture(1000 * start, counters),
    )


@pytest.fixture
def hour() -> Analytics:
    """An hour of one pool, with a gap in its middle, and one of which nothing is known."""
    parts = [slot(number) for number in range(360) if not 100 <= number < 130]
    pools = (
        summarise("search", parts, HOUR, "round_robin"),
        summarise("quiet", [], HOUR, None),
    )
    when = 1000 * (START + 1000)
    back = Failover(
        trouble=Trouble.BREAKER, server="slow", workers=("slow.1",), pools=(), cause="5 failures in a row",
        began_ms=when, ended_ms=when + 61_500, recovery_s=61.5, moved=5, lost=0, to=("quick",),
    )  # fmt: skip
    out = Failover(
        trouble=Trouble.WORKER_DIED, server="slow", workers=("slow.2",), pools=("search",), cause="silent",
        began_ms=when, ended_ms=None, recovery_s=None, moved=1, lost=1, to=None,
    )  # fmt: skip
    return Analytics(
        since_ms=1000 * START, until_ms=HOUR.until_ms, slot_s=10, pools=pools, failovers=(back, out),
        breaker_moves=(BreakerMove(at_ms=when, server="slow", worker="slow.1", before="closed", after="open",
                                   reason="5 failures in a row"),),
        strategy_changes=(StrategyChange(at_ms=when, pool="search", before="adaptive", after="round_robin"),),
        events_from_ms=1000 * START, recommendations=recommendations(pools),
    )  # fmt: skip


def golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("MCPWEFT_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), "meant? then run with MCPWEFT_GOLDEN=write"


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let times be told as in Greenwich."""
    import time  # noqa: PLC0415  # its zone is what is set

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_people_read_charts_figures_failovers_and_advice(
    hour: Analytics, utc: None, capsys: pytest.CaptureFixture[str]
) -> None:
    show(hour, drawn=True)
    golden("analytics.txt", capsys.readouterr().out)


def test_a_program_reads_every_field_and_null_for_what_nobody_knows(
    hour: Analytics, capsys: pytest.CaptureFixture[str]
) -> None:
    answer.print_json(asdict(hour))
    said = json.loads(capsys.readouterr().out)
    for pool in said["pools"]:
        pool["timeline"] = pool["timeline"][:2]
    golden("analytics.json", json.dumps(said, indent=1) + "\n")
    quiet = said["pools"][1]
    assert quiet["total"]["service"] == {
        "count": 0,
        **dict.fromkeys(("mean_ms", "p50_ms", "p95_ms", "p99_ms")),
    }


def test_what_the_simulator_says_stands_in_a_table_of_its_own_with_its_range_and_its_evidence(
    hour: Analytics, capsys: pytest.CaptureFixture[str]
) -> None:
    def times(*ms: float) -> Range:
        return Range(least_ms=ms[0], middle_ms=ms[1], most_ms=ms[2])

    runs = tuple(
        Rehearsed(strategy=name, p50=times(49, 50, 51), p95=times(at - 4, at, at + 4), p99=times(at, at, at))
        for name, at in (("round_robin", 152.0), ("predictive", 64.0))
    )
    found = Rehearsal(
        pool="search", strategy="round_robin", measured_p95_ms=150.0, holds=True, better="predictive",
        reason="", runs=runs, seeds=3, calls=140_000, seconds=500.0, recorded_s=3600.0,
    )  # fmt: skip
    none = Rehearsal(
        pool="quiet", strategy=None, measured_p95_ms=None, holds=False, better=None, reason="nobody knows"
    )
    advice = recommendations(hour.pools, [found, none])
    show(replace(hour, rehearsals=(found, none), recommendations=advice), drawn=False)
    said = capsys.readouterr().out
    assert "pool\tsimulated under\tp50\tp95\tp99\n" in said
    assert "search\tpredictive\t50 (49 to 51)\t64 (60 to 68)\t64 (64 to 64)\n" in said
    assert "quiet: the simulator recommends no other strategy: nobody knows.\n" in said
    assert "search: predictive would have given a p95 of 64 ms (60 to 68) by the simulator on the" in said
    assert "simulated_p95_ms 152, rehearsed predictive, rehearsed_p95_ms 64" in said


def test_charts_fit_eighty_columns_and_leave_out_what_is_not_known(hour: Analytics) -> None:
    for pool in hour.pools:
        lines = list(charts(pool, hour))
        assert max(map(len, lines)) <= 80
    known, unknown = list(charts(hour.pools[0], hour)), list(charts(hour.pools[1], hour))
    assert "    " in known[1][11:60]  # the gap
    assert all(line.endswith("unknown") for line in unknown[1:5])


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([0.0, 1.0, 2.0, 4.0], "▁▃▅█ most 4"),
        ([None, 4.0, None, 0.0], " █ ▁ most 4"),
        ([0.0] * 4, "▁▁▁▁ most 0"),
        ([None] * 4, "     unknown"),
    ],
)
def test_a_column_is_as_high_as_its_part_of_the_highest(values: list[Any], drawn: str) -> None:
    points = [(n, value) for n, value in enumerate(values)]
    assert chart("x", points, 0, 4, width=28)[11:] == drawn
