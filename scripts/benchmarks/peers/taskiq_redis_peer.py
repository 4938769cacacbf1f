"""taskiq-redis: a stream with a consumer group (acknowledged), results under a key, polled by `wait_result`.

Its worker is its own command line's, with one worker process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers import CONCURRENCY, FEW
from benchmarks.rig.load import PAYLOAD, closed_loop, obey, run

RESULT_POLL = {"few": 0.02, "many": 0.2}
_VARIABLE = "BENCH_STORE_URL"  # its command line imports this module and hands no arguments on
URL = os.environ.get(_VARIABLE) or sys.argv[2]

broker = RedisStreamBroker(URL, xread_count=CONCURRENCY, maxlen=100_000).with_result_backend(
    RedisAsyncResultBackend(URL, result_ex_time=60)
)


@broker.task(task_name="noop")
async def noop(text: str) -> str:
    """Do nothing."""
    return "ok" if text else ""


def work() -> None:
    """Become the worker."""
    program = str(Path(sys.executable).parent / "taskiq")
    flags = ["--workers", "1", "--max-async-tasks", str(CONCURRENCY), "--max-prefetch", str(CONCURRENCY)]
    command = [program, "worker", "benchmarks.peers.taskiq_redis_peer:broker", *flags, "--log-level", "ERROR"]
    os.execve(program, command, {**os.environ, _VARIABLE: URL})  # noqa: S606  # the documented way to run one


async def produce() -> None:
    """Make calls under orders."""
    await broker.startup()

    async def call(poll: float) -> None:
        task = await noop.kiq(**PAYLOAD)
        await task.wait_result(check_interval=poll)

    async def load(*, in_flight: int, **order: float) -> dict[str, float]:
        poll = RESULT_POLL["few" if in_flight <= FEW else "many"]
        return await closed_loop(lambda: call(poll), in_flight=in_flight, **order)

    await call(0.02)
    await obey({"load": load})
    await broker.shutdown()


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        work()
    run(produce())
