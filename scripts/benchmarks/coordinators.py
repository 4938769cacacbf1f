"""Whether work notices that coordinators are killed, one after another.

    calm      two workers, each with a server that takes 5 ms for one call after another, 64 calls in
              flight, three coordinators
    killed    the same, and once a second the coordinator that leads is killed and started anew

    scripts/bench coordinators [--rounds 5] [--seconds 8] [--record]

throughput_ratio   calls per second of `killed` over those of `calm`, in the same round; the aim is 0.95
takeovers          leaders that were killed in a round
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import redis

from benchmarks.rig.harness import Figures, Rounds, interleave, of, over
from benchmarks.rig.measured import MeasuredStore, store_of
from benchmarks.rig.party import Background, Party, module, server, worker
from benchmarks.rig.report import Report, options, publish, show
from mcpweft_schemas.keys import FleetKeys

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS, CONCURRENCY, IN_FLIGHT, COORDINATORS = 2, 4, 64, 3
PACED = [*server("fast", "--ms", 5)]
PROGRAM = str(Path(sys.executable).parent / "mcpweft")
EVERY_S, LEADS_WITHIN_S = 1.0, 30.0


class Coordinators:
    """So many coordinators, of which the leader can be killed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Any = redis.Redis.from_url(url)
        self._running = {f"coordinator.c{n}": self._start(f"coordinator.c{n}") for n in range(COORDINATORS)}

    def _start(self, name: str) -> Background:
        return Background([PROGRAM, "coordinator", "--id", name, "--store", self._url])

    def leader(self) -> str:
        """Wait for one that leads, and return its id."""
        end = time.monotonic() + LEADS_WITHIN_S
        while time.monotonic() < end:
            lease = self._client.hgetall(FleetKeys("default").lease("lead"))
            holder = str(lease.get(b"holder", b"").decode())
            now = self._client.time()
            if holder in self._running and int(lease.get(b"until", 0)) > now[0] * 1000 + now[1] // 1000:
                return holder
            time.sleep(0.01)
        raise RuntimeError("no coordinator leads")

    def kill_leader(self) -> None:
        """Kill whoever leads, and start it anew."""
        name = self.leader()
        self._running[name].kill()
        self._running[name] = self._start(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.kill()
        self._client.close()


def kill_on(coordinators: Coordinators, over_: threading.Event, killed: list[int]) -> None:
    """Kill the leader once a second until it is over."""
    while not over_.wait(EVERY_S):
        coordinators.kill_leader()
        killed[0] += 1


def arm(store: MeasuredStore, seconds: float, *, kills: bool) -> Figures:
    """Measure one arm on a fabric of its own."""
    store.wipe()
    over_, killed = threading.Event(), [0]
    with ExitStack() as stack:
        coordinators = stack.enter_context(Coordinators(store.url))
        for _ in range(WORKERS):
            stack.enter_context(Background(worker(store.url, PACED, CONCURRENCY)))
        producer = stack.enter_context(
            Party(module("rig.producer", store.url, "bench.echo", "--workers", WORKERS))
        )
        coordinators.leader()
        killer = threading.Thread(target=kill_on, args=(coordinators, over_, killed), daemon=True)
        if kills:
            killer.start()
        try:
            found = producer.ask("load", in_flight=IN_FLIGHT, seconds=seconds, settle=1.0)
        finally:
            over_.set()
            if kills:
                killer.join(LEADS_WITHIN_S)
    return {"rate": found["rate"], "p99_ms": found["p99_ms"], "takeovers": float(killed[0])}


def ratio(row: dict[str, Figures]) -> float:
    """Return what is left of the throughput while coordinators are killed."""
    return row["killed"]["rate"] / row["calm"]["rate"]


def judge(rounds: Rounds) -> dict[str, Any]:
    """Return the figures of the last line."""
    found = over(rounds, ratio)
    return {
        "throughput_ratio": found.median,
        "throughput_ratio_low": found.low,
        "takeovers": of(rounds, "killed", "takeovers").median,
    }


def main() -> None:
    """Measure and publish."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="measured seconds of each arm")
    asked = parser.parse_args()
    with store_of(asked) as store:
        arms: dict[str, Callable[[], Figures]] = {
            "calm": partial(arm, store, asked.seconds, kills=False),
            "killed": partial(arm, store, asked.seconds, kills=True),
        }
        rounds = interleave(arms, asked.rounds, show, warm_up=not asked.cold)
        version = store.version()
    goals = {"throughput_ratio": ">= 0.95"}
    report = Report(name="coordinators", rounds=rounds, figures=judge(rounds), goals=goals, store=version)
    publish(report, asked)


if __name__ == "__main__":
    main()
