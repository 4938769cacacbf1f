"""One of four servers is away for a quarter of the time: what failover and breakers are worth then.

The way to it lets nothing through, from a third of the run on: connections stay open, and nobody is told.
Poisson arrivals at a load of 0.6 on servers of 50 ms, attempts of 1 s, three of them, calls of 10 s.

    same server           a pool for each server, chance picks one: a call is tried again, there
    breaker off           one pool: a call is tried again on another server
    breaker on            the same, with the breaker as it comes, but for a recovery of 5 s
    hang, breaker off     as these two, but the server answers all except calls, and is given 16 of them at a
    hang, breaker on      time, as a server by HTTP is unasked

A breaker is switched off by `breaker.failures = []`: then nothing counts as a failure. It is not all that
stands between a call and a server that is away. A server that is silent with calls in flight and answers no
ping is pulled nothing for, breaker or not; of a server that hangs and answers pings only the breaker knows.
Above stands claims.py.
"""

from __future__ import annotations

import asyncio
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
from benchmarks.rig.host import Host
from benchmarks.rig.ideal import poisson

if TYPE_CHECKING:
    from benchmarks.rig.harness import Rounds
    from benchmarks.rig.notebook import Found

SERVERS, MS, LOAD, SECONDS = 4, 50.0, 0.6, 120.0
BEGINS, LASTS = 1 / 3, 1 / 4
TIMEOUT_S, AT_ONCE = 10.0, 16
CALL = '[call]\ntimeout = "10s"\nattempt_timeout = "1s"\n'
ON = '[breaker]\nrecovery = "5s"\n'
OFF = f"{ON}failures = []\n"
P95 = "P95 40 to 60 % lower by failover"
P99 = "P99 60 to 80 % lower by breakers"


async def strike(host: Host, victim: str, *, hang: bool, length: float) -> None:
    """Take a server away for its part of the run."""
    seconds = SECONDS * length
    await asyncio.sleep(WARM_UP_S * length + BEGINS * seconds)
    if hang:
        host.hangs[victim].touch()
    else:
        host.hole.passes.clear()
    await asyncio.sleep(LASTS * seconds)
    host.hangs[victim].unlink(missing_ok=True)
    host.hole.passes.set()


async def measure(site: Site) -> Found:
    """Measure one arm."""
    hang, apart = site.arm.startswith("hang"), site.arm == "same server"
    names = [f"s{index}" for index in range(SERVERS)]
    dues = poisson(
        LOAD * SERVERS * 1000 / MS, (WARM_UP_S + SECONDS) * site.length, f"{site.repetition}.blackhole"
    )
    rng = random.Random(f"{site.repetition}.choices")  # noqa: S311  # the same for all arms
    async with Host(site.folder, dict.fromkeys(names, MS), holed="" if hang else names[0]) as host:
        sections = [
            section(name, [name if apart else POOL], AT_ONCE if hang else 1, url=host.url(name))
            for name in names
        ]
        settings = NO_SPARE + CALL + (OFF if site.arm.endswith("off") else ON) + "\n".join(sections)
        async with Fabric(
            site.folder / "fabric", site.store, "blackhole", settings, usable=SERVERS
        ) as fabric:
            tally = site.tally(TIMEOUT_S)
            call = through(fabric, TIMEOUT_S, (lambda: rng.choice(names)) if apart else (lambda: POOL))
            async with asyncio.TaskGroup() as both:
                both.create_task(strike(host, names[0], hang=hang, length=site.length))
                await tally.arrive(call, dues)
        return site.found(tally, host.ledgers, tally.figures(WARM_UP_S * site.length))


def judge(rounds: Rounds) -> list[Row]:
    """Return both rows."""
    by_failover, by_breaker, by_breaker_alone = (
        told(gain(rounds, base, arm, figure))
        for base, arm, figure in (
            ("same server", "breaker on", "p95"),
            ("breaker off", "breaker on", "p99"),
            ("hang, breaker off", "hang, breaker on", "p99"),
        )
    )
    failed: dict[str, Any] = {
        arm: sum(row[arm]["failed"] for row in rounds) / sum(row[arm]["requests"] for row in rounds)
        for arm in EXPERIMENT.arms
    }
    gains = {"gain": by_breaker[0], "gain_when_it_hangs": by_breaker_alone[0]}
    intervals = {"gain": by_breaker[1], "gain_when_it_hangs": by_breaker_alone[1]}
    first = {"gain": by_failover[0], "failed": failed}
    return [
        Row("p95", P95, first, {"gain": ">= 0.6"}, {"gain": by_failover[1]}),
        Row("p99", P99, gains, {"gain": ">= 0.8"}, intervals),
    ]


EXPERIMENT = Experiment(
    "blackhole",
    ("same server", "breaker off", "breaker on", "hang, breaker off", "hang, breaker on"),
    measure,
    judge,
)
