"""Hold a session, or a process, for the length of a test, and see what is left of it."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcpweft_workers.session import Answer, CallFailed, ServerSpec, Session
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def stdio(script: str, *options: str, **settings: Any) -> ServerSpec:
    """The spec of one of the servers beside this file."""
    command = (sys.executable, str(HERE / script), *options)
    return ServerSpec(script.removesuffix(".py"), command=command, **settings)


@asynccontextmanager
async def hold(spec: ServerSpec, *, ready: bool = True, **settings: Any) -> AsyncGenerator[Session]:
    """A running session; closed at the end, whatever happened."""
    session = Session(spec, rng=random.Random(7), backoff_base=0.01, backoff_cap=0.1, **settings)
    task = asyncio.create_task(session.run())
    try:
        if ready:
            async with asyncio.timeout(10):
                await session.ready.wait()
        yield session
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def failure(session: Session, tool: str, *, timeout: float = 5.0, **arguments: Any) -> CallFailed:  # noqa: ASYNC109  # the call's own
    """Call, expecting a failure; return it."""
    try:
        answer = await session.call(tool, arguments, timeout=timeout)
    except CallFailed as exc:
        return exc
    raise AssertionError(f"it answered: {str(answer)[:200]}")


def text(answer: Answer) -> str:
    """The first text of an answer."""
    return str(answer.content[0]["text"])


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def listening(script: str, *options: str) -> Generator[tuple[subprocess.Popen[str], int]]:
    """An HTTP server as a process, and its port."""
    command = [sys.executable, str(HERE / script), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            match = re.match(r"port (\d+)", process.stdout.readline())
            assert match is not None
            yield process, int(match.group(1))
        finally:
            process.kill()


async def stop(pid: int) -> None:
    """SIGSTOP a process, and wait until it has stopped: its threads run on for a moment."""
    os.kill(pid, signal.SIGSTOP)

    def stopped() -> bool:
        shown = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return shown.stdout.startswith("T")

    await until(stopped)
