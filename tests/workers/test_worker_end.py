"""How a worker ends: by a signal, by two, and by what it must not leave behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from mcpweft_schemas.connect import StoreUnreachableError
from mcpweft_schemas.outcome import Code, Executed
from proxy import Proxy
from waiting import until, until_sync
from workbench import POOL, text_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from mcpweft_schemas.wire import Delivery
    from workbench import Bench

PROGRAM = """
import json, sys
from mcpweft_schemas.config import Config
from mcpweft_workers.entry import WorkerOptions, run_worker
config, url = json.loads(sys.argv[1]), sys.argv[2]
sys.exit(run_worker(WorkerOptions(config=Config.model_validate(config), store_url=url, server="echo")))
"""


@contextmanager
def process(bench: Bench, folder: Path, grace: float = 10.0) -> Generator[subprocess.Popen[bytes]]:
    """A worker in a process of its own, with its log in `folder`."""
    config = bench.config(worker={"grace": grace}).model_dump_json(exclude_unset=True)
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen([sys.executable, "-c", PROGRAM, config, bench.url], stderr=log)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


async def usable(bench: Bench) -> bool:
    status = await bench.store.status(POOL)
    return status is not None and bool(status.usable)


async def gone(bench: Bench) -> bool:
    status = await bench.store.status(POOL)
    return status is not None and not status.members and not status.alive and not status.usable


def servers_of(pid: int) -> list[int]:
    """The child processes of a worker."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, check=False).stdout
    return [int(line) for line in found.split()]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_sigterm_lets_what_runs_finish_and_takes_nothing_more(bench: Bench, tmp_path: Path) -> None:
    with process(bench, tmp_path) as child:
        await until(lambda: usable(bench), within=15.0)
        running = await bench.enqueue("sleep", {"ms": 600})
        await until(lambda: len(bench.executed()) == 1)
        servers = servers_of(child.pid)
        child.terminate()
        await until(lambda: draining(bench))
        later = await bench.enqueue("echo", {"text": "later"})
        assert text_of(await bench.outcome(running)) == "done"
        code = await asyncio.to_thread(child.wait, 10)
        assert await bench.state(later) == "queued"
        assert await gone(bench)
    assert code == 0
    assert servers
    until_sync(lambda: not any(lives(pid) for pid in servers))


async def draining(bench: Bench) -> bool:
    status = await bench.store.status(POOL)
    return status is not None and not status.usable


async def test_the_graces_end_gives_back_what_still_runs(bench: Bench, tmp_path: Path) -> None:
    with process(bench, tmp_path, grace=0.3) as child:
        await until(lambda: usable(bench), within=15.0)
        safe = await bench.enqueue("sleep", {"ms": 20_000})
        unsafe = await bench.enqueue("progress", {"steps": 1, "ms": 20_000})
        await until(lambda: len(bench.executed()) == 2)
        child.terminate()
        reply = await bench.outcome(unsafe)
        assert await asyncio.to_thread(child.wait, 10) == 0
        assert await bench.state(safe) == "delayed"  # due at once, for any other worker
        assert (await bench.seen(safe)).attempts[0].cause == "SHUTTING_DOWN"
    assert (reply.code, reply.executed, reply.cause) == (
        Code.OUTCOME_UNKNOWN,
        Executed.MAYBE,
        "SHUTTING_DOWN",
    )


async def test_a_second_signal_ends_at_once(bench: Bench, tmp_path: Path) -> None:
    with process(bench, tmp_path, grace=30.0) as child:
        await until(lambda: usable(bench), within=15.0)
        request_id = await bench.enqueue("sleep", {"ms": 20_000})
        await until(lambda: len(bench.executed()) == 1)
        child.send_signal(signal.SIGINT)
        await until(lambda: draining(bench))
        child.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(child.wait, 4) == 0
        assert await bench.state(request_id) == "delayed"
        assert await gone(bench)


async def test_a_killed_worker_leaves_no_server(bench: Bench, tmp_path: Path) -> None:
    with process(bench, tmp_path) as child:
        await until(lambda: usable(bench), within=15.0)
        servers = servers_of(child.pid)
        child.kill()
        child.wait()
    assert servers
    until_sync(lambda: not any(lives(pid) for pid in servers))


@pytest.mark.slow
async def test_without_a_coordinator_another_worker_takes_a_dead_ones_work(
    bench: Bench, tmp_path: Path
) -> None:
    with process(bench, tmp_path) as child:
        await until(lambda: usable(bench), within=15.0)
        request_id = await bench.enqueue("sleep", {"ms": 1000})
        await until(lambda: len(bench.executed()) == 1)
        async with bench.worker(worker_id="heir"):
            child.kill()
            child.wait()
            reply = await bench.outcome(request_id, within=25.0)
    assert (reply.code, reply.worker) == (Code.OK, "heir")
    assert [attempt.cause for attempt in reply.attempts] == ["WORKER_DIED", "OK"]


async def test_a_worker_ends_while_the_store_is_away(own_bench: Bench) -> None:
    async with Proxy(own_bench.url) as way:
        worker = own_bench.make(own_bench.config(worker={"grace": 0.2}), url=way.url)
        life = asyncio.create_task(worker.run())
        await until(lambda: worker.report.readiness()["ready"], within=15.0)
        pid = worker.session.pids
        assert pid is not None
        await way.shut()
        worker.stop()
        worker.stop()
        async with asyncio.timeout(12):
            await life
        await until(lambda: not lives(pid))


async def test_a_worker_ends_while_a_large_answer_waits_for_a_store_that_is_away(bench: Bench) -> None:
    async def away(capability: str, delivery: Delivery, pieces: Sequence[bytes], ttl_ms: int) -> None:
        raise StoreUnreachableError("the store is away")

    worker = bench.make(bench.config(worker={"grace": 0.2}))
    worker.store.lay_chunks = away  # type: ignore[method-assign]  # as a store that is away answers
    life = asyncio.create_task(worker.run())
    await bench.enqueue("blob", {"size": 2_000_000})
    await until(lambda: any(run.judged for run in worker.runner._runs.values()), within=15.0)
    worker.stop()
    async with asyncio.timeout(20):
        await life


async def test_a_worker_that_is_told_to_end_twice_at_once_leaves_nothing_that_nobody_looks_at(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.worker() as worker:
        worker.stop()
        worker.stop()
    gc.collect()  # what is never looked at is told of once it is collected
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_a_log_line_names_the_request_and_never_its_arguments(bench: Bench, tmp_path: Path) -> None:
    with process(bench, tmp_path) as child:
        await until(lambda: usable(bench), within=15.0)
        request_id = await bench.enqueue("echo", {"text": "my secret"})
        await bench.outcome(request_id)
        child.terminate()
        await asyncio.to_thread(child.wait, 10)
    log = (tmp_path / "log").read_text()
    assert request_id in log
    assert "secret" not in log
