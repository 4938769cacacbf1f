"""Each strategy on each workload at each load, in virtual time.

The fleet is simulated (`mcpweft_simulator`): the strategies, the breaker and the division of slots are the
product's own, the servers' times are drawn. So the figures are those of the rules, without a machine's noise,
and the same seeds give the same figures anywhere.

    scripts/bench strategies [--rounds 3] [--seconds 420] [--workloads W2,W3] [--record]

`adaptive` is given 14 minutes to learn in, which do not count, and is measured over three times as long: its
figures are those of a pool that has run for a while.

The table and, in the record, `matrix` hold for each workload, load and strategy the throughput (1/s), p50,
p95 and p99 (ms) from acceptance to answer, medians over the rounds, of which each has a seed of its own.

predictive_gain   part of what an ideal model gains over round_robin (W2, W3) that predictive does
worst_at_85       highest p95 of predictive over that of round_robin at a load of 0.85, on W1 to W3
best_p95_gain     by how much of its p95 each strategy beats round_robin on the workload made for it, at its
                  best load
adaptive_behind   by how much adaptive's p95 is above that of the best of the others, by workload and load;
                  below 0 it is ahead of all
lost_throughput   largest part of round_robin's throughput that any strategy loses anywhere
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.rig.harness import Figures, Rounds, interleave, of
from benchmarks.rig.report import Report, options, publish
from mcpweft_coordinator.strategy.choice import DEFAULT, STRATEGIES
from simulation.workload import LEARNING, LOADS, TURN, WARM_UP, WORKLOADS, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FIGURES = ("throughput", "p50", "p95", "p99")
IDEAL = {
    ("W2", 0.3, "p95"): (150.0, 61.0),
    ("W2", 0.3, "p99"): (150.0, 81.0),
    ("W2", 0.6, "p95"): (150.0, 99.0),
    ("W2", 0.6, "p99"): (173.0, 126.0),
    ("W3", 0.3, "p99"): (1030.0, 250.0),
    ("W3", 0.6, "p99"): (910.0, 408.0),
}
"""p95 or p99 of an ideal model at concurrency 1: with no hold, and with the right one."""
MADE_FOR = {
    "weighted_response_time": "W4",
    "least_connections": "W5",
    "capability_based": "W6",
    "resource_aware": "W7",
}
HIGH = 0.85
LEARNER = "adaptive"


def arm_of(workload: str, load: float, strategy: str) -> str:
    """Name one cell of the matrix."""
    return f"{workload} {load:g} {strategy}"


class Matrix:
    """The medians of all rounds."""

    def __init__(
        self,
        rounds: Rounds,
        workloads: Sequence[str],
        loads: Sequence[float] = LOADS,
        strategies: Sequence[str] = tuple(STRATEGIES),
    ) -> None:
        self.rounds = rounds
        self.workloads = workloads
        self.loads = loads
        self.strategies = strategies

    def cell(self, workload: str, load: float, strategy: str) -> dict[str, float]:
        """Return one cell."""
        arm = arm_of(workload, load, strategy)
        return {name: of(self.rounds, arm, name).median for name in FIGURES}

    def ratio(self, workload: str, load: float, strategy: str, figure: str) -> float:
        """Return a figure over that of round_robin."""
        return self.cell(workload, load, strategy)[figure] / self.cell(workload, load, DEFAULT)[figure]

    def whole(self) -> dict[str, dict[str, float]]:
        """Return all cells by name."""
        return {
            arm_of(w, load, s): self.cell(w, load, s)
            for w in self.workloads
            for load in self.loads
            for s in self.strategies
        }

    def worst_at_high(self, workloads: Sequence[str]) -> float | None:
        """Return the highest p95 of predictive over round_robin's at a load of 0.85; None: not measured."""
        if "predictive" not in self.strategies or HIGH not in self.loads:
            return None
        return max([self.ratio(w, HIGH, "predictive", "p95") for w in workloads], default=None)

    def lost_throughput(self) -> float:
        """Return the largest part of round_robin's throughput that any strategy loses."""
        return max(
            1 - self.ratio(w, load, s, "throughput")
            for w in self.workloads
            for load in self.loads
            for s in self.strategies
        )

    def gains(self) -> dict[str, float]:
        """Return which part of the ideal gains predictive has."""
        found: dict[str, float] = {}
        for (workload, load, part), (plain, held) in IDEAL.items():
            if workload in self.workloads and load in self.loads and "predictive" in self.strategies:
                gained = (
                    self.cell(workload, load, DEFAULT)[part] - self.cell(workload, load, "predictive")[part]
                )
                found[f"{workload} {load:g} {part}"] = gained / (plain - held)
        return found


def judge(matrix: Matrix) -> dict[str, Any]:
    """Return the figures of the last line."""
    here = matrix.workloads
    return {
        "predictive_gain": matrix.gains(),
        "worst_at_85": matrix.worst_at_high([w for w in here if w in {"W1", "W2", "W3"}]),
        "best_p95_gain": {
            strategy: max(1 - matrix.ratio(w, load, strategy, "p95") for load in LOADS)
            for strategy, w in MADE_FOR.items()
            if w in here
        },
        "adaptive_behind": {
            f"{w} {load:g}": matrix.cell(w, load, LEARNER)["p95"]
            / min(matrix.cell(w, load, s)["p95"] for s in STRATEGIES if s != LEARNER)
            - 1
            for w in here
            for load in LOADS
        },
        "lost_throughput": matrix.lost_throughput(),
    }


def table(matrix: Matrix) -> str:
    """Return the matrix as a table: p50/p95/p99 in ms."""
    names = matrix.strategies
    lines = ["| workload | load | " + " | ".join(names) + " |", "|---" * (2 + len(names)) + "|"]
    for workload in matrix.workloads:
        for load in matrix.loads:
            cells = [matrix.cell(workload, load, strategy) for strategy in names]
            told = [f"{cell['p50']:.0f}/{cell['p95']:.0f}/{cell['p99']:.0f}" for cell in cells]
            lines.append(f"| {workload} | {load:g} | " + " | ".join(told) + " |")
    return "\n".join(lines)


def plot(matrix: Matrix) -> Callable[[Any], None]:
    """Return what draws p95 over that of round_robin, a panel for each load."""

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, len(matrix.loads), sharey=True, squeeze=False)[0]
        others = [name for name in matrix.strategies if name != DEFAULT]
        for panel, load in zip(panels, matrix.loads, strict=True):
            for place, strategy in enumerate(others):
                ratios = [matrix.ratio(w, load, strategy, "p95") for w in matrix.workloads]
                spots = [index + (place - len(others) / 2) * 0.12 for index in range(len(ratios))]
                panel.bar(spots, ratios, width=0.12, label=strategy)
            panel.axhline(1, color="grey", linewidth=0.8)
            panel.set_xticks(range(len(matrix.workloads)), matrix.workloads)
            panel.set_title(f"load {load:g}", fontsize=9)
            panel.set_ylim(0, 1.6)
        panels[0].set_ylabel("p95 over that of round_robin")
        panels[-1].legend(fontsize=6)

    return draw


def show(number: int, arm: str, figures: Figures) -> None:
    """Print one run as it comes."""
    print(f"seed {number:>3}  {arm:<34} " + "  ".join(f"{n} {v:.1f}" for n, v in figures.items()), flush=True)


def main() -> None:
    """Run all and publish."""
    parser = options(__doc__)
    parser.set_defaults(rounds=3)
    parser.add_argument("--seconds", type=float, default=TURN, help="virtual seconds of each run")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="some of them, with commas")
    asked = parser.parse_args()
    if asked.seconds <= WARM_UP:
        parser.error(f"--seconds must be more than the {WARM_UP:g} that are cut")
    chosen = asked.workloads.split(",")
    runs: Counter[str] = Counter()
    learning = LEARNING * min(1.0, asked.seconds / TURN)  # a run that only shows that all works is short

    def run(workload: str, load: float, strategy: str) -> Figures:
        arm = arm_of(workload, load, strategy)
        runs[arm] += 1  # the same seed for all of a round: they see the same requests
        learns = strategy == LEARNER
        return measure(
            WORKLOADS[workload], load, STRATEGIES[strategy], seed=runs[arm],
            seconds=asked.seconds * (3 if learns else 1), learning=learning if learns else 0.0,
        )  # fmt: skip

    arms = {
        arm_of(w, load, s): partial(run, w, load, s) for w in chosen for load in LOADS for s in STRATEGIES
    }
    matrix = Matrix(interleave(arms, asked.rounds, show, warm_up=False), chosen)
    print(f"\n{table(matrix)}\n")
    goals = {"predictive_gain": ">= 0.75 each", "worst_at_85": "<= 1.05", "best_p95_gain": ">= 0.1 each",
             "lost_throughput": "<= 0.05"}  # fmt: skip
    publish(
        Report(
            name="strategies", rounds=matrix.rounds, figures=judge(matrix), goals=goals, plot=plot(matrix),
            store="simulated", extra={"matrix": matrix.whole()},
        ),
        asked,
    )  # fmt: skip


if __name__ == "__main__":
    main()
