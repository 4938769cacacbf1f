"""Identical work under way is done once: whoever asks for the same meanwhile gets the same answer.

Above stands the client. Each asker may give up by itself; the work is cancelled when the last one has. This
module must never know what is done.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mcpweft_schemas.errors import ShuttingDownError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

T = TypeVar("T")


class _Flight(Generic[T]):
    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.aboard = 0


class Flights(Generic[T]):
    """The work under way, by key."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def join(self, key: Hashable, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what `begin` makes; where the same is under way, what that makes."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(begin()))
            flight.task.add_done_callback(lambda _: self._landed(key, flight))
        flight.aboard += 1
        try:
            return await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            if flight.task.cancelled() and not _cancelled():
                raise ShuttingDownError("the client was closed while the question was waiting") from None
            raise
        finally:
            flight.aboard -= 1
            if not flight.aboard and not flight.task.done():
                self._landed(key, flight)  # whoever asks now begins anew
                flight.task.cancel()

    def _landed(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # it was told to those aboard; with nobody aboard it is no news

    async def close(self) -> None:
        """Cancel all that is under way, and wait for it to end."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
