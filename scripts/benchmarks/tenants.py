"""What one tenant notices of another's map of 100,000 items, in the same class of the same pool.

    alone     `light` calls 20 times a second, and nobody else does
    beside    the same, while `heavy` maps 100,000 items, 1,000 of them open at a time
    strangers as `beside`, but without tenants: both stand in one line

Four workers of concurrency 16 (64 slots). A call of `light` takes a second, one of `heavy` half a second to
one and a half: a call that goes first must still wait until a slot is free, 1/64 of that on average and three
times as much at the 95th percentile while all are taken. With `--ms 200` the flood is five times as many
calls, and on two processors these are what is measured.

    scripts/bench tenants [--rounds 5] [--seconds 10] [--ms 1000] [--workers 4] [--record]

added_p95       what `beside` adds to the p95 of `alone`, as a part of it, in the same round; the aim is 0.1
strangers_p95   the same for `strangers`
heavy_rate      calls per second that `heavy` had meanwhile; the slots allow 64, less what `light` has
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.rig.harness import Figures, Rounds, interleave, of, over
from benchmarks.rig.measured import MeasuredStore, store_of
from benchmarks.rig.party import Background, worker
from benchmarks.rig.report import Report, options, publish, show
from mcpweft import Client, McpweftError

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS, CONCURRENCY = 4, 16
EVERY_S, ITEMS, WINDOW, SETTLE_S = 0.05, 100_000, 1000, 2.0
SERVER = [sys.executable, "-P", str(Path(__file__).resolve().parents[2] / "tests/servers/echo.py")]


async def ready(client: Client, workers: int) -> None:
    """Wait until so many workers take work."""

    async def usable() -> int:
        return sum(worker.usable for pool in (await client.status()).pools for worker in pool.workers)

    while await usable() < workers:  # noqa: ASYNC110  # they are other processes: there is nothing to wait on
        await asyncio.sleep(0.1)


async def flood(client: Client, tenant: str, ms: float, done: list[int]) -> None:
    """Map on and on; count what comes."""
    rng = random.Random(1)  # noqa: S311  # else all slots would be free at the same moment
    items = ({"ms": ms * rng.uniform(0.5, 1.5)} for _ in range(ITEMS))
    async for outcome in client.map("bench.sleep", items, window=WINDOW, tenant=tenant, ordered=False):
        if isinstance(outcome, McpweftError):
            raise outcome
        done[0] += 1


async def light(client: Client, tenant: str, ms: float, seconds: float) -> list[float]:
    """Call at a steady pace for so long; return how long each took, in ms from when it was meant to go."""

    async def one(due: float) -> float:
        await client.call("bench.sleep", {"ms": ms}, priority="low", tenant=tenant)
        return 1000 * (time.perf_counter() - due)

    began = time.perf_counter()
    calls: list[asyncio.Task[float]] = []
    for number in range(int(seconds / EVERY_S)):
        due = began + number * EVERY_S
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        calls.append(asyncio.create_task(one(due)))
    return sorted(await asyncio.gather(*calls))


async def measure(
    url: str, seconds: float, ms: float, workers: int, *, heavy: bool, tenants: bool
) -> Figures:
    """Measure one arm."""
    done = [0]
    async with AsyncExitStack() as stack:
        mine = await stack.enter_async_context(Client(url))
        theirs = await stack.enter_async_context(Client(url))
        await ready(mine, workers)
        flooding = None
        if heavy:
            flooding = asyncio.create_task(flood(theirs, "heavy" if tenants else "", ms, done))
        await asyncio.sleep(SETTLE_S + ms / 1000)
        before = done[0]
        times = await light(mine, "light" if tenants else "", ms, seconds)
        rate = (done[0] - before) / seconds
        if flooding is not None:
            flooding.cancel()
            await asyncio.wait({flooding})
    last = len(times) - 1
    return {
        "p50_ms": times[len(times) // 2],
        "p95_ms": times[min(last, int(0.95 * len(times)))],
        "heavy_rate": rate,
    }


def arm(
    store: MeasuredStore, seconds: float, ms: float, workers: int, *, heavy: bool, tenants: bool
) -> Figures:
    """Measure one arm on workers of its own."""
    store.wipe()
    with ExitStack() as stack:
        for _ in range(workers):
            stack.enter_context(Background(worker(store.url, SERVER, CONCURRENCY)))
        return asyncio.run(measure(store.url, seconds, ms, workers, heavy=heavy, tenants=tenants))


def added(row: dict[str, Figures], name: str) -> float:
    """Return what an arm adds to the p95 of `alone`, as a part of it."""
    return row[name]["p95_ms"] / row["alone"]["p95_ms"] - 1


def judge(rounds: Rounds) -> dict[str, Any]:
    """Return the figures of the last line."""
    return {
        "added_p95": over(rounds, partial(added, name="beside")).median,
        "strangers_p95": over(rounds, partial(added, name="strangers")).median,
        "heavy_rate": of(rounds, "beside", "heavy_rate").median,
    }


def main() -> None:
    """Measure and publish."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="measured seconds of each arm")
    parser.add_argument("--ms", type=float, default=1000.0, help="what a call takes")
    parser.add_argument("--workers", type=int, default=WORKERS, help="how many, of 16 slots each")
    asked = parser.parse_args()
    with store_of(asked) as store:
        run = partial(arm, store, asked.seconds, asked.ms, asked.workers)
        arms: dict[str, Callable[[], Figures]] = {
            "alone": partial(run, heavy=False, tenants=True),
            "beside": partial(run, heavy=True, tenants=True),
            "strangers": partial(run, heavy=True, tenants=False),
        }
        rounds = interleave(arms, asked.rounds, show, warm_up=not asked.cold)
        version = store.version()
    goals = {"added_p95": "<= 0.1"}
    publish(Report(name="tenants", rounds=rounds, figures=judge(rounds), goals=goals, store=version), asked)


if __name__ == "__main__":
    main()
