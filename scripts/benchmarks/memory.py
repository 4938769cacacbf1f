"""What waiting costs, and whether a long run stays within bounds.

    waiting   a producer with 10,000 calls that nobody answers: its resident memory, and the store's
    map       a million requests through Client.map to a worker whose handler does nothing: resident memory of
              producer, worker and store, sampled all along

    scripts/bench memory [--rounds 5] [--waiting 10000] [--requests 1000000] [--record]

producer_waiting_mb        resident memory (MB: 10^6 bytes) of the producer with all its calls waiting
redis_bytes_over_payload   what the store needs for a waiting request beyond its arguments, bytes
map_growth                 for producer, worker and store: the peak of the last third of the run, over that of
                           the third before. A bounded process stands at 1; one that keeps something of each
                           request grows. (Records of ended requests live for a minute, so the store grows
                           through the first minute.)
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.rig.harness import Figures, Rounds, interleave, of
from benchmarks.rig.load import PAYLOAD
from benchmarks.rig.measured import MeasuredStore, store_of
from benchmarks.rig.party import Background, Party, module, pair
from benchmarks.rig.report import Report, options, publish, show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MB = 1e6
ARGUMENTS = len(json.dumps(PAYLOAD, separators=(",", ":")))
"""Bytes of a request's arguments."""
WINDOW = 256


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return int(done.stdout or 0) * 1024 / MB


def waiting(store: MeasuredStore, calls: int) -> Figures:
    """Measure so many waiting calls: a pool with room for them, whose only worker has gone."""
    store.wipe()
    tool = module("rig.producer", store.url, "noop.noop")
    with Background(module("rig.noop_worker", store.url, "--bound", 2 * calls)), Party(tool):
        pass  # the pool is there now
    with Party([*tool, "--workers", "0"]) as producer:
        plain = resident_mb(producer.pid)
        store.reset()
        before = store.used_bytes()
        producer.ask("wait", calls=calls, capability="noop", within=300)
        after = store.used_bytes()
        found = {
            "producer_plain_mb": plain,
            "producer_waiting_mb": resident_mb(producer.pid),
            "redis_bytes_per_request": (after - before) / calls,
            "redis_bytes_over_payload": (after - before) / calls - ARGUMENTS,
        }
        producer.ask("leave", within=300)
        found["slowest_script_ms"] = store.slowest_script_ms()
    return found


class Sampler:
    """Notes what processes need, every `every` seconds, in a thread of its own while `with` lasts."""

    def __init__(self, pids: Mapping[str, int], store: MeasuredStore, every: float) -> None:
        self.samples: list[Figures] = []
        self._pids = pids
        self._store = store
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> list[Figures]:
        self._thread.start()
        return self.samples

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._over.wait(self._every):
            resident = {name: resident_mb(pid) for name, pid in self._pids.items()}
            used = self._store.used_bytes() / MB
            self.samples.append({"seconds": time.monotonic() - began, **resident, "store data": used})


def mapped(store: MeasuredStore, requests: int, every: float) -> tuple[Figures, list[Figures]]:
    """Make so many requests through `map`; return what came out, and the samples."""
    store.wipe()
    with pair(store.url) as (worker, producer):
        pids = {"producer": producer.pid, "worker": worker.pid, "store": store.pid}
        store.reset()
        with Sampler(pids, store, every) as samples:
            answer = producer.ask("map", calls=requests, window=WINDOW, within=120 + requests / 200)
        if answer["done"] != requests:
            raise SystemExit(f"{requests - answer['done']} of {requests} requests did not end well")
        rate = requests / answer["seconds"]
        return {"map_rate": rate, "map_slowest_script_ms": store.slowest_script_ms()}, samples


def growth(samples: list[Figures]) -> dict[str, float]:
    """Return each process's peak in the last third of the samples, over that of the third before."""
    third = len(samples) // 3
    if not third:
        return {}
    middle, last = samples[-2 * third : -third], samples[-third:]
    return {
        name: max(sample[name] for sample in last) / max(sample[name] for sample in middle)
        for name in samples[0]
        if name != "seconds"
    }


def judge(rounds: Rounds, run: Figures, samples: list[Figures]) -> dict[str, Any]:
    """Return the figures of the last line."""
    peaks = (
        {name: max(sample[name] for sample in samples) for name in samples[0] if name != "seconds"}
        if samples
        else {}
    )
    return {
        "producer_waiting_mb": of(rounds, "waiting", "producer_waiting_mb").median,
        "redis_bytes_over_payload": of(rounds, "waiting", "redis_bytes_over_payload").median,
        "map_rate": run["map_rate"],
        "map_peak_mb": peaks,
        "map_growth": growth(samples),
        "slowest_script_ms": max(
            of(rounds, "waiting", "slowest_script_ms").high, run["map_slowest_script_ms"]
        ),
    }  # fmt: skip


def plot(samples: list[Figures], requests: int) -> Callable[[Any], None]:
    """Return what draws the memory over the run."""

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        for name in samples[0]:
            if name != "seconds":
                axis.plot([s["seconds"] for s in samples], [s[name] for s in samples], label=name)
        axis.set_title(f"{requests:,} requests through map")
        axis.set_xlabel("seconds")
        axis.set_ylabel("MB")
        axis.set_ylim(bottom=0)
        axis.legend()

    return draw


def main() -> None:
    """Measure and publish."""
    parser = options(__doc__)
    parser.add_argument("--waiting", type=int, default=10_000, help="calls that wait")
    parser.add_argument("--requests", type=int, default=1_000_000, help="requests through map")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two samples")
    asked = parser.parse_args()
    with store_of(asked) as store:
        rounds = interleave(
            {"waiting": partial(waiting, store, asked.waiting)}, asked.rounds, show, warm_up=not asked.cold
        )
        run, samples = mapped(store, asked.requests, asked.every)
        version = store.version()
    goals = {
        "producer_waiting_mb": "< 150, with 10,000 waiting",
        "redis_bytes_over_payload": "<= 1024",
        "map_growth": "about 1 each",
        "slowest_script_ms": "<= 10",
    }
    publish(
        Report(
            name="memory", rounds=rounds, figures=judge(rounds, run, samples), goals=goals, store=version,
            extra={"samples": samples}, plot=plot(samples, asked.requests) if samples else None,
        ),
        asked,
    )  # fmt: skip


if __name__ == "__main__":
    main()
