"""What a server's processes use is measured of the whole tree, and unknown where nobody can know."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mcpweft_workers.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Generator

BUSY = "while True: pass"
IDLE = "import time; time.sleep(60)"
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


@contextmanager
def process(*command: str) -> Generator[int]:
    with subprocess.Popen([sys.executable, "-c", *command], start_new_session=True) as child:
        try:
            yield child.pid
        finally:
            os.killpg(child.pid, signal.SIGKILL)


async def used(pid: int, seconds: float = 1.0) -> Meter:
    meter = Meter(lambda: pid, time.monotonic)
    await meter.look()
    time.sleep(seconds)  # noqa: ASYNC251  # processor time is measured, not ours
    await meter.look()
    return meter


async def test_a_child_that_computes_is_seen_and_one_that_waits_is_not() -> None:
    with process(PARENT, BUSY) as busy, process(IDLE) as idle:
        time.sleep(0.3)  # noqa: ASYNC251  # until they have started
        spent, waited = await used(busy), await used(idle)
    assert spent.cpu is not None
    assert waited.cpu is not None
    assert waited.cpu < 0.1 < spent.cpu <= 1.0
    assert spent.memory is not None
    assert 0 < spent.memory < 1


async def test_of_a_server_elsewhere_or_one_that_is_gone_nothing_is_known() -> None:
    elsewhere = Meter(lambda: None, time.monotonic)
    await elsewhere.look()
    with process(IDLE) as pid:
        gone = await used(pid, 0.0)
    await gone.look()
    assert (elsewhere.cpu, elsewhere.memory, gone.cpu, gone.memory) == (None,) * 4
