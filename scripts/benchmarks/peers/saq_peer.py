"""SAQ: jobs in a list, taken by a blocking move; results polled by `Queue.apply`.

`Job.refresh`, which waits by publish and subscribe, is not used: under this load it missed messages and hung.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from saq import Worker
from saq.queue.base import JobError
from saq.queue.redis import RedisQueue

from benchmarks.peers import CONCURRENCY, play
from benchmarks.rig.load import PAYLOAD, loads, obey

RESULT_POLL = 0.02  # for few and for many


async def noop(_ctx: dict[str, Any], *, text: str) -> str:
    """Do nothing."""
    return "ok" if text else ""


async def work(url: str) -> None:
    """Run the worker."""
    queue = RedisQueue.from_url(url)
    await Worker(queue, functions=[noop], concurrency=CONCURRENCY).start()
    await queue.disconnect()


async def produce(url: str) -> None:
    """Make calls under orders."""
    queue = RedisQueue.from_url(url)
    await queue.connect()

    async def call() -> None:
        await queue.apply("noop", poll_interval=RESULT_POLL, ttl=60, **PAYLOAD)

    with suppress(JobError):  # its worker may sweep the first job away while it starts
        await call()
    await obey(loads(call))
    await queue.disconnect()


if __name__ == "__main__":
    play(worker=work, producer=produce)
