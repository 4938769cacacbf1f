"""Load balancing lowers the median: four servers at a load of 0.6, Poisson arrivals.

    equal random, equal shared    servers of 50 ms; each call to one that chance picks, or to all in one line
    mixed random, mixed shared    three of 50 ms and one of 150 ms

Each worker serves a pool of all and one of its own, in both arms: what differs is which of them a call names.
Beside each arm stands an ideal model: the same arrivals, the same choices, and servers that take what these
servers' own ledgers say they took, with nothing lost between two calls. Above stands claims.py.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from benchmarks.experiments.trial import (
    NO_SPARE,
    POOL,
    WARM_UP_S,
    Experiment,
    Row,
    Site,
    gain,
    section,
    through,
    told,
)
from benchmarks.rig.fabric import Fabric
from benchmarks.rig.harness import percentile
from benchmarks.rig.host import service_s, sleeper
from benchmarks.rig.ideal import at_random, poisson, shared

if TYPE_CHECKING:
    from benchmarks.rig.harness import Rounds
    from benchmarks.rig.notebook import Found

CASES = {"equal": (50.0, 50.0, 50.0, 50.0), "mixed": (50.0, 50.0, 50.0, 150.0)}
LOAD, SECONDS, TIMEOUT_S = 0.6, 60.0, 60.0
CLAIM = "P50 20 to 30 % lower by load balancing"


async def measure(site: Site) -> Found:
    """Measure one arm."""
    case, _, way = site.arm.partition(" ")
    ledgers = {f"s{index}": site.folder / f"ledger-{index}" for index in range(len(CASES[case]))}
    sections: list[str] = []
    for ms, (name, ledger) in zip(CASES[case], ledgers.items(), strict=True):
        program, *words = sleeper(ms, ledger)
        sections.append(section(name, [POOL, name], 1, command=program, args=words))
    rate = LOAD * sum(1000 / ms for ms in CASES[case])
    warm_up = WARM_UP_S * site.length
    dues = poisson(rate, warm_up + SECONDS * site.length, f"{site.repetition}.{case}")
    rng = random.Random(f"{site.repetition}.choices")  # noqa: S311  # the model makes the same choices
    choices = [rng.randrange(len(ledgers)) for _ in dues]
    turn = iter(choices)
    settings = NO_SPARE + "\n".join(sections)
    usable = 2 * len(ledgers)
    async with Fabric(site.folder / "fabric", site.store, "balance", settings, usable=usable) as f:
        tally = site.tally(TIMEOUT_S)
        pick = (lambda: f"s{next(turn)}") if way == "random" else (lambda: POOL)
        await tally.arrive(through(f, TIMEOUT_S, pick), dues)
    services = [service_s(ledger) for ledger in ledgers.values()]
    ideal = at_random(dues, services, choices) if way == "random" else shared(dues, services)
    figures = {
        **tally.figures(warm_up),
        "ideal_p50": 1000
        * percentile([t for due, t in zip(dues, ideal, strict=True) if due >= warm_up], 0.5),
        "service_ms": 1000 * services[0],
    }
    return site.found(tally, ledgers, figures)


def judge(rounds: Rounds) -> list[Row]:
    """Return the row."""
    figures: dict[str, dict[str, Any]] = {"gain": {}, "ideal_gain": {}, "behind_ideal": {}}
    intervals: dict[str, dict[str, Any]] = {name: {} for name in figures}
    for case in CASES:
        arms = f"{case} random", f"{case} shared"
        real, ideal = gain(rounds, *arms, "p50"), gain(rounds, *arms, "ideal_p50")
        behind = [best - had for best, had in zip(ideal, real, strict=True)]
        for name, values in zip(figures, (real, ideal, behind), strict=True):
            figures[name][case], intervals[name][case] = told(values)
    goals = {"gain": ">= 0.24 each", "behind_ideal": "<= 0.03 each"}
    return [Row("p50", CLAIM, figures, goals, intervals)]


EXPERIMENT = Experiment(
    "p50", tuple(f"{case} {way}" for case in CASES for way in ("random", "shared")), measure, judge
)
