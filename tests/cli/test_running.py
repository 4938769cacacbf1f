"""Ctrl-C and SIGTERM reach a command wherever it is."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

import pytest

from mcpweft.cli.exits import TerminatedError
from mcpweft.cli.running import run


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, TerminatedError)]
)
def test_a_signal_in_the_middle_of_a_step_is_not_swallowed_by_a_timeout_that_expires_at_once(
    number: signal.Signals, error: type[BaseException]
) -> None:
    ended: list[str] = []

    async def work() -> None:
        os.kill(os.getpid(), number)
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.sleep(1)
        try:
            await asyncio.sleep(20)
        finally:
            ended.append("cleaned up")

    with pytest.raises(error):
        run(work())
    assert ended in ([], ["cleaned up"])


def test_work_that_ends_by_itself_returns_what_it_has() -> None:
    async def work() -> int:
        return 7

    assert run(work()) == 7


def test_work_that_fails_is_not_taken_for_a_signal() -> None:
    async def work() -> None:
        raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        run(work())
