"""What the claims' rig counts, what makes a run void, and what a claim's row says."""

from __future__ import annotations

import asyncio
import json
import lzma
import random
from argparse import Namespace
from typing import TYPE_CHECKING

import pytest

from benchmarks import claims
from benchmarks.experiments import availability, scaling
from benchmarks.rig.ideal import at_random, poisson, shared
from benchmarks.rig.interval import of_median, of_part
from benchmarks.rig.notebook import Found, Notebook
from benchmarks.rig.tally import LATE_S, Said, Tally

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.rig.tally import Call

RAN = {"run.0": ["s0"]}


def tally_of(call: Call, timeout: float = 5.0) -> Tally:
    tally = Tally("run", timeout)
    asyncio.run(tally.call(call))
    return tally


async def echo(nonce: str) -> Said:
    return Said(nonce, "s0")


async def silence(_: str) -> Said:
    await asyncio.Event().wait()
    raise AssertionError("never")


def test_a_run_in_which_each_request_has_its_own_answer_counts() -> None:
    assert tally_of(echo).void(RAN) == []


def test_a_run_is_void_on_an_answer_that_is_not_its_own() -> None:
    async def other(_: str) -> Said:
        return Said("run.7", "s0")

    assert tally_of(other).void(RAN) == ["run.0 was answered with 'run.7'"]


def test_a_run_is_void_on_a_request_without_an_outcome() -> None:
    tally = tally_of(silence, timeout=0.01 - LATE_S)
    assert tally.void(RAN) == ["run.0 had no outcome 1 s after its deadline"]


def test_a_run_is_void_where_another_server_had_written_the_nonce_down() -> None:
    (why,) = tally_of(echo).void({"run.0": ["s1"]})
    assert why == "run.0 was not run by s0, which is said to have answered"


def test_an_error_is_an_outcome_and_is_counted_as_a_failure() -> None:
    async def refuse(_: str) -> Said:
        return Said(error="TIMEOUT", attempts=3)

    tally = tally_of(refuse)
    assert tally.void({}) == []
    assert (tally.figures(0.0)["failed"], tally.figures(0.0)["retried"]) == (1, 1)


def test_latency_counts_from_the_moment_a_request_was_meant_to_be_sent() -> None:
    tally = Tally("run", 5.0)
    asyncio.run(tally.call(echo, due=tally.now() - 2.0))
    assert 2000 <= tally.figures(-10.0)["p50"] < 3000


def test_each_request_is_written_down(tmp_path: Path) -> None:
    tally_of(echo).write(tmp_path / "raw" / "run.jsonl")
    (line,) = (tmp_path / "raw" / "run.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["nonce"], told["answer"], told["server"], told["error"]) == ("run.0", "run.0", "s0", "")


def test_the_exact_interval_of_a_part_is_that_of_the_tables() -> None:
    assert of_part(0, 10) == pytest.approx((0.0, 0.30850), abs=1e-5)
    assert of_part(5, 10) == pytest.approx((0.18709, 0.81291), abs=1e-5)
    assert of_part(36_000, 36_000) == pytest.approx((1 - 1.0246e-4, 1.0), abs=1e-7)


def test_the_interval_of_a_median_holds_it_and_lies_within_the_values() -> None:
    low, high = of_median([3.0, 1.0, 2.0, 5.0, 4.0])
    assert 1 <= low <= 3 <= high <= 5
    assert of_median([2.0]) == (2.0, 2.0)


def test_where_all_wait_in_one_line_nobody_waits_beside_a_free_server() -> None:
    assert at_random([0.0, 0.0, 0.5], [1.0, 1.0], [0, 0, 1]) == [1.0, 2.0, 1.0]
    assert shared([0.0, 0.0, 0.5], [1.0, 1.0]) == [1.0, 1.0, 1.5]


def test_the_ideal_model_gains_what_theory_says_at_a_load_of_0_6() -> None:
    dues = poisson(48.0, 1000.0, "seed")
    rng = random.Random(1)
    choices = [rng.randrange(4) for _ in dues]
    middle = len(dues) // 2
    alone = sorted(at_random(dues, [0.05] * 4, choices))[middle]
    together = sorted(shared(dues, [0.05] * 4))[middle]
    assert 1 - together / alone == pytest.approx(0.269, abs=0.02)


def asked(*, full: bool, rounds: int = 2) -> Namespace:
    return Namespace(full=full, rounds=rounds)


def written(folder: Path, failed: float, void: list[str]) -> Notebook:
    book = Notebook(folder)
    for number in (1, 2):
        figures = {"requests": 1000.0, "failed": failed}
        book.write("availability", number, "fabric", Found(figures, void if number == 1 else []))
    return book


def test_a_claim_whose_figure_meets_its_aim_is_reached(tmp_path: Path) -> None:
    rows, rounds = claims.gather(written(tmp_path, 0, []), asked(full=True))
    assert rows["availability"]["reached"] is True
    assert rows["availability"]["measured"]["at_least"] == pytest.approx(of_part(2000, 2000)[0])
    assert len(rounds) == 2


def test_a_claim_whose_figure_misses_its_aim_is_missed(tmp_path: Path) -> None:
    rows, _ = claims.gather(written(tmp_path, 1, []), asked(full=True))
    assert rows["availability"]["reached"] is False


def test_a_claim_with_a_void_run_is_missed_and_the_run_counts_for_nothing(tmp_path: Path) -> None:
    rows, rounds = claims.gather(written(tmp_path, 0, ["n was answered with 'm'"]), asked(full=True))
    row = rows["availability"]
    assert (row["reached"], row["repetitions"], len(rounds)) == (False, 1, 1)
    assert row["void"] == ["fabric, repetition 1: n was answered with 'm'"]


def test_a_short_run_judges_nothing(tmp_path: Path) -> None:
    rows, _ = claims.gather(written(tmp_path, 1, []), asked(full=False))
    assert rows["availability"]["reached"] is None


def test_a_claim_is_not_judged_before_all_its_repetitions_are_there(tmp_path: Path) -> None:
    rows, _ = claims.gather(written(tmp_path, 0, []), asked(full=True, rounds=3))
    assert rows["availability"]["reached"] is None


def test_what_was_found_is_there_until_its_part_begins_anew(tmp_path: Path) -> None:
    book = written(tmp_path, 0, [])
    book.write("scaling", 1, "bare 1", Found({"rate": 20.0}))
    book.forget("availability")
    assert not book.has("availability", 1, "fabric")
    assert book.read("scaling", 1, "bare 1") == Found({"rate": 20.0})


def test_efficiency_is_that_of_one_round_before_its_median_is_taken() -> None:
    rounds = [
        {
            f"{kind} {n}": {"rate": rate * n}
            for n in scaling.NUMBERS
            for kind, rate in (("bare", b), ("fabric", f))
        }
        for b, f in ((20.0, 19.0), (10.0, 9.9), (20.0, 19.6))
    ]
    (row,) = scaling.judge(rounds)
    assert row.figures["efficiency"]["8"] == pytest.approx(0.98)
    assert row.figures["more_than_one"]["4"] == pytest.approx(3.0)


def test_availability_is_told_with_its_bound() -> None:
    (row,) = availability.judge([{"fabric": {"requests": 18_000.0, "failed": 1.0}}] * 2)
    assert row.figures["availability"] == pytest.approx(1 - 2 / 36_000)
    assert row.figures["at_least"] == pytest.approx(of_part(35_998, 36_000)[0])


def test_void_runs_do_not_stand_for_repetitions_that_are_missing(tmp_path: Path) -> None:
    book = written(tmp_path, 0, ["one reason", "another"])
    rows, _ = claims.gather(book, asked(full=True, rounds=3))
    assert rows["availability"]["reached"] is None


def test_what_was_found_is_packed_by_arm_and_another_run_goes_on_from_there(tmp_path: Path) -> None:
    book = written(tmp_path / "state", 0, ["n was answered with 'm'"])
    book.write("scaling", 2, "bare 4", Found({"rate": 20.0}))
    raw = '{"nonce": "a", "took": 0.123456}\n{"nonce": "b", "took": 0.5}\n'
    book.place("scaling", 2, "bare 4", "jsonl").write_text(raw)
    book.place("scaling", 3, "bare 4", "jsonl").write_text(raw)  # an arm that was ended
    book.pack(tmp_path / "packed.jsonl.xz")
    with lzma.open(tmp_path / "packed.jsonl.xz", "rt") as packed:
        *_, last = map(json.loads, packed)
    about = {"part": "scaling", "repetition": 2, "arm": "bare-4", "figures": {"rate": 20.0}, "void": []}
    assert last == about | {"requests": {"nonce": ["a", "b"], "took": [0.1235, 0.5]}}

    other = Notebook(tmp_path / "other")
    mine = Found({"requests": 1.0, "failed": 1.0})
    other.write("availability", 2, "fabric", mine)
    other.unpack(tmp_path / "packed.jsonl.xz")
    assert other.read("availability", 1, "fabric") == book.read("availability", 1, "fabric")
    assert other.read("availability", 2, "fabric") == mine
    assert not other.has("scaling", 3, "bare 4")
    rows = [json.loads(row) for row in other.place("scaling", 2, "bare 4", "jsonl").read_text().splitlines()]
    assert rows == [{"nonce": "a", "took": 0.1235}, {"nonce": "b", "took": 0.5}]
