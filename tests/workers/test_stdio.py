"""How a stdio server starts and how it ends: with it, everything that it started."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mcpweft_schemas.outcome import Executed
from mcpweft_workers.session import Cause, ServerSpec, Session, SessionState
from servers.hold import HERE, alive, failure, hold, stdio, stop, text
from waiting import until, until_sync


async def test_a_server_that_exits_at_its_start_is_told_with_code_and_stderr() -> None:
    async with hold(stdio("rogue.py", "--start", "exit"), ready=False) as session:
        await until(lambda: session.state is SessionState.DOWN)
        assert "exited with code 7" in session.reason
        assert "cannot find my database" in session.reason
        failed = await failure(session, "ok")
        assert failed.cause is Cause.CONNECTION_FAILED
        assert failed.executed is Executed.NO
        assert "cannot find my database" in failed.stderr_tail


async def test_a_command_that_does_not_exist_is_named() -> None:
    async with hold(ServerSpec("none", command=("/no/such/program",)), ready=False) as session:
        await until(lambda: session.state is SessionState.DOWN)
        assert "cannot run '/no/such/program': No such file" in session.reason


async def test_a_directory_that_does_not_exist_is_named() -> None:
    async with hold(stdio("echo.py", cwd="/no/such/place"), ready=False) as session:
        await until(lambda: session.state is SessionState.DOWN)
        assert "/no/such/place" in session.reason


async def test_a_server_that_is_mute_at_its_start_is_given_up_after_its_time() -> None:
    spec = stdio("rogue.py", "--start", "mute", connect_timeout=0.5, discover_timeout=0.2)
    async with hold(spec, ready=False) as session:
        await until(lambda: session.state is SessionState.DOWN)
        assert "did not answer within 0.5 s" in session.reason


@pytest.mark.parametrize("how", ["discover-dies", "discover-mute"])
@pytest.mark.parametrize("discover_timeout", [0.001, 0.2, 3.0])
async def test_a_server_that_does_not_bear_the_newest_greeting_gets_the_old_one(
    how: str, discover_timeout: float
) -> None:
    async with hold(stdio("rogue.py", "--start", how, discover_timeout=discover_timeout)) as session:
        assert text(await session.call("ok", {}, timeout=5)) == "ok"
        await failure(session, "crash")
        await asyncio.wait_for(session.ready.wait(), 10)
        assert text(await session.call("ok", {}, timeout=5)) == "ok"


async def test_a_killed_server_fails_its_calls_within_a_tenth_of_a_second() -> None:
    async with hold(stdio("echo.py")) as session:
        call = asyncio.create_task(failure(session, "sleep", ms=5000))
        await asyncio.sleep(0)
        assert session.pids is not None
        os.kill(session.pids, signal.SIGKILL)
        began = time.monotonic()
        failed = await call
        assert time.monotonic() - began < 0.1
        assert failed.cause is Cause.SERVER_DIED
        assert "SIGKILL" in failed.message


async def test_a_stopped_server_is_neither_pinged_alive_nor_spared_by_a_restart() -> None:
    async with hold(stdio("echo.py")) as session:
        pid = session.pids
        assert pid is not None
        await stop(pid)
        failed = await failure(session, "echo", timeout=0.1, text="x")
        assert (failed.cause, failed.executed) == (Cause.ATTEMPT_TIMEOUT, Executed.MAYBE)
        assert not await session.ping(0.1)
        await session.restart("hung")
        assert not alive(pid)
        await asyncio.wait_for(session.ready.wait(), 5)
        assert session.pids != pid


async def test_a_server_that_ignores_sigterm_and_the_end_of_stdin_is_closed_within_bounds() -> None:
    async with hold(stdio("rogue.py", "--start", "stubborn", close_grace=0.2)) as session:
        pid = session.pids
        assert pid is not None
        began = time.monotonic()
    assert time.monotonic() - began < 1
    assert not alive(pid)


@pytest.mark.parametrize("how", ["child", "escape"])
async def test_closing_leaves_no_grandchild(how: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    async with hold(stdio("rogue.py", "--start", how, "--note", str(note))) as session:
        child = int(await until(lambda: note.exists() and note.read_text()))
        pid = session.pids
        assert pid is not None
        assert alive(child)
    assert not alive(pid)
    await until(lambda: not alive(child))


async def test_a_dead_server_s_grandchild_that_holds_stdout_neither_delays_the_failure_nor_stays(
    tmp_path: Path,
) -> None:
    note = tmp_path / "note"
    async with hold(stdio("rogue.py", "--note", str(note))) as session:
        began = time.monotonic()
        failed = await failure(session, "exit_with_child")
        assert failed.cause is Cause.SERVER_DIED
        assert time.monotonic() - began < 0.5
        await asyncio.wait_for(session.ready.wait(), 5)
        if written := note.read_text() if note.exists() else "":  # else it was swept before it could write
            await until(lambda: not alive(int(written)))


@pytest.mark.parametrize("how", ["", "stubborn", "child", "escape"])
def test_a_killed_worker_leaves_no_server_and_no_grandchild(how: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    server = [sys.executable, str(HERE / "rogue.py"), "--start", how, "--note", str(note)]
    with subprocess.Popen(
        [sys.executable, str(HERE / "bearer.py"), *server], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        pids = [int(worker.stdout.readline())]
        if how in ("child", "escape"):
            pids.append(int(until_sync(lambda: note.exists() and note.read_text())))
        assert all(alive(pid) for pid in pids)
        worker.kill()
    until_sync(lambda: not any(alive(pid) for pid in pids), within=3)


def test_a_worker_killed_while_its_server_starts_leaves_none(tmp_path: Path) -> None:
    mark = str(tmp_path / "note")
    server = [sys.executable, str(HERE / "rogue.py"), "--start", "mute", "--note", mark]
    with subprocess.Popen([sys.executable, str(HERE / "bearer.py"), *server]) as worker:
        try:
            until_sync(lambda: _running(mark) >= 2)  # the worker, its watch, and soon the server
        finally:
            worker.kill()
    until_sync(lambda: _running(mark) == 0, within=3)


async def test_closing_while_connecting_leaves_no_process(tmp_path: Path) -> None:
    mark = str(tmp_path / "note")
    async with hold(stdio("rogue.py", "--start", "mute", "--note", mark, close_grace=0.1), ready=False):
        await until(lambda: _running(mark) == 2)
    await until(lambda: _running(mark) == 0)


async def test_a_cancelled_close_kills_at_once() -> None:
    session = Session(stdio("rogue.py", "--start", "stubborn", close_grace=30), rng=random.Random(7))
    task = asyncio.create_task(session.run())
    await asyncio.wait_for(session.ready.wait(), 5)
    pid = session.pids
    assert pid is not None
    task.cancel()
    await until(lambda: not session.ready.is_set())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not alive(pid))


async def test_no_file_descriptor_is_left_behind_by_many_lives() -> None:
    async with hold(stdio("echo.py")) as session:
        await session.call("echo", {"text": "x"}, timeout=5)
        before = _descriptors()
        for _ in range(3):
            await failure(session, "crash")
            await asyncio.wait_for(session.ready.wait(), 5)
        assert _descriptors() <= before
        assert session.connects == 4


def _running(mark: str) -> int:
    """Count the processes that have `mark` in their command line."""
    shown = subprocess.run(
        ["ps", "-e", "-ww", "-o", "stat=", "-o", "args="], capture_output=True, text=True, check=True
    ).stdout
    return sum(mark in line and not line.startswith("Z") for line in shown.splitlines())


def _descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))
