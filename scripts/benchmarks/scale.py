"""Whether n workers do n times the work of one: slow servers, one call at a time each.

    bare n      n of the SDK's clients, each with a server of its own and one call outstanding
    mcpweft n   n workers of concurrency 1, each with a server of its own; a producer with 64 calls in flight

A call takes the server 50 ms, so that the machine is no bound: what is lost is what a worker idles between
two calls.

    scripts/bench scale [--rounds 5] [--seconds 5] [--workers 1,2,4,8] [--record]

efficiency   by n: the fabric's calls per second, over those of the n bare clients in the same round
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.rig.harness import Figures, Rounds, interleave, of, over
from benchmarks.rig.measured import MeasuredStore, store_of
from benchmarks.rig.party import Background, Party, module, server, worker
from benchmarks.rig.report import Report, options, publish, show

if TYPE_CHECKING:
    from collections.abc import Callable

IN_FLIGHT = 64
SERVER = server("fast", "--ms", 50)


def load(party: Party, seconds: float, in_flight: int) -> Figures:
    """Return what the party measured."""
    answer = party.ask("load", in_flight=in_flight, seconds=seconds, settle=1.0)
    return {name: answer[name] for name in ("rate", "p50_ms", "p99_ms")}


def bare(number: int, seconds: float) -> Figures:
    """Measure so many bare clients."""
    with Party(module("rig.bare", number, *SERVER)) as party:
        return load(party, seconds, number)


def fabric(store: MeasuredStore, number: int, seconds: float) -> Figures:
    """Measure so many workers."""
    store.wipe()
    with ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(Background(worker(store.url, SERVER, 1)))
        producer = Party(module("rig.producer", store.url, "bench.echo", "--workers", number))
        stack.enter_context(producer)
        store.reset()
        found = load(producer, seconds, IN_FLIGHT)
        found["slowest_script_ms"] = store.slowest_script_ms()
        return found


def judge(rounds: Rounds, numbers: list[int]) -> dict[str, Any]:
    """Return the figures of the last line."""
    found = {str(n): over(rounds, partial(efficiency, number=n)) for n in numbers}
    return {
        "efficiency": {n: summary.median for n, summary in found.items()},
        "efficiency_low": {n: summary.low for n, summary in found.items()},
        "slowest_script_ms": max(of(rounds, f"mcpweft {n}", "slowest_script_ms").high for n in numbers),
    }


def efficiency(row: dict[str, Figures], number: int) -> float:
    """Return what so many workers reach of what so many bare clients do."""
    return row[f"mcpweft {number}"]["rate"] / row[f"bare {number}"]["rate"]


def plot(rounds: Rounds, numbers: list[int]) -> Callable[[Any], None]:
    """Return what draws throughput and efficiency over the number of workers."""

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        for arm in ("bare", "mcpweft"):
            left.plot(numbers, [of(rounds, f"{arm} {n}", "rate").median for n in numbers], "o-", label=arm)
        left.set_xlabel("workers")
        left.set_ylabel("calls per second")
        left.legend()
        for n in numbers:
            right.plot([n] * len(rounds), [efficiency(row, n) for row in rounds], "k.", markersize=4)
        right.plot(numbers, [over(rounds, partial(efficiency, number=n)).median for n in numbers], "o-")
        right.axhline(0.97, color="grey", linestyle=":")
        right.set_xlabel("workers")
        right.set_ylabel("efficiency")

    return draw


def main() -> None:
    """Measure and publish."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="measured seconds of each load")
    parser.add_argument("--workers", default="1,2,4,8", help="how many, each number in turn")
    asked = parser.parse_args()
    numbers = [int(number) for number in asked.workers.split(",")]
    arms: dict[str, Callable[[], Figures]] = {}
    with store_of(asked) as store:
        for n in numbers:
            arms[f"bare {n}"] = partial(bare, n, asked.seconds)
            arms[f"mcpweft {n}"] = partial(fabric, store, n, asked.seconds)
        rounds = interleave(arms, asked.rounds, show, warm_up=not asked.cold)
        version = store.version()
    goals = {"efficiency": ">= 0.97 each", "slowest_script_ms": "<= 10"}
    figures = judge(rounds, numbers)
    publish(
        Report(
            name="scale",
            rounds=rounds,
            figures=figures,
            goals=goals,
            store=version,
            plot=plot(rounds, numbers),
        ),
        asked,
    )


if __name__ == "__main__":
    main()
