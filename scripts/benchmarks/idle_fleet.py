"""What a fabric costs whose servers all sleep: `mcpweft up`, servers with `min = 0`, and no request.

    scripts/bench idle_fleet [--servers 15] [--rounds 5] [--seconds 8] [--record]

up_mb                 resident memory (MB: 10^6 bytes) of the process `up`, which is the coordinator and the
                      launcher; no worker runs. The store is a process of its own and not in it
processor_percent     of one processor, that `up` needs to look after them
commands_per_second   commands that it sends the store
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.memory import resident_mb
from benchmarks.profile import cpu_us
from benchmarks.rig.harness import Figures, Rounds, interleave, of
from benchmarks.rig.measured import MeasuredStore, store_of
from benchmarks.rig.party import Background
from benchmarks.rig.report import Report, options, publish, show

LOOKS = 20
"""Commands for each server after which the fabric has settled down to its looks."""


def configuration(servers: int) -> str:
    """Return the mcpweft.toml of a fleet that sleeps."""
    return "".join(
        f'[servers.s{n}]\ncommand = "{sys.executable}"\nmin = 0\nmax = 4\n' for n in range(servers)
    )


def idle(store: MeasuredStore, pid: int, seconds: float) -> Figures:
    """Measure the process while nothing happens."""
    store.reset()
    before, began = cpu_us(pid), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    return {
        "up_mb": resident_mb(pid),
        "processor_percent": (cpu_us(pid) - before) / took / 10_000,
        "commands_per_second": sum(store.sent_by_name().values()) / took,
    }


def judge(rounds: Rounds) -> dict[str, Any]:
    """Return the figures of the last line."""
    names = ("up_mb", "processor_percent", "commands_per_second")
    return {name: of(rounds, "idle", name).median for name in names}


def main() -> None:
    """Measure and publish."""
    parser = options(__doc__)
    parser.add_argument("--servers", type=int, default=15, help="servers that sleep")
    parser.add_argument("--seconds", type=float, default=8.0, help="seconds of each window of idleness")
    asked = parser.parse_args()
    with ExitStack() as stack:
        store = stack.enter_context(store_of(asked))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "mcpweft.toml"
        file.write_text(configuration(asked.servers))
        words = ["-m", "mcpweft", "up", str(file), "--store", store.url, "--name", "bench-idle-fleet"]
        up = stack.enter_context(Background([sys.executable, *words]))
        store.reset()
        while store.sent() < LOOKS * asked.servers:
            time.sleep(0.1)
        rounds = interleave(
            {"idle": partial(idle, store, up.pid, asked.seconds)}, asked.rounds, show, warm_up=not asked.cold
        )
        version = store.version()
    publish(Report(name="idle_fleet", rounds=rounds, figures=judge(rounds), store=version), asked)


if __name__ == "__main__":
    main()
