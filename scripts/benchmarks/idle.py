"""What a worker costs while it has nothing to do, and how soon it has a lone request in hand.

Four workers of one pool, no coordinator (they keep watch themselves), no producer while they idle.

    scripts/bench idle [--rounds 5] [--seconds 8] [--calls 100] [--record]

commands_per_second   commands that workers sent the store in the window, per worker and second. Counted from
                      INFO commandstats: all commands but those that the fabric's scripts call inside, which
                      the store counts too (see MeasuredStore.sent_by_name), and but the benchmark's own
pickup_p50_ms         from the moment at which the producer hands a request to Client.call until the worker
                      that took it would send it to its server, by the monotonic clock that both share
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.rig.harness import Figures, Rounds, interleave, of, percentile, summarise
from benchmarks.rig.measured import MeasuredStore, store_of
from benchmarks.rig.party import Background, Party, module
from benchmarks.rig.report import Report, options, publish, show

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS = 4
PAUSE = 0.02
"""Seconds between two lone requests: long enough for all workers to have gone back to waiting."""


def idle(store: MeasuredStore, seconds: float) -> Figures:
    """Count what idle workers send, in all and by command."""
    store.reset()
    began = time.monotonic()
    time.sleep(seconds)
    sent = store.sent_by_name()
    took = time.monotonic() - began
    rates = {f"{name} per second": count / took / WORKERS for name, count in sorted(sent.items())}
    return {"commands_per_second": sum(rates.values()), **rates}


def pickup(store: MeasuredStore, calls: int) -> Figures:
    """Measure how soon lone requests are in hand, and answered."""
    with Party(module("rig.producer", store.url, "noop.noop", "--workers", WORKERS)) as producer:
        store.reset()
        found = producer.ask("lone", calls=calls, pause=PAUSE)
        return {
            "pickup_p50_ms": percentile(found["pickups_ms"], 0.5),
            "pickup_p99_ms": percentile(found["pickups_ms"], 0.99),
            "call_p50_ms": percentile(found["times_ms"], 0.5),
            "slowest_script_ms": store.slowest_script_ms(),
        }


def judge(rounds: Rounds) -> dict[str, Any]:
    """Return the figures of the last line."""
    return {
        "commands_per_second": of(rounds, "idle", "commands_per_second").median,
        "pickup_p50_ms": of(rounds, "pickup", "pickup_p50_ms").median,
        "pickup_p99_ms": of(rounds, "pickup", "pickup_p99_ms").median,
        "slowest_script_ms": of(rounds, "pickup", "slowest_script_ms").high,
    }


def plot(rounds: Rounds) -> Callable[[Any], None]:
    """Return what draws both figures, a dot a round."""

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        kinds = sorted({name for row in rounds for name in row["idle"]} - {"commands_per_second"})
        for place, kind in enumerate(kinds):
            found = summarise(row["idle"].get(kind, 0.0) for row in rounds)
            left.barh(place, found.median, color="#8ab")
        left.set_yticks(range(len(kinds)), kinds)
        left.set_xlabel("commands per second and idle worker")
        for name in ("pickup_p50_ms", "pickup_p99_ms", "call_p50_ms"):
            right.plot(range(1, len(rounds) + 1), [row["pickup"][name] for row in rounds], "o-", label=name)
        right.set_ylim(bottom=0)
        right.set_xlabel("round")
        right.legend()

    return draw


def main() -> None:
    """Measure and publish."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="seconds of each window of idleness")
    parser.add_argument("--calls", type=int, default=100, help="lone requests of each round")
    asked = parser.parse_args()
    with store_of(asked) as store, ExitStack() as stack:
        for _ in range(WORKERS):
            stack.enter_context(Background(module("rig.noop_worker", store.url)))
        pickup(store, 1)  # once all workers are there
        arms = {"idle": partial(idle, store, asked.seconds), "pickup": partial(pickup, store, asked.calls)}
        rounds = interleave(arms, asked.rounds, show, warm_up=not asked.cold)
        version = store.version()
    goals = {"commands_per_second": "<= 6", "pickup_p50_ms": "<= 2", "slowest_script_ms": "<= 10"}
    publish(
        Report(
            name="idle", rounds=rounds, figures=judge(rounds), goals=goals, store=version, plot=plot(rounds)
        ),
        asked,
    )


if __name__ == "__main__":
    main()
