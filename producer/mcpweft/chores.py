"""The chores of one client: its background tasks, owned from their start to their end.

A task group would do, but it ends its parent's body when a task fails, and that body is the user's. Above
stands the client, which closes this last of all that uses the store.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_log = logging.getLogger("mcpweft")

_CANCELS = 5
_CANCEL_S = 1.0


class Chores:
    """Starts background tasks, tells of those that fail, and ends them all."""

    def __init__(self, broken: Callable[[Exception], None]) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._broken = broken

    def start(self, coro: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run a coroutine until it ends or the chores are closed."""
        task = asyncio.get_running_loop().create_task(coro, name=f"mcpweft: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, Exception):
            _log.error("%s failed: %s", task.get_name(), error, exc_info=error)
            self._broken(error)

    async def finish(self, names: str, within: float) -> None:
        """Give the tasks whose name begins so `within` seconds to end by themselves."""
        tasks = {task for task in self._tasks if task.get_name().startswith(f"mcpweft: {names}")}
        if tasks:
            await asyncio.wait(tasks, timeout=within)

    async def close(self) -> None:
        """Cancel every task and wait until it has ended.

        One that has not ended in a while is cancelled again: below, a library may have swallowed the first.
        """
        left = set(self._tasks)
        for _ in range(_CANCELS):
            for task in left:
                task.cancel()
            if not left:
                return
            _, left = await asyncio.wait(left, timeout=_CANCEL_S)
        if left:
            _log.error("these did not end: %s", ", ".join(task.get_name() for task in left))
