"""A producer under orders to which calls come as they come to a service: at random, whoever is still waiting.

    python -P -m benchmarks.rig.arrivals CONFIG CAPABILITY.TOOL --workers 2

It is ready once so many workers take work. The client is given the fabric's own `mcpweft.toml`. Above stand
the benchmarks; below is the client as users have it. This module must never know which server is behind the
tool.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from pathlib import Path

from benchmarks.rig.harness import percentile
from benchmarks.rig.load import PAYLOAD, Answer, loads, obey, run
from benchmarks.rig.producer import usable
from mcpweft import Client, McpweftError
from mcpweft_schemas.config import load_config


class Arrivals:
    """What comes to one client."""

    def __init__(self, client: Client, tool: str) -> None:
        self._client = client
        self._tool = tool

    async def call(self) -> None:
        """Make one call."""
        await self._client.call(self._tool, PAYLOAD)

    async def arrive(
        self, *, rate: float, seconds: float, settle: float, in_time: float, seed: str
    ) -> Answer:
        """Let calls come for `settle` at half the rate, then for `seconds` at all of it; tell of the latter.

        The moments are those of a Poisson process that is known to have had so many arrivals: uniform, in
        order. Returns, each a second, `in_time`: those answered within so many seconds of when they were due,
        and `rate`: answers in as long a time, begun a p50 later; p50, p95 and p99 of the time since they were
        due, in ms; and how many `failed` of all, the first of them named.
        """
        rng = random.Random(seed)  # noqa: S311  # arrivals, the same for each strategy
        dues = sorted(
            start + rng.random() * length
            for start, length, part in ((0.0, settle, 0.5), (settle, seconds, 1.0))
            for _ in range(round(part * rate * length))
        )
        began = time.perf_counter()
        took: list[float] = []
        ended: list[float] = []
        failed: list[str] = []

        async def one(due: float) -> None:
            try:
                await self.call()
            except McpweftError as error:
                failed.append(str(error))
            else:
                ended.append(time.perf_counter() - began)
                if due >= settle:
                    took.append(ended[-1] - due)

        async with asyncio.TaskGroup() as calls:
            for due in dues:
                if (pause := began + due - time.perf_counter()) > 0:
                    await asyncio.sleep(pause)
                calls.create_task(one(due))
        times = took or [float("inf")]
        half = percentile(times, 0.5)
        return {
            "rate": sum(settle + half <= each < settle + half + seconds for each in ended) / seconds,
            "in_time": sum(each <= in_time for each in took) / seconds,
            **{f"p{part}_ms": 1000 * percentile(times, part / 100) for part in (50, 95, 99)},
            "failed": len(failed),
            "why": failed[:1],
        }

    async def workers(self) -> Answer:
        """Return how many workers take work."""
        pools = (await self._client.status()).pools
        return {"workers": sum(worker.usable for pool in pools for worker in pool.workers)}


async def main(asked: argparse.Namespace) -> None:
    """Obey until the input ends."""
    async with Client(config=load_config(asked.config)) as client:
        arrivals = Arrivals(client, asked.tool)
        await usable(client, asked.tool.partition(".")[0], asked.workers)
        await arrivals.call()
        await obey({**loads(arrivals.call), "arrive": arrivals.arrive, "workers": arrivals.workers})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("tool")
    parser.add_argument("--workers", type=int, default=1)
    run(main(parser.parse_args()))
