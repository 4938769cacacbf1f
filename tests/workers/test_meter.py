"""What a server's processes use is measured of the whole tree, and unknown where nobody can know."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft_workers.meter import FRESH, LOAD, Meter

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


@pytest.mark.parametrize(
    ("meta", "seen"),
    [
        ({LOAD: {"cpu": 0.7, "memory": 0.2}}, (0.7, 0.2)),
        ({LOAD: {"cpu": 1}}, (1.0, None)),
        ({LOAD: {"cpu": 7, "memory": "much"}}, (None, None)),
        ({LOAD: "busy"}, (None, None)),
        ({"other": 1}, (None, None)),
        (None, (None, None)),
        ([1], (None, None)),
    ],
)
async def test_what_a_server_says_of_itself_is_taken_over_where_it_is_lawful(
    meta: Any, seen: tuple[float | None, float | None]
) -> None:
    meter = Meter(lambda: None, time.monotonic)
    meter.hear(meta)
    assert (meter.cpu, meter.memory) == seen


async def test_what_a_server_said_stands_over_what_is_measured_and_not_for_ever() -> None:
    now = 100.0
    with process(IDLE) as pid:
        meter = Meter(lambda: pid, lambda: now)
        meter.hear({LOAD: {"cpu": 0.9}})
        await meter.look()
        assert (meter.cpu, meter.memory) == (0.9, None)
        now += FRESH
        await meter.look()
        assert meter.cpu is None
        assert meter.memory is not None
