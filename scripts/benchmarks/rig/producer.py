"""The fabric's producer under orders: a process with one Client.

    python -P -m benchmarks.rig.producer STORE_URL CAPABILITY.TOOL [--arguments JSON] [--workers 1]

It is ready once so many workers take work and a first call has been answered. Above stand the benchmarks;
below is the client as users have it. It must never know which server is behind the tool.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from typing import TYPE_CHECKING, Any

from benchmarks.rig.load import PAYLOAD, Answer, loads, obey, run
from mcpweft import Client, Result

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOK = 0.05  # seconds between two looks at the pool


class Producer:
    """What is asked of it beyond plain load."""

    def __init__(self, client: Client, tool: str, arguments: Mapping[str, Any]) -> None:
        self._client = client
        self._tool = tool
        self._arguments = arguments
        self._waiting: list[asyncio.Task[Result]] = []

    async def call(self) -> None:
        """Make one call."""
        await self._client.call(self._tool, self._arguments)

    async def lone(self, *, calls: int, pause: float) -> Answer:
        """Make calls one at a time, `pause` seconds apart, of the tool `noop`.

        Returns the milliseconds of each call, and those until the worker would have sent it to its server.
        """
        times: list[float] = []
        pickups: list[float] = []
        for _ in range(calls):
            await asyncio.sleep(pause)
            handed = time.monotonic_ns()
            result = await self._client.call(self._tool, self._arguments)
            times.append((time.monotonic_ns() - handed) / 1e6)
            pickups.append((int(result.text) - handed) / 1e6)
        return {"times_ms": times, "pickups_ms": pickups}

    async def wait(self, *, calls: int, capability: str) -> Answer:
        """Begin so many calls that nobody answers; return once all of them are queued."""
        self._waiting = [
            asyncio.create_task(self._client.call(self._tool, dict(self._arguments), timeout="1h"))
            for _ in range(calls)
        ]
        queued = 0
        while queued < calls:
            await asyncio.sleep(LOOK)
            pools = (await self._client.status()).pools
            queued = sum(sum(pool.waiting.values()) for pool in pools if pool.capability == capability)
        gc.collect()
        return {"queued": queued}

    async def leave(self) -> Answer:
        """Cancel the calls that wait."""
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        return {}

    async def mapped(self, *, calls: int, window: int) -> Answer:
        """Make so many calls through `map`; return how many ended well, and how long all took."""
        began = time.perf_counter()
        done = 0
        items = (self._arguments for _ in range(calls))
        async for outcome in self._client.map(self._tool, items, window=window):
            done += isinstance(outcome, Result)
        return {"done": done, "seconds": time.perf_counter() - began}


async def usable(client: Client, capability: str, workers: int) -> None:
    """Wait until so many workers of a capability take work."""
    while True:
        pools = (await client.status()).pools
        mine = [worker for pool in pools if pool.capability == capability for worker in pool.workers]
        if sum(worker.usable for worker in mine) >= workers:
            return
        await asyncio.sleep(LOOK)


async def main(asked: argparse.Namespace) -> None:
    """Obey until the input ends."""
    async with Client(asked.store) as client:
        producer = Producer(client, asked.tool, json.loads(asked.arguments))
        await usable(client, asked.tool.partition(".")[0], asked.workers)
        if asked.workers:
            await producer.call()
        await obey(
            {
                **loads(producer.call),
                "lone": producer.lone,
                "wait": producer.wait,
                "leave": producer.leave,
                "map": producer.mapped,
            }
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("tool")
    parser.add_argument("--arguments", default=json.dumps(PAYLOAD))
    parser.add_argument("--workers", type=int, default=1)
    run(main(parser.parse_args()))
