"""Each benchmark, as small as it gets, runs to its end and tells its figures. Speed is not judged."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import all as every
from benchmarks import chaos, profile, rag_quality
from benchmarks.rig.report import RECORDS
from chaos.storm import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ONCE = ("--cold", "--rounds", "1")
TINY = (*ONCE, "--seconds", "0.2")


def test_queue_tells_its_figures(bench: Callable[..., dict[str, Any]]) -> None:
    told = bench("queue", *TINY, "--no-peers")
    assert told["calls_per_second_256"] > 0
    assert 0 < told["commands_per_request"] < 10
    assert told["p99_over_p50"] >= 1
    assert told["slowest_script_ms"] >= 1


def test_overhead_tells_its_figures(bench: Callable[..., dict[str, Any]]) -> None:
    told = bench("overhead", *TINY)
    assert told["ratio_raw_loop"] > 0
    assert told["ratio_raw_pair"] > 0
    assert told["queue_path_p50_ms"] > 0
    assert told["throughput_ratio"] > 0
    assert told["throughput_ratio_sdk"] > 0
    assert "added_p50_ms" in told


def test_scale_tells_its_figures(bench: Callable[..., dict[str, Any]]) -> None:
    told = bench("scale", *TINY, "--workers", "2")
    assert told["efficiency"].keys() == {"2"}
    assert told["efficiency"]["2"] > 0


def test_idle_tells_its_figures(bench: Callable[..., dict[str, Any]]) -> None:
    told = bench("idle", *ONCE, "--seconds", "1", "--calls", "3")
    assert told["commands_per_second"] > 0
    assert 0 < told["pickup_p50_ms"] <= told["pickup_p99_ms"]


def test_idle_fleet_tells_its_figures(bench: Callable[..., dict[str, Any]]) -> None:
    told = bench("idle_fleet", *ONCE, "--seconds", "1", "--servers", "2")
    assert told["up_mb"] > 1
    assert told["commands_per_second"] > 0


def test_memory_tells_its_figures(bench: Callable[..., dict[str, Any]]) -> None:
    told = bench("memory", *ONCE, "--waiting", "200", "--requests", "1000", "--every", "0.02")
    assert told["producer_waiting_mb"] > 1
    assert told["redis_bytes_over_payload"] > 0
    assert told["map_peak_mb"].keys() == {"producer", "worker", "store", "store data"}
    assert min(told["map_peak_mb"].values()) > 0


def test_coordinators_tells_its_figures(bench: Callable[..., dict[str, Any]]) -> None:
    told = bench("coordinators", *ONCE, "--seconds", "1.2")
    assert told["throughput_ratio"] > 0
    assert told["takeovers"] >= 1


def test_failover_tells_its_figures(bench: Callable[..., dict[str, Any]]) -> None:
    told = bench("failover", "--trials", "1", "--fault", "coordinator SIGKILL", "--fault", "store restart")
    faults = told["faults"]
    assert faults["store restart"]["p99_ms"] > 0
    assert told["p99_ms_worst"] == faults["coordinator SIGKILL"]["p99_ms"] > 0, "the store is judged apart"
    assert told["lost"] == 0


def test_tenants_tells_its_figures(bench: Callable[..., dict[str, Any]]) -> None:
    told = bench("tenants", *ONCE, "--seconds", "1", "--ms", "100", "--workers", "1")
    assert told["added_p95"] > -1
    assert told["heavy_rate"] > 0


@pytest.mark.timeout(240)  # it makes the index of the standard library, on a machine that may be busy
def test_rag_quality_tells_its_figures(
    bench: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # with tests/rag, that make it too
    told = bench("rag_quality", "--half", "tuning", "--cache", str(shared / "indexes"))
    assert told["recall_at_5"].keys() == set(rag_quality.WAYS)
    assert told["recall_at_5"]["hybrid_search"] > 0.6
    assert told["related_recall_at_5"]["graph_query"] > 0.6
    assert min(told["kept"].values()) > 0.6
    assert max(told["strangers"].values()) < 0.4


def test_the_simulator_tells_how_fast_it_is(bench: Callable[..., dict[str, Any]]) -> None:
    told = bench("simulator", "--workers", "3", "--seconds", "20")
    assert told["requests"] > 10
    assert told["seconds"] > 0


def test_a_profile_tells_where_the_samples_were() -> None:
    stacks = ["main (a.py:1);work (b.py:7) 3", "main (a.py:2);rest (c.py:9) 1", "loop (threading.py:5) 9"]
    assert profile.functions(stacks, 2) == [("main (a.py)", 1.0), ("work (b.py)", 0.75)]
    own = profile.cpu_us(os.getpid())
    while profile.cpu_us(os.getpid()) == own:
        pass  # a tick of the processor's time is counted at last


def test_chaos_counts_violations_and_tells_recoveries(capsys: pytest.CaptureFixture[str]) -> None:
    verdict = Verdict(
        requests=9,
        seconds=1.0,
        violations={"lost": ["n1 was lost"], "hung": []},
        blows=Counter({"kill store": 2}),
        recovery={"kill store": [0.5, 1.5]},
        codes=Counter(OK=8),
    )
    told = chaos.figures(verdict)
    assert (told["violations"], told["lost"], told["hung"]) == (1, 1, 0)
    assert (told["recovery_p50_ms"], told["recovery_max_ms"]) == ({"kill store": 500}, {"kill store": 1500})
    chaos.tell(verdict, told)
    assert "n1 was lost" in capsys.readouterr().out


def test_the_page_names_every_benchmark_and_has_room_for_their_figures() -> None:
    page = (RECORDS / "README.md").read_text()
    for name in every.NAMES:
        assert f"`scripts/bench {name}`" in page
    assert page.index(every.BEGIN) < page.index(every.END)


def test_a_figure_is_held_against_its_aim() -> None:
    assert every.met(0.25, "<= 0.25") == "yes"
    assert every.met(9.99, ">= 10") == "no"
    assert every.met({"1": 0.98, "8": 0.9}, ">= 0.97 each") == "no"
    assert every.met(150, "< 150, with 10,000 waiting") == "no"
    assert every.met({"producer": 1.0}, "about 1 each") == ""
    record = {"benchmark": "b", "figures": {"x": 1.5, "y": {"1": 2}}, "goals": {"y": ">= 2"}}
    assert every.lines(record) == ["| b | `y` | 1: 2 | >= 2 | yes |", "| b | `x` | 1.5 |  |  |"]
    rows = {"benchmark": "b", "figures": {"z": {"one": {"p": 1, "q": 2}}}, "goals": {}}
    assert every.lines(rows) == ["| b | `z.one` | p: 1, q: 2 |  |  |"]


def test_strategies_tells_its_figures(bench: Callable[..., dict[str, Any]]) -> None:
    told = bench("strategies", "--rounds", "1", "--seconds", "64", "--workloads", "W2")
    assert set(told["predictive_gain"]) == {"W2 0.3 p95", "W2 0.3 p99", "W2 0.6 p95", "W2 0.6 p99"}
    assert told["lost_throughput"] < 1


def test_strategies_real_tells_its_figures_and_who_answered_is_who_is_said_to(
    bench: Callable[..., dict[str, Any]],
) -> None:
    cells = ("--workloads", "W7", "--loads", "0.3", "--strategies", "round_robin")
    told = bench("strategies_real", *cells, "--seconds", "2", "--warm-up", "1")
    assert told["misattributed"] == told["failed"] == 0
    assert told["over_simulated"]["median"] > 0


def test_presets_tells_of_each_preset_and_whether_it_reaches_its_figure(
    bench: Callable[..., dict[str, Any]],
) -> None:
    told = bench("presets", "--presets", "testing", "--seconds", "1")
    row = told["presets"]["testing"]
    assert (row["qps"], row["service_ms"], row["failed"]) == (20, 100, 0)
    assert row["p50_ms"] >= 100
    assert row["workers"] >= 2
    assert row["ceiling"] > 0
    assert row["reached"] == (told["reached"] >= 0.99)


def test_claims_tells_a_row_and_judges_nothing_where_it_is_short(
    bench: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    short = (
        "--only",
        "availability",
        "--length",
        "0.01",
        "--rounds",
        "1",
        "--state",
        str(tmp_path / "state"),
    )
    told = bench("claims", *short)
    row = told["claims"]["availability"]
    assert (told["label"], row["reached"], told["targets_missed"]) == ("smoke", None, None)
    assert (row["void"], row["measured"]["requests"]) == ([], 72)
    assert 0 < row["measured"]["at_least"] < row["measured"]["availability"] <= 1
    assert len((tmp_path / "state" / "availability" / "1.fabric.jsonl").read_text().splitlines()) == 72
