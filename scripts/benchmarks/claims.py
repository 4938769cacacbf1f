"""The headline claims as experiments: what holds, by how much, and how sure that is.

    scripts/bench claims [--full] [--only scaling,p50,blackhole,availability,failover] [--rounds 5]
                         [--state DIR] [--length 0.1] [--resume] [--gather] [--record]

    scaling        1, 2, 4, 8 servers against as many bare MCP clients            experiments/scaling.py
    p50            load balancing against a random choice, at a load of 0.6      experiments/balance.py
    blackhole      p95 by failover and p99 by breakers, one of four servers away experiments/blackhole.py
    availability   servers, workers and the coordinator are killed               experiments/availability.py
    failover       how soon calls are answered after a fault                     experiments/recovery.py

A run is a tenth as long as it should be and is called `smoke`: it shows that all works and judges no
target. `--full` judges. It takes some three hours, and what it has found of each arm of each repetition lies
in `--state` (`.claims/1` in the checkout): it can be ended at any time and goes on from there, part by part
with `--only`; with `--resume` it goes on from what was recorded, on another machine too. A smoke run measures
anew what it is asked for. Figures are those of all that lies there, and `--gather` measures nothing and tells
them.

Servers are simulated: processes that take so long for a call by sleeping, one at a time, first come first
served; each answers with the nonce of the call and writes it down. A run, one arm of one repetition, is void
on one wrong nonce and on one request without an outcome a second after its deadline: void runs are told and
count for nothing, and a claim with one is missed. Arms take turns within a repetition; each repetition has a
seed. Intervals are 95 %: of medians by the bootstrap over repetitions, of availability by Clopper and
Pearson. What became of each request lies in `--state`, too, as JSON lines; `--record` packs them.

The last line has a row for each claim: `measured`, `interval`, `aims` and `reached` (null where nothing is
judged), and `targets_missed`, the names of the claims that were not reached.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.all import met
from benchmarks.experiments import availability, balance, blackhole, recovery, scaling
from benchmarks.experiments.trial import Site
from benchmarks.rig.harness import turns
from benchmarks.rig.load import run
from benchmarks.rig.measured import MeasuredStore, store_of
from benchmarks.rig.notebook import Notebook
from benchmarks.rig.report import RECORDS, Report, options, publish, show

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from benchmarks.experiments.trial import Experiment, Row
    from benchmarks.rig.harness import Rounds

EXPERIMENTS = {
    each.name: each
    for each in (
        scaling.EXPERIMENT, balance.EXPERIMENT, blackhole.EXPERIMENT, availability.EXPERIMENT,
        recovery.EXPERIMENT,
    )
}  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]
PACKED = RECORDS / "claims.jsonl.xz"
SMOKE, FULL = 0.1, 1.0


def repetitions(experiment: Experiment, asked: Namespace) -> int:
    """Return how many an experiment has."""
    return 1 if experiment.once else int(asked.rounds)


def measure(experiment: Experiment, book: Notebook, store: MeasuredStore, asked: Namespace) -> None:
    """Measure what is missing of an experiment."""
    for number in range(1, repetitions(experiment, asked) + 1):
        for arm in turns(experiment.arms, number):
            if book.has(experiment.name, number, arm):
                continue
            store.wipe()
            with tempfile.TemporaryDirectory() as folder:
                raw = book.place(experiment.name, number, arm, "jsonl")
                site = Site(experiment.name, arm, number, asked.length, Path(folder), store.url, raw)
                found = run(experiment.measure(site))
            book.write(experiment.name, number, arm, found)
            show(number, f"{experiment.name}: {arm}", found.figures)
            for reason in found.void[:3]:
                print(f"    void: {reason}", flush=True)


def rounds_of(experiment: Experiment, book: Notebook, asked: Namespace) -> tuple[Rounds, list[str], bool]:
    """Return the repetitions without a void arm, why the others are void, and whether none is missing."""
    rounds: Rounds = []
    void: list[str] = []
    complete = True
    for number in range(1, repetitions(experiment, asked) + 1):
        found = {arm: book.read(experiment.name, number, arm) for arm in experiment.arms}
        whole = {arm: each for arm, each in found.items() if each is not None}
        void += [f"{arm}, repetition {number}: {each.void[0]}" for arm, each in whole.items() if each.void]
        if len(whole) < len(found):
            complete = False
        elif not any(each.void for each in whole.values()):
            rounds.append({arm: each.figures for arm, each in whole.items()})
    return rounds, void, complete


def told(row: Row, rounds: Rounds, void: list[str], *, judged: bool) -> dict[str, Any]:
    """Return a claim's row of the last line."""
    reached = all(met(row.figures[name], goal) == "yes" for name, goal in row.goals.items()) and not void
    return {
        "claim": row.claim,
        "measured": row.figures,
        "interval": row.intervals,
        "aims": row.goals,
        "repetitions": len(rounds),
        "void": void,
        "reached": reached if judged else None,
    }


def gather(book: Notebook, asked: Namespace) -> tuple[dict[str, dict[str, Any]], Rounds]:
    """Return the claims' rows by name, and all repetitions with their arms named by their parts."""
    claims: dict[str, dict[str, Any]] = {}
    all_rounds: Rounds = []
    for experiment in EXPERIMENTS.values():
        rounds, void, complete = rounds_of(experiment, book, asked)
        judged = asked.full and complete
        if void and not rounds:
            claims[experiment.name] = {"void": void, "repetitions": 0, "reached": False if judged else None}
        for row in experiment.judge(rounds) if rounds else ():
            claims[row.name] = told(row, rounds, void, judged=judged)
        for number, found in enumerate(rounds):
            if number == len(all_rounds):
                all_rounds.append({})
            all_rounds[number] |= {f"{experiment.name}: {arm}": figures for arm, figures in found.items()}
    return claims, all_rounds


def flat(claims: dict[str, dict[str, Any]], of: str) -> dict[str, Any]:
    """Return `measured` or `aims` of all claims in one table, as the page of figures has them."""
    return {
        f"{name}_{figure}": value for name, row in claims.items() for figure, value in row.get(of, {}).items()
    }


def plot(claims: dict[str, dict[str, Any]], rounds: Rounds) -> Callable[[Any], None]:
    """Return what draws the claims: scaling, and percentiles of the arms."""

    def draw(figure: Any) -> None:
        left, middle, right = figure.subplots(1, 3)
        efficiency = claims.get("scaling", {}).get("measured", {}).get("efficiency", {})
        left.plot([int(n) for n in efficiency], list(efficiency.values()), "o-")
        left.axhline(0.97, color="grey", linestyle=":")
        left.set_title("of n bare clients, over n", fontsize=8)
        for axes, part, parts in ((middle, "p50", ("p50",)), (right, "blackhole", ("p95", "p99"))):
            arms = [arm for arm in (rounds[0] if rounds else {}) if arm.startswith(f"{part}: ")]
            for place, arm in enumerate(arms):
                for style, name in zip(("o", "x"), parts, strict=False):
                    values = [row[arm][name] for row in rounds if arm in row]
                    axes.plot([place] * len(values), values, style, markersize=4)
            axes.set_xticks(
                range(len(arms)), [arm.partition(": ")[2] for arm in arms], rotation=30, fontsize=6
            )
            axes.set_title(f"{part}: {', '.join(parts)}, ms", fontsize=8)
            axes.set_yscale("log")

    return draw


def asked_for() -> Namespace:
    """Read the command line."""
    parser = options(__doc__)
    parser.add_argument(
        "--full", action="store_true", help="as long as it takes to judge; goes on where it was"
    )
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(EXPERIMENTS), metavar="PARTS"
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="where what was found lies")
    parser.add_argument("--resume", action="store_true", help="go on from what was recorded")
    parser.add_argument("--length", type=float, help=f"part of a full run; {SMOKE} where not --full")
    parser.add_argument("--gather", action="store_true", help="tell what was found, and measure nothing")
    asked = parser.parse_args()
    if strange := set(asked.only) - set(EXPERIMENTS):
        parser.error(f"{', '.join(sorted(strange))}: known are {', '.join(EXPERIMENTS)}")
    if asked.resume and not asked.full:
        parser.error("--resume needs --full: what is recorded has its length")
    if asked.full and asked.length is not None:
        parser.error("--full has a length of 1: leave --length out")
    asked.length = FULL if asked.full else asked.length or SMOKE
    asked.state = asked.state or ROOT / ".claims" / f"{asked.length:g}"
    return asked


def main() -> None:
    """Measure what is asked for and missing, and publish all that is there."""
    asked = asked_for()
    book = Notebook(asked.state)
    if asked.resume:
        book.unpack(PACKED)
    with store_of(asked) as store:
        for name in () if asked.gather else asked.only:
            if not asked.full:
                book.forget(name)
            measure(EXPERIMENTS[name], book, store, asked)
        version = store.version()
    claims, rounds = gather(book, asked)
    missed = [name for name, row in claims.items() if row["reached"] is False]
    figures: dict[str, Any] = {
        "label": "full" if asked.full else "smoke",
        **flat(claims, "measured"),
        "claims": claims,
        "targets_missed": missed if asked.full else None,
    }
    verdicts = Counter(str(row["reached"]) for row in claims.values())
    print(f"\n{len(claims)} claims, reached: {dict(verdicts)}")
    publish(
        Report(
            name="claims", rounds=rounds, figures=figures, goals=flat(claims, "aims") if asked.full else {},
            store=version, plot=plot(claims, rounds),
        ),
        asked,
    )  # fmt: skip
    if asked.record:
        book.pack(PACKED)


if __name__ == "__main__":
    main()
