"""An event loop in a thread of its own, into which other threads hand coroutines and wait.

Above stands the blocking client. After a fork the thread is not there, and whoever would wait for it is told
so at once. This module must never know what is run.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from mcpweft_schemas.errors import InvalidConfigError, ShuttingDownError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

_STOP_S = 10.0


class LoopThread:
    """A running loop. Start it by making it; `stop` ends it."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._gone = False
        self._thread = threading.Thread(target=self._turn, name="mcpweft", daemon=True)
        self._thread.start()

    def _turn(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    @property
    def forked(self) -> bool:
        """Whether this is a fork of the process that it runs in."""
        return os.getpid() != self._pid

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run the coroutine that `make` makes, and wait for it; an interrupted wait cancels it.

        Raises InvalidConfigError in a fork and in the loop's own thread, ShuttingDownError after `stop`.
        """
        if self.forked:
            raise forked(self._pid)
        if threading.current_thread() is self._thread:
            raise InvalidConfigError(
                "the SyncClient was called from a callback of its own, which would wait for itself",
                advice="Make the call outside of the callback.",
            )
        if self._gone:
            raise ShuttingDownError("the client is closed", advice="Use it before it is closed.")
        future = asyncio.run_coroutine_threadsafe(_begun(make), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C reaches the waiting thread, not the loop; no harm to an ended one
            raise

    def stop(self) -> None:
        """Cancel what runs, and end the loop and the thread. Repeat freely."""
        if self._gone or self.forked:
            return
        self._gone = True
        asyncio.run_coroutine_threadsafe(_end(), self._loop).result(_STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_S)
        self._loop.close()


async def _begun(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return await make()


async def _end() -> None:
    """End all that runs in this loop, in the loop itself: whoever stops it may have one that runs, too."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


def forked(pid: int) -> InvalidConfigError:
    """Return the error for a client that a fork has copied without its thread."""
    return InvalidConfigError(
        f"the SyncClient was opened in process {pid} and used in its fork {os.getpid()}, without its thread",
        advice="Make one in each process, after the fork (gunicorn: post_fork, Celery: worker_process_init).",
    )
