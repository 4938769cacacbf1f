"""How fast the queue itself is, next to other queues: a handler that does nothing in place of MCP.

One producer process, one worker process, 200 bytes of arguments, from the call to its result, on one store
with an append-only file. The arms take turns, each on an empty store with processes of its own, start-up
excluded:

    floor     a raw redis-py loop of the same four steps, one request at a time (rig/floor.py)
    mcpweft   Client.call to a real worker, everything on
    others    arq, SAQ, streaq, taskiq-redis, each in a virtual environment of its own (peers/)

    scripts/bench queue [--rounds 5] [--seconds 3] [--no-peers] [--record]

ratio_best_peer        calls per second with 256 in flight, over those of the fastest other queue
commands_per_request   commands that clients sent the store (see rig/measured.py), with 256 in flight
p99_over_p50           of the calls' times with 256 in flight
slowest_script_ms      the longest that one script of the fabric kept the store, by its SLOWLOG
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.rig.harness import Figures, Rounds, interleave, of, over, summarise
from benchmarks.rig.measured import MeasuredStore, store_of
from benchmarks.rig.party import Background, Party, module, pair
from benchmarks.rig.report import Report, options, publish, show

if TYPE_CHECKING:
    from collections.abc import Callable

IN_FLIGHT = (32, 256)
SETTLE = 0.5
"""Seconds of load before the measured ones, in parts of these."""
VENVS = Path(__file__).resolve().parents[2] / ".venv-bench"
PEERS = {
    "arq": ["arq==0.28.*"],
    "saq": ["saq[redis,hiredis]==0.26.*", "typing-extensions"],
    "streaq": ["streaq==7.*"],
    "taskiq_redis": ["taskiq-redis==1.2.*"],
}
"""What is installed for each, besides hiredis and uvloop."""


def venv(peer: str) -> str:
    """Return the interpreter of a peer's own environment, made on first use."""
    folder = VENVS / peer
    python = folder / "bin" / "python"
    wanted = " ".join([*PEERS[peer], "hiredis", "uvloop"])
    stamp = folder / ".stamp"
    if not stamp.exists() or stamp.read_text() != wanted:
        uv = shutil.which("uv")
        if uv is None:
            raise SystemExit("uv is needed for the environments of the other queues: pip install uv")
        print(f"setting up {folder}", flush=True)
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *wanted.split()], check=True)
        stamp.write_text(wanted)
    return str(python)


def figures(party: Party, in_flight: int, seconds: float) -> Figures:
    """Return what the party measured with so many in flight, each name with the number behind it."""
    found = party.ask("load", in_flight=in_flight, seconds=seconds, settle=seconds * SETTLE)
    return {f"{name}_{in_flight}": value for name, value in found.items()}


def floor(store: MeasuredStore, seconds: float) -> Figures:
    """Measure the raw loop."""
    store.wipe()
    with Party(module("rig.floor", store.url)) as party:
        return figures(party, 1, seconds)


def fabric(store: MeasuredStore, seconds: float) -> Figures:
    """Measure the fabric, and what it asks of the store."""
    store.wipe()
    found: Figures = {}
    with pair(store.url) as (_, producer):
        for in_flight in IN_FLIGHT:
            store.reset()
            found |= figures(producer, in_flight, seconds)
            found[f"commands_{in_flight}"] = store.sent() / found[f"calls_{in_flight}"]
            found[f"slowest_script_ms_{in_flight}"] = store.slowest_script_ms()
    return found


def peer(name: str, store: MeasuredStore, seconds: float) -> Figures:
    """Measure another queue."""
    store.wipe()
    found: Figures = {}
    python = venv(name)
    with (
        Background(module(f"peers.{name}_peer", "worker", store.url, python=python)),
        Party(module(f"peers.{name}_peer", "producer", store.url, python=python)) as producer,
    ):
        for in_flight in IN_FLIGHT:
            found |= figures(producer, in_flight, seconds)
    return found


def judge(rounds: Rounds, peers: list[str]) -> dict[str, Any]:
    """Return the figures of the last line."""
    most, few = max(IN_FLIGHT), min(IN_FLIGHT)
    rate = f"rate_{most}"
    told: dict[str, Any] = {
        f"calls_per_second_{most}": of(rounds, "mcpweft", rate).median,
        f"calls_per_second_{few}": of(rounds, "mcpweft", f"rate_{few}").median,
        "commands_per_request": of(rounds, "mcpweft", f"commands_{most}").median,
        f"commands_per_request_{few}": of(rounds, "mcpweft", f"commands_{few}").median,
        "p99_over_p50": over(rounds, spread).median,
        "slowest_script_ms": max(of(rounds, "mcpweft", f"slowest_script_ms_{n}").high for n in IN_FLIGHT),
    }
    if peers:
        ratio = over(rounds, lambda row: row["mcpweft"][rate] / max(row[name][rate] for name in peers))
        told |= {"ratio_best_peer": ratio.median, "ratio_low": ratio.low, "ratio_high": ratio.high}
        told["best_peer"] = max(peers, key=lambda name: of(rounds, name, rate).median)
    return told


def spread(row: dict[str, Figures]) -> float:
    """Return how far the slow calls lie from the middle, with most in flight."""
    mine = row["mcpweft"]
    return mine[f"p99_ms_{max(IN_FLIGHT)}"] / mine[f"p50_ms_{max(IN_FLIGHT)}"]


def plot(rounds: Rounds) -> Callable[[Any], None]:
    """Return what draws the rates, a dot a round."""

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, len(IN_FLIGHT), sharey=True)
        arms = [arm for arm in rounds[0] if arm != "floor"]
        for axis, in_flight in zip(axes, IN_FLIGHT, strict=True):
            for place, arm in enumerate(arms):
                rates = [row[arm][f"rate_{in_flight}"] for row in rounds]
                axis.barh(place, summarise(rates).median, color="#8ab")
                axis.plot(rates, [place] * len(rates), "k.", markersize=4)
            floor_rate = of(rounds, "floor", "rate_1").median
            axis.axvline(floor_rate, color="grey", linestyle=":", label="raw loop, one at a time")
            axis.set_yticks(range(len(arms)), arms)
            axis.set_title(f"{in_flight} in flight")
            axis.set_xlabel("calls per second, call to result")
        axes[0].legend(fontsize=7)

    return draw


def main() -> None:
    """Measure and publish."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured seconds of each arm")
    parser.add_argument("--no-peers", action="store_true", help="without the other queues")
    asked = parser.parse_args()
    peers = [] if asked.no_peers else list(PEERS)
    for name in peers:
        venv(name)
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # what other projects deprecate is none of our figures
    with store_of(asked) as store:
        arms: dict[str, Callable[[], Figures]] = {
            "floor": partial(floor, store, asked.seconds),
            "mcpweft": partial(fabric, store, asked.seconds),
            **{name: partial(peer, name, store, asked.seconds) for name in peers},
        }
        rounds = interleave(arms, asked.rounds, show, warm_up=not asked.cold)
        version = store.version()
    goals = {
        "commands_per_request": "<= 0.25",
        "commands_per_request_32": "<= 1.0",
        "p99_over_p50": "<= 4",
        "slowest_script_ms": "<= 10",
    }
    if peers:
        goals["ratio_best_peer"] = ">= 10"
    publish(
        Report(
            name="queue", rounds=rounds, figures=judge(rounds, peers), goals=goals, store=version,
            plot=plot(rounds),
        ),
        asked,
    )  # fmt: skip


if __name__ == "__main__":
    main()
