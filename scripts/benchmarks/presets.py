"""Whether each preset reaches its calls a second, on servers of the service time that it states.

The fabric is what a user has: the `mcpweft.toml` that `mcpweft init --preset` writes, run by
`mcpweft coordinator --launch`, which starts the fewest workers and lets their number follow the load. Each
worker has a server process of its own, over stdio; a call takes it the stated time, however many it has, for
a preset states how many that may be. Calls come at random (Poisson), at the most that the preset states.

    scripts/bench presets [--presets production_small,…] [--full] [--record]

By default a look of some seconds at each, once; `--full` measures 20 s, three times, after one that warms up.

presets     a row each: `qps` that is stated; `in_time`, answered a second within twice the service time;
            `rate`, answered a second at all; p50, p95 and p99 from when a call was due; `failed`; `workers`
            at the end; `ceiling`, what is reached with half as many calls again under way, 1.5 times `qps` at
            best; `reached`, whether 99 of 100 calls of every round were in time and none failed
reached     the lowest `in_time` of any preset, as a part of what it states
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.rig.harness import Figures, Rounds, interleave, of
from benchmarks.rig.measured import MeasuredStore, store_of
from benchmarks.rig.party import Background, Party, module, server
from benchmarks.rig.report import Report, options, publish, show
from mcpweft_schemas.presets import PRESETS, Preset, text

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

PROGRAM = str(Path(sys.executable).parent / "mcpweft")
ENOUGH = 0.99
FULL_ROUNDS, FULL_S = 3, 20.0
SETTLE_S = 5.0  # a spare worker loads its libraries meanwhile


def measure(store: MeasuredStore, preset: Preset, seconds: float) -> Figures:
    """Measure a preset once, in a fabric of its own."""
    store.wipe()
    load = preset.load
    command, *args = server("waiting", "--ms", 1000 * load.service_time)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = folder / "mcpweft.toml"
        config.write_text(text(preset, {"bench": {"command": command, "args": args, "idempotent": ["*"]}}))
        log = stack.enter_context((folder / "log").open("wb"))
        fabric = [PROGRAM, "coordinator", "--launch", "--config", str(config)]
        stack.enter_context(Background(fabric, log=log))
        orders = module("rig.arrivals", config, "bench.echo", "--workers", preset.size.least)
        party = stack.enter_context(Party(orders))
        settle = SETTLE_S + 2 * load.service_time
        came = party.ask(
            "arrive",
            rate=load.most_qps,
            seconds=seconds,
            settle=settle,
            in_time=2 * load.service_time,
            seed=preset.name,
        )
        for why in came.pop("why"):
            print(f"{preset.name}: {why}", flush=True)
        under_way = math.ceil(1.5 * load.most_qps * load.service_time)
        most = party.ask("load", in_flight=under_way, seconds=seconds, settle=2 * load.service_time)
        return {**came, **party.ask("workers"), "ceiling": most["rate"]}


def row(rounds: Rounds, preset: Preset) -> dict[str, Any]:
    """Return what the last line says of one preset."""
    low = of(rounds, preset.name, "in_time").low
    failed = of(rounds, preset.name, "failed").high
    return {
        "qps": preset.load.most_qps,
        "service_ms": 1000 * preset.load.service_time,
        **{name: of(rounds, preset.name, name).median for name in ("in_time", "rate", "p50_ms", "p95_ms")},
        "p99_ms": of(rounds, preset.name, "p99_ms").median,
        "failed": failed,
        "workers": of(rounds, preset.name, "workers").high,
        "ceiling": of(rounds, preset.name, "ceiling").median,
        "reached": low >= ENOUGH * preset.load.most_qps and not failed,
    }


def judge(rounds: Rounds, chosen: list[Preset]) -> dict[str, Any]:
    """Return the figures of the last line."""
    parts = [of(rounds, each.name, "in_time").low / each.load.most_qps for each in chosen]
    return {"reached": min(parts), "presets": {each.name: row(rounds, each) for each in chosen}}


def plot(rounds: Rounds, chosen: list[Preset]) -> Callable[[Any], None]:
    """Return what draws each preset's rate beside what it states."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        names = [each.name for each in chosen]
        for offset, (label, values) in enumerate(
            {
                "stated": [each.load.most_qps for each in chosen],
                "in time": [of(rounds, name, "in_time").median for name in names],
                "ceiling": [of(rounds, name, "ceiling").median for name in names],
            }.items()
        ):
            axes.bar([n + 0.27 * (offset - 1) for n in range(len(names))], values, width=0.25, label=label)
        axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names], fontsize=8)
        axes.set_yscale("log")
        axes.set_ylabel("calls per second")
        axes.legend()

    return draw


def asked_for() -> Namespace:
    """Read the command line."""
    parser = options(__doc__)
    parser.set_defaults(rounds=1)
    parser.add_argument("--presets", type=lambda said: said.split(","), default=list(PRESETS))
    parser.add_argument("--seconds", type=float, default=4.0, help="measured seconds of each load")
    parser.add_argument("--full", action="store_true", help=f"{FULL_S:g} s, {FULL_ROUNDS} rounds, warm")
    asked = parser.parse_args()
    if strange := set(asked.presets) - set(PRESETS):
        parser.error(f"{', '.join(sorted(strange))}: known are {', '.join(PRESETS)}")
    if asked.full:
        asked.rounds, asked.seconds = FULL_ROUNDS, FULL_S
    else:
        asked.cold = True
    return asked


def main() -> None:
    """Measure and publish."""
    asked = asked_for()
    chosen = [PRESETS[name] for name in asked.presets]
    with store_of(asked) as store:
        # A preset names neither: what runs here takes them from the environment, as in production.
        os.environ |= {"MCPWEFT_URL": store.url, "MCPWEFT_COORDINATOR__PORT": "0"}
        arms = {each.name: partial(measure, store, each, asked.seconds) for each in chosen}
        rounds = interleave(arms, asked.rounds, show, warm_up=not asked.cold)
        version = store.version()
    goals = {"reached": f">= {ENOUGH}"}
    figures = judge(rounds, chosen)
    drawn = plot(rounds, chosen)
    publish(
        Report(name="presets", rounds=rounds, figures=figures, goals=goals, store=version, plot=drawn), asked
    )


if __name__ == "__main__":
    main()
