"""What the fabric adds to a call, and what it leaves of a server's throughput.

    floor       a raw redis-py loop of the queue's four steps (rig/floor.py), in one process
    pair        the same loop in two processes that wait for each other, as a producer and a worker do
    queue path  Client.call to a worker with a handler that does nothing, one call at a time
    bare fast   the SDK's client on a fast hand-written stdio server: one call at a time, then 32 in flight
    mcpweft fast    the same server behind a worker, on the same two terms
    bare sdk, mcpweft sdk   the same with a server built with the SDK, 32 in flight

    scripts/bench overhead [--rounds 5] [--seconds 3] [--record]

ratio_raw_loop         median time of a call through the queue path, over that of the raw loop in one process
ratio_raw_pair         the same over the raw loop in two processes
added_p50_ms           what a call through the fabric takes longer than the bare client's; medians
throughput_ratio       calls per second with 32 in flight, over the bare client's, on the fast server
throughput_ratio_sdk   the same on the server built with the SDK
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.rig.harness import Figures, Rounds, interleave, of, over, summarise
from benchmarks.rig.measured import MeasuredStore, store_of
from benchmarks.rig.party import Background, Party, module, server, worker
from benchmarks.rig.report import Report, options, publish, show

if TYPE_CHECKING:
    from collections.abc import Callable

IN_FLIGHT = 32
FAST = server("fast")
SDK = server("sdk")


def load(party: Party, seconds: float, *in_flight: int) -> Figures:
    """Return what the party measured with each number in flight, each name with the number behind it."""
    found: Figures = {}
    for number in in_flight:
        answer = party.ask("load", in_flight=number, seconds=seconds, settle=seconds / 3)
        found |= {f"{name}_{number}": answer[name] for name in ("rate", "p50_ms", "p99_ms")}
    return found


def raw(store: MeasuredStore, seconds: float, *role: str) -> Figures:
    """Measure the raw loop."""
    store.wipe()
    with Party(module("rig.floor", store.url, *role)) as party:
        return load(party, seconds, 1)


def queue_path(store: MeasuredStore, seconds: float) -> Figures:
    """Measure the fabric without a server."""
    return fabric(store, seconds, module("rig.noop_worker", store.url), "noop.noop", 1)


def bare(command: list[str], seconds: float, *in_flight: int) -> Figures:
    """Measure the bare client."""
    with Party(module("rig.bare", 1, *command)) as party:
        return load(party, seconds, *in_flight)


def fabric(store: MeasuredStore, seconds: float, command: list[str], tool: str, *in_flight: int) -> Figures:
    """Measure the fabric, and how long its scripts keep the store."""
    store.wipe()
    with Background(command), Party(module("rig.producer", store.url, tool)) as producer:
        store.reset()
        found = load(producer, seconds, *in_flight)
        found["slowest_script_ms"] = store.slowest_script_ms()
        return found


def arms(store: MeasuredStore, seconds: float) -> dict[str, Callable[[], Figures]]:
    """Return what is measured in turns."""
    to_fast, to_sdk = worker(store.url, FAST, IN_FLIGHT), worker(store.url, SDK, IN_FLIGHT)
    return {
        "floor": partial(raw, store, seconds),
        "pair": partial(raw, store, seconds, "pair"),
        "queue path": partial(queue_path, store, seconds),
        "bare fast": partial(bare, FAST, seconds, 1, IN_FLIGHT),
        "mcpweft fast": partial(fabric, store, seconds, to_fast, "bench.echo", 1, IN_FLIGHT),
        "bare sdk": partial(bare, SDK, seconds, IN_FLIGHT),
        "mcpweft sdk": partial(fabric, store, seconds, to_sdk, "bench.echo", IN_FLIGHT),
    }


def judge(rounds: Rounds) -> dict[str, Any]:
    """Return the figures of the last line."""
    p50, rate = "p50_ms_1", f"rate_{IN_FLIGHT}"
    mine = ("queue path", "mcpweft fast", "mcpweft sdk")
    return {
        "ratio_raw_loop": ratio(rounds, p50, "queue path", "floor"),
        "ratio_raw_pair": ratio(rounds, p50, "queue path", "pair"),
        "queue_path_p50_ms": of(rounds, "queue path", p50).median,
        "raw_loop_p50_ms": of(rounds, "floor", p50).median,
        "added_p50_ms": over(rounds, lambda row: row["mcpweft fast"][p50] - row["bare fast"][p50]).median,
        "throughput_ratio": ratio(rounds, rate, "mcpweft fast", "bare fast"),
        "throughput_ratio_sdk": ratio(rounds, rate, "mcpweft sdk", "bare sdk"),
        "slowest_script_ms": max(of(rounds, arm, "slowest_script_ms").high for arm in mine),
    }


def ratio(rounds: Rounds, figure: str, arm: str, to: str) -> float:
    """Return the median of the rounds' ratios of one figure of two arms."""
    return over(rounds, lambda row: row[arm][figure] / row[to][figure]).median


def plot(rounds: Rounds) -> Callable[[Any], None]:
    """Return what draws the times of lone calls and the rates of many."""

    def draw(figure: Any) -> None:
        views = {
            "p50_ms_1": "ms a call, one at a time (median)",
            f"rate_{IN_FLIGHT}": "calls per second, 32 in flight",
        }
        for axis, (name, title) in zip(figure.subplots(1, 2), views.items(), strict=True):
            shown = [arm for arm in rounds[0] if name in rounds[0][arm]]
            for place, arm in enumerate(shown):
                values = [row[arm][name] for row in rounds]
                axis.barh(place, summarise(values).median, color="#8ab")
                axis.plot(values, [place] * len(values), "k.", markersize=4)
            axis.set_yticks(range(len(shown)), shown)
            axis.invert_yaxis()
            axis.set_xlabel(title)

    return draw


def main() -> None:
    """Measure and publish."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured seconds of each load")
    asked = parser.parse_args()
    with store_of(asked) as store:
        rounds = interleave(arms(store, asked.seconds), asked.rounds, show, warm_up=not asked.cold)
        version = store.version()
    goals = {
        "ratio_raw_loop": "<= 1.5",
        "throughput_ratio": ">= 0.6",
        "throughput_ratio_sdk": ">= 0.95",
        "slowest_script_ms": "<= 10",
    }
    publish(
        Report(
            name="overhead",
            rounds=rounds,
            figures=judge(rounds),
            goals=goals,
            store=version,
            plot=plot(rounds),
        ),
        asked,
    )


if __name__ == "__main__":
    main()
