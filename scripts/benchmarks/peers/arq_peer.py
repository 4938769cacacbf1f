"""arq: jobs in a sorted set, polled; results under a key, polled."""

from __future__ import annotations

from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

from benchmarks.peers import CONCURRENCY, FEW, play
from benchmarks.rig.load import PAYLOAD, closed_loop, obey

QUEUE_POLL = 0.01
RESULT_POLL = {"few": 0.02, "many": 0.1}


async def noop(ctx: dict[Any, Any], text: str) -> str:  # noqa: ARG001  # arq hands it over by that name
    """Do nothing."""
    return "ok" if text else ""


async def work(url: str) -> None:
    """Run the worker."""
    worker = Worker(
        [func(noop, name="noop", keep_result=60)],
        redis_settings=RedisSettings.from_dsn(url),
        max_jobs=CONCURRENCY,
        poll_delay=QUEUE_POLL,
        log_results=False,
    )
    await worker.async_run()


async def produce(url: str) -> None:
    """Make calls under orders."""
    pool = await create_pool(RedisSettings.from_dsn(url))

    async def call(poll: float) -> None:
        job = await pool.enqueue_job("noop", PAYLOAD["text"])
        assert job is not None, "a new id"  # noqa: S101  # None is for one that is there already
        await job.result(poll_delay=poll)

    async def load(*, in_flight: int, **order: float) -> dict[str, float]:
        poll = RESULT_POLL["few" if in_flight <= FEW else "many"]
        return await closed_loop(lambda: call(poll), in_flight=in_flight, **order)

    await call(0.02)
    await obey({"load": load})
    await pool.aclose()


if __name__ == "__main__":
    play(worker=work, producer=produce)
