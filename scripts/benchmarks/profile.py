"""Where the time of one call goes: what explains the figures of the others.

The load of `scripts/bench queue` (a handler that does nothing, 200 bytes) with 1, 32 and 256 calls in flight.
For each the processor time of store, producer and worker for one call, the part of the store's that lies in
scripts, and the part of that which lies in the commands they call: the rest is Lua. With 256 in flight
a sampling profiler (py-spy) looks at producer and worker, too; what it names is where they were.

    scripts/bench profile [--rounds 5] [--seconds 3] [--top 25] [--record]

cpu_us_N            µs of processor for one call of: store, producer, worker, and all of them
scripts_us_N        µs that the store spends in scripts, and `inner_us_N` in the commands that these call
scripts_per_call_N  how many scripts run, and `inner_per_call_N` how many commands in them
processors_256      how many processors they keep busy together: 2 is all there is on a machine with two
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.rig.harness import Figures, Rounds, interleave, of
from benchmarks.rig.measured import MeasuredStore, store_of
from benchmarks.rig.party import pair
from benchmarks.rig.report import Report, options, publish, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from benchmarks.rig.party import Party

IN_FLIGHT = (1, 32, 256)
SETTLE = 0.5
"""Seconds of load before the measured ones, in parts of these."""
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")
SAMPLES_PER_SECOND = 200


def cpu_us(pid: int) -> float:
    """Return the processor time that a process has had so far, µs (Linux: utime and stime of proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_US


def measure(
    store: MeasuredStore, pids: Mapping[str, int], producer: Party, load: Mapping[str, Any]
) -> Figures:
    """Return what one call costs under a load, each figure with the number in flight behind its name."""
    number = load["in_flight"]
    producer.ask("load", **load)
    store.reset()
    before = {name: cpu_us(pid) for name, pid in pids.items()}
    found = producer.ask("load", **load)
    spent = {name: cpu_us(pid) - before[name] for name, pid in pids.items()}
    calls = found["calls"]
    return {
        f"rate_{number}": found["rate"],
        **{f"cpu_us_{name}_{number}": us / calls for name, us in spent.items()},
        f"cpu_us_all_{number}": sum(spent.values()) / calls,
        **{f"{name}_{number}": value / calls for name, value in store.scripts().items()},
    }


def arm(store: MeasuredStore, seconds: float) -> Figures:
    """Measure all loads."""
    store.wipe()
    found: Figures = {}
    with pair(store.url) as (worker, producer):
        pids = {"store": store.pid, "producer": producer.pid, "worker": worker.pid}
        for number in IN_FLIGHT:
            load = {"in_flight": number, "seconds": seconds, "settle": seconds * SETTLE}
            found |= measure(store, pids, producer, load)
    return found


def sampled(store: MeasuredStore, seconds: float, top: int) -> dict[str, list[tuple[str, float]]]:
    """Return where producer and worker were, function by function: the part of the samples that it was in."""
    store.wipe()
    with tempfile.TemporaryDirectory() as folder, pair(store.url) as (worker, producer):
        pids = {"producer": producer.pid, "worker": worker.pid}
        files = {name: Path(folder, name) for name in pids}
        watching = [watch(pids[name], file, seconds) for name, file in files.items()]
        producer.ask("load", in_flight=max(IN_FLIGHT), seconds=seconds + 2, settle=0.0)
        for watcher in watching:
            watcher.wait()
        return {name: functions(file.read_text().splitlines(), top) for name, file in files.items()}


def watch(pid: int, file: Path, seconds: float) -> subprocess.Popen[bytes]:
    """Let py-spy look at a process for so long."""
    program = str(Path(sys.executable).parent / "py-spy")
    how = ["--format", "raw", "--rate", str(SAMPLES_PER_SECOND), "--duration", str(max(1, round(seconds)))]
    return subprocess.Popen(
        [program, "record", *how, "--output", str(file), "--pid", str(pid)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def functions(stacks: Iterable[str], top: int) -> list[tuple[str, float]]:
    """Return the functions that most samples were in or below, with their part; idle threads left out.

    A line is a stack from the outermost frame on, parted by `;`, and behind a blank how often it was seen.
    """
    seen: Counter[str] = Counter()
    total = 0
    for line in stacks:
        stack, _, times = line.rpartition(" ")
        if "threading.py" in stack:
            continue
        total += int(times)
        for name in {frame.rpartition(":")[0].strip() + ")" for frame in stack.split(";")}:
            seen[name] += int(times)
    return [(name, times / total) for name, times in seen.most_common(top)]


def plot(rounds: Rounds) -> Callable[[Any], None]:
    """Return what draws a bar for each load: who spends the processor's time."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        parts = ("store, in scripts", "store, beside them", "producer", "worker")
        for place, number in enumerate(IN_FLIGHT):
            at = partial(_median, rounds, number=number)
            scripts = min(at("scripts_us"), at("cpu_us_store"))
            values = (scripts, at("cpu_us_store") - scripts, at("cpu_us_producer"), at("cpu_us_worker"))
            left = 0.0
            for part, value, colour in zip(parts, values, ("#369", "#9bd", "#c84", "#7a5"), strict=True):
                axes.barh(place, value, left=left, color=colour, label=part if not place else None)
                left += value
        axes.set_yticks(range(len(IN_FLIGHT)), [f"{number} in flight" for number in IN_FLIGHT])
        axes.set_xlabel("µs of processor for one call")
        axes.legend()

    return draw


def _median(rounds: Rounds, figure: str, *, number: int) -> float:
    return of(rounds, "mcpweft", f"{figure}_{number}").median


def judge(rounds: Rounds) -> dict[str, Any]:
    """Return the figures of the last line."""
    at = partial(_median, rounds)
    told: dict[str, Any] = {}
    for number in IN_FLIGHT:
        parties = ("store", "producer", "worker", "all")
        told[f"cpu_us_{number}"] = {name: at(f"cpu_us_{name}", number=number) for name in parties}
        for figure in ("scripts_us", "inner_us", "scripts_per_call", "inner_per_call"):
            told[f"{figure}_{number}"] = at(figure, number=number)
    most = max(IN_FLIGHT)
    told[f"processors_{most}"] = at("rate", number=most) * at("cpu_us_all", number=most) / 1e6
    return told


def main() -> None:
    """Measure and publish."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of each load")
    parser.add_argument("--top", type=int, default=25, help="functions of each process to name")
    asked = parser.parse_args()
    with store_of(asked) as store:
        rounds = interleave(
            {"mcpweft": partial(arm, store, asked.seconds)}, asked.rounds, show, warm_up=not asked.cold
        )
        where = sampled(store, 2 * asked.seconds, asked.top)
        version = store.version()
    for name, found in where.items():
        print(f"\nwhere the {name} was, part of all samples with {max(IN_FLIGHT)} in flight:")
        print("\n".join(f"  {part:6.1%}  {function}" for function, part in found))
    report = Report(
        name="profile",
        rounds=rounds,
        figures=judge(rounds),
        store=version,
        extra={"functions": where},
        plot=plot(rounds),
    )
    publish(report, asked)


if __name__ == "__main__":
    main()
