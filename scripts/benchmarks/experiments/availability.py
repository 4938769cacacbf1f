"""Calls are answered whatever dies: 20 a second, safe to run twice, on four servers of 50 ms.

    fabric    a server is killed every 30 s and stays away for 5 s; once in a repetition a worker is killed,
              and once the coordinator that leads

A full repetition lasts six minutes, so five of them are half an hour in which five workers die, and five
coordinators. Calls have 10 s, and three attempts of 1 s. All that failed count, whatever their error. Above
stands claims.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from typing import TYPE_CHECKING

from benchmarks.experiments.trial import POOL, Experiment, Row, Site, section, through
from benchmarks.rig.fabric import Fabric
from benchmarks.rig.host import Host
from benchmarks.rig.interval import of_part

if TYPE_CHECKING:
    from benchmarks.rig.harness import Rounds
    from benchmarks.rig.notebook import Found

SERVERS, MS, RATE, SECONDS = 4, 50.0, 20.0, 360.0
EVERY_S, AWAY_S, TIMEOUT_S = 30.0, 5.0, 10.0
CALL = '[call]\ntimeout = "10s"\nattempt_timeout = "1s"\n'
RECOVERY = '[breaker]\nrecovery = "5s"\n'
WORKER_AT, COORDINATOR_AT = 5 / 6, 1 / 2
FIRST = "first"
CLAIM = "99.9 % availability"


async def kill_servers(host: Host, seconds: float, rng: random.Random) -> None:
    """Kill one after the other, and start each anew."""
    names = list(host.ledgers)
    at = min(EVERY_S / 3, seconds / 4)
    await asyncio.sleep(at)
    while True:
        victim = rng.choice(names)
        host.kill(victim)
        away = min(AWAY_S, seconds / 4)
        await asyncio.sleep(away)
        await host.revive(victim)
        at += EVERY_S
        if at + away > seconds:
            return
        await asyncio.sleep(EVERY_S - away)


async def kill_worker(fabric: Fabric, seconds: float, rng: random.Random) -> None:
    """Kill a worker."""
    await asyncio.sleep(WORKER_AT * seconds)
    status = await fabric.client.status()
    pids = sorted({w.pid for pool in status.pools for w in pool.workers if w.pid is not None and w.usable})
    with contextlib.suppress(ProcessLookupError):
        os.kill(rng.choice(pids), signal.SIGKILL)


async def kill_coordinator(fabric: Fabric, seconds: float) -> None:
    """Kill the coordinator that leads."""
    await asyncio.sleep(COORDINATOR_AT * seconds)
    if await fabric.leader() != f"coordinator.{FIRST}":
        raise RuntimeError("the launcher leads, and its workers would go with it")
    fabric.processes[FIRST].kill()


async def measure(site: Site) -> Found:
    """Measure one repetition."""
    seconds = SECONDS * site.length
    rng = random.Random(f"{site.repetition}.victims")  # noqa: S311  # who dies
    dues = [number / RATE for number in range(int(RATE * seconds))]
    names = [f"s{index}" for index in range(SERVERS)]
    async with Host(site.folder, dict.fromkeys(names, MS)) as host:
        settings = CALL + RECOVERY + "\n".join(section(n, [POOL], 1, url=host.url(n)) for n in names)
        async with Fabric(
            site.folder / "fabric", site.store, "availability", settings, usable=SERVERS, first=FIRST
        ) as fabric:
            tally = site.tally(TIMEOUT_S)
            async with asyncio.TaskGroup() as blows:
                blows.create_task(kill_servers(host, seconds, rng))
                blows.create_task(kill_worker(fabric, seconds, rng))
                blows.create_task(kill_coordinator(fabric, seconds))
                await tally.arrive(through(fabric, TIMEOUT_S), dues)
        return site.found(tally, host.ledgers, tally.figures(0.0))


def judge(rounds: Rounds) -> list[Row]:
    """Return the row."""
    of = int(sum(row["fabric"]["requests"] for row in rounds))
    failed = int(sum(row["fabric"]["failed"] for row in rounds))
    low, high = of_part(of - failed, of)
    figures = {"availability": (of - failed) / of, "requests": of, "failed": failed, "at_least": low}
    return [Row("availability", CLAIM, figures, {"availability": ">= 0.9999"}, {"availability": (low, high)})]


EXPERIMENT = Experiment("availability", ("fabric",), measure, judge)
