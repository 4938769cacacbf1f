"""Run one command's coroutine: Ctrl-C and SIGTERM cancel it, so that it can take back what it asked for.

Both come as callbacks of the loop, between two steps of a task. `asyncio.run` by itself cancels in the middle
of one; such a cancel is swallowed by the next `asyncio.timeout` that expires at once, and redis-py looks with
one whether a connection is clean. A second Ctrl-C ends the process where it is.

Above stand the commands. This module must never know what they do.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, TypeVar

from mcpweft.cli.exits import TerminatedError

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class _EndedError(Exception):
    """A signal ended the work."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.number = number


def run(work: Coroutine[None, None, T]) -> T:
    """Return what `work` returns.

    Raises:
        KeyboardInterrupt: Ctrl-C; `work` was cancelled and has ended.
        TerminatedError: likewise, by SIGTERM.

    """
    try:
        return asyncio.run(_guarded(work))
    except _EndedError as ended:
        raise (KeyboardInterrupt if ended.number is signal.SIGINT else TerminatedError) from None


async def _guarded(work: Coroutine[None, None, T]) -> T:
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    came: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        came.append(number)
        loop.remove_signal_handler(number)
        task.cancel()

    heard = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as under nohup
        heard.append(signal.SIGINT)
    for number in heard:
        loop.add_signal_handler(number, end, number)
    try:
        return await task
    except asyncio.CancelledError:
        if came:
            raise _EndedError(came[0]) from None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
