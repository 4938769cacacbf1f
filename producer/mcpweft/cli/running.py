"""Run one command's coroutine: Ctrl-C and SIGTERM cancel it, so that it can take back what it asked for.

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


def run(work: Coroutine[None, None, T]) -> T:
    """Return what `work` returns.

    Raises:
        KeyboardInterrupt: Ctrl-C; `work` was cancelled and has ended.
        TerminatedError: likewise, by SIGTERM.

    """
    return asyncio.run(_guarded(work))


async def _guarded(work: Coroutine[None, None, T]) -> T:
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        if terminated:
            raise TerminatedError from None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
