"""streaq: a stream with a consumer group; results by publish and subscribe.

Every call that waits holds a connection for its subscription, so the pool must be larger than the calls in
flight: with its default size, 256 waiting calls hold all connections and none ends.
"""

from __future__ import annotations

import logging
import sys

from anyio import run
from streaq import Worker

from benchmarks.peers import CONCURRENCY
from benchmarks.rig.load import PAYLOAD, loads, obey

worker: Worker[None] = Worker(
    redis_url=sys.argv[2],
    redis_kwargs={"max_connections": 4 * CONCURRENCY},
    concurrency=CONCURRENCY,
    anyio_backend="asyncio",
    anyio_kwargs={"use_uvloop": True},
)


@worker.task(name="noop", silent=True, ttl=60)
async def noop(text: str) -> str:
    """Do nothing."""
    return "ok" if text else ""


async def produce() -> None:
    """Make calls under orders."""

    async def call() -> None:
        task = await noop.enqueue(**PAYLOAD)
        await task.result(timeout=60)

    async with worker:
        await call()
        await obey(loads(call))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    if sys.argv[1] == "worker":
        worker.run_sync()
    else:
        run(produce, backend="asyncio", backend_options={"use_uvloop": True})
