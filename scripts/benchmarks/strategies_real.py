"""Strategies on real workers and real MCP servers: the workloads of `scripts/bench strategies`, in real time.

A server is the simulator's own, behind MCP over stdio (`rig/labour.py`): its calls take as long, and disturb
each other as much, as in virtual time; all else is the product, from the client's call to its answer. For
each load a fabric of its own runs, all at the same time, and the strategy is switched while it runs.

    scripts/bench strategies_real [--workloads W1,W2,W3] [--loads 0.3,0.6,0.85] [--strategies …]
                                  [--seconds 60] [--warm-up 15] [--rounds 1] [--overhead-ms 5] [--record]

`adaptive` is left out unless it is named: it learns for 14 minutes first. W4, W6 and W8 change within 420 s
and are worth measuring with `--seconds 420` only.

Between two calls a real worker settles one and fetches the next, and a call over a pipe takes longer than
the server's work: `--overhead-ms`, in all. On servers of 50 ms and one call at a time arrivals of 0.85 would
be a load of 0.93 in truth, so for W1 to W3 they are fewer by what the overhead takes. The figures stand
beside those of a simulated fleet with the same overhead and the same arrivals, and the gain beside the best
that a fixed hold gains there.

predictive_gain   part of what an ideal model gains over round_robin (W2, W3) that predictive does
possible_gain     the same of the best fixed hold in a simulated fleet with the overhead
worst_at_85       highest p95 of predictive over that of round_robin at a load of 0.85
over_simulated    p95 over that of the simulator with the overhead on the same cell: median, lowest, highest
lost_throughput   largest part of round_robin's throughput that any strategy loses
misattributed     answers that named another server than the one that had written their nonce down
failed            calls that ended in an error
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.rig.harness import Rounds, summarise, turns
from benchmarks.rig.measured import store_of
from benchmarks.rig.report import Report, options, publish
from benchmarks.rig.staffed import Staffed
from benchmarks.strategies import FIGURES, IDEAL, LEARNER, Matrix, arm_of, plot, table
from mcpweft_coordinator.strategy.choice import DEFAULT, STRATEGIES
from mcpweft_schemas.share import EVEN, Share
from simulation.workload import LOADS, WARM_UP, WORKLOADS, measure

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from benchmarks.rig.harness import Figures as Measured
    from mcpweft_coordinator.strategy.figures import Figures, Shares
    from mcpweft_coordinator.strategy.strategy import Strategy
    from mcpweft_simulator.fleet import Fleet
    from mcpweft_simulator.pool import Pool

MEANS = {"W1": [0.05] * 4, "W2": [0.05] * 3 + [0.15], "W3": [0.05] * 2 + [0.3] * 2}
"""Seconds that a call takes on each server, where each takes one at a time."""
SLOW = {"W2": {"w3"}, "W3": {"w2", "w3"}}
DEPTHS = (2, 3, 4, 6, 8)


async def measured(url: str, asked: Namespace) -> Rounds:
    """Return the rounds of all workloads."""
    rounds: Rounds = [{} for _ in range(asked.rounds)]
    with tempfile.TemporaryDirectory() as folder:
        for workload in asked.workloads:
            async with AsyncExitStack() as stack:
                fabrics = {
                    load: await stack.enter_async_context(
                        Staffed(
                            Path(folder) / f"{workload}-{load:g}",
                            url,
                            workload,
                            true(workload, load, asked.overhead_ms / 1000),
                        )
                    )
                    for load in asked.loads
                }
                for number in range(asked.rounds):
                    for strategy in turns(asked.strategies, number):
                        rounds[number] |= await cells(fabrics, workload, strategy, number + 1, asked)
    return rounds


async def cells(
    fabrics: dict[float, Staffed], workload: str, strategy: str, number: int, asked: Namespace
) -> dict[str, Measured]:
    """Measure a strategy at all loads at the same time."""
    for fabric in fabrics.values():
        await fabric.use(strategy)
    found = await asyncio.gather(
        *(
            fabric.run(warm_up=asked.warm_up, seconds=asked.seconds, seed=f"{number}.{workload}.{load:g}")
            for load, fabric in fabrics.items()
        )
    )
    row = {arm_of(workload, load, strategy): one for load, one in zip(fabrics, found, strict=True)}
    for arm, figures in row.items():
        told = "  ".join(f"{name} {value:.1f}" for name, value in figures.items())
        print(f"round {number:>3}  {arm:<34} {told}", flush=True)
    return row


def true(workload: str, load: float, overhead: float) -> float:
    """Return the arrivals that make a load of their part of what slots can serve with the overhead."""
    means = MEANS.get(workload, ())
    bare, taken = sum(1 / mean for mean in means), sum(1 / (mean + overhead) for mean in means)
    return load * taken / bare if means else load


def simulated(matrix: Matrix, overhead: float) -> dict[str, dict[str, float]]:
    """Return the same cells in virtual time, with an overhead of so many seconds a call."""
    return {
        arm_of(w, load, s): measure(
            WORKLOADS[w], true(w, load, overhead), STRATEGIES[s], seed=1, overhead=overhead
        )
        for w in matrix.workloads
        for load in matrix.loads
        for s in matrix.strategies
    }


def fixed(workload: str, depth: int) -> Strategy:
    """Return the strategy that leaves so deep a queue to the fast servers of a workload, at any load."""
    held = Share(hold_ms=1000, depth=depth)

    def strategy(figures: Figures, memory: Any = None) -> tuple[Shares, Any]:
        crew = (each.worker for each in figures.candidates)
        return {worker: held if worker in SLOW[workload] else EVEN for worker in crew}, memory

    return strategy


def possible(matrix: Matrix, overhead: float) -> dict[str, float]:
    """Return which part of the ideal gains the best fixed hold has where each call has that overhead."""
    found: dict[str, float] = {}
    for workload, load in {(workload, load) for workload, load, _ in IDEAL}:
        if workload in matrix.workloads and load in matrix.loads:
            run = partial(mean, WORKLOADS[workload], true(workload, load, overhead), overhead=overhead)
            without = run(STRATEGIES[DEFAULT])
            held = [run(fixed(workload, depth)) for depth in DEPTHS]
            for part in {part for *cell, part in IDEAL if cell == [workload, load]}:
                best = without[part] - min(figures[part] for figures in held)
                plain, ideal = IDEAL[workload, load, part]
                found[arm_of(workload, load, part)] = best / (plain - ideal)
    return dict(sorted(found.items()))


def mean(
    build: Callable[[Fleet, float], list[Pool]], load: float, strategy: Strategy, *, overhead: float
) -> dict[str, float]:
    """Return the means of three runs in virtual time."""
    runs = [measure(build, load, strategy, seed=seed, overhead=overhead) for seed in (1, 2, 3)]
    return {name: sum(run[name] for run in runs) / len(runs) for name in FIGURES}


def judge(matrix: Matrix, beside: dict[str, dict[str, float]], overhead: float) -> dict[str, Any]:
    """Return the figures of the last line."""
    names = [(w, load, s) for w in matrix.workloads for load in matrix.loads for s in matrix.strategies]
    over = summarise(matrix.cell(*name)["p95"] / beside[arm_of(*name)]["p95"] for name in names)
    return {
        "predictive_gain": matrix.gains(),
        "possible_gain": possible(matrix, overhead),
        "worst_at_85": matrix.worst_at_high(matrix.workloads),
        "over_simulated": {"median": over.median, "low": over.low, "high": over.high},
        "lost_throughput": matrix.lost_throughput(),
        "misattributed": sum(of["misattributed"] for row in matrix.rounds for of in row.values()),
        "failed": sum(of["failed"] for row in matrix.rounds for of in row.values()),
    }


def asked_for() -> Namespace:
    """Read the command line."""
    parser = options(__doc__)
    usual = [name for name in STRATEGIES if name != LEARNER]
    parser.set_defaults(rounds=1)
    parser.add_argument("--workloads", type=lambda text: text.split(","), default=["W1", "W2", "W3"])
    parser.add_argument("--loads", type=lambda text: [float(one) for one in text.split(",")], default=LOADS)
    parser.add_argument("--strategies", type=lambda text: text.split(","), default=usual)
    parser.add_argument("--seconds", type=float, default=WARM_UP, help="measured seconds of each cell")
    parser.add_argument("--warm-up", type=float, default=15.0, help="seconds of each that do not count")
    parser.add_argument("--overhead-ms", type=float, default=5.0, help="of a call, in the simulated fleet")
    asked = parser.parse_args()
    for given, known in ((asked.workloads, WORKLOADS), (asked.strategies, STRATEGIES)):
        if strange := set(given) - set(known):
            parser.error(f"{', '.join(sorted(strange))}: known are {', '.join(known)}")
    if DEFAULT not in asked.strategies:
        parser.error(f"--strategies must have {DEFAULT}, against which the others are held")
    return asked


def main() -> None:
    """Measure and publish."""
    asked = asked_for()
    with store_of(asked) as store:
        rounds = asyncio.run(measured(store.url, asked))
        version = store.version()
    matrix = Matrix(rounds, asked.workloads, asked.loads, asked.strategies)
    overhead = asked.overhead_ms / 1000
    beside = simulated(matrix, overhead)
    print(f"\n{table(matrix)}\n")
    goals = {
        "predictive_gain": ">= 0.75 each",
        "worst_at_85": "<= 1.05",
        "lost_throughput": "<= 0.05",
        "misattributed": "<= 0",
        "failed": "<= 0",
    }
    publish(
        Report(
            name="strategies_real", rounds=rounds, figures=judge(matrix, beside, overhead), goals=goals,
            store=version, extra={"matrix": matrix.whole(), "simulated": beside}, plot=plot(matrix),
        ),
        asked,
    )  # fmt: skip


if __name__ == "__main__":
    main()
