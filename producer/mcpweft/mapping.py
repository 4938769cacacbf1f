"""Mapping: one tool over many items, with a bounded number of requests open.

Above stands `Client.map`; below is one function that calls the tool with an item. What is begun in one turn
of the loop travels in one batch, so the window is topped up in strides, not one by one. This module must
never know how a call travels.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mcpweft.result import Result
from mcpweft_schemas.errors import InvalidConfigError, McpweftError

if TYPE_CHECKING:
    from typing import TypeAlias

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_STRIDE = 8  # a window is topped up once an eighth of it is free: larger batches for a little idling


class MappedOver(Generic[Item, Answer]):
    """The outcomes of a map, to be iterated over once: results, or errors in their place.

    Leaving the loop early cancels what is open. `indexed` tells which item each outcome belongs to.
    """

    def __init__(
        self,
        call: Callable[[Item], Coroutine[Any, Any, Answer]],
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        ordered: bool,
        window: int,
    ) -> None:
        if window < 1:
            raise InvalidConfigError(f"window is {window}", advice="Write a whole number from 1 on.")
        self._call = call
        self._items = _Source(items)
        self._ordered = ordered
        self._window = window

    async def __aiter__(self) -> AsyncIterator[Answer | McpweftError]:
        outcomes = self.indexed()
        try:
            async for _, outcome in outcomes:
                yield outcome
        finally:
            await outcomes.aclose()

    async def indexed(self) -> AsyncGenerator[tuple[int, Answer | McpweftError]]:
        """Iterate over (the item's place, counted from 0; its outcome)."""
        run = _Run(self._call, ordered=self._ordered, window=self._window)
        try:
            while True:
                await run.fill(self._items)
                if not run.open:
                    return
                for index, task in await run.ended():
                    yield index, _outcome(task)
        finally:
            await run.close()
            await self._items.close()


if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


def _outcome(task: asyncio.Task[Answer]) -> Answer | McpweftError:
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, McpweftError):
        return error
    raise error


class _Source(Generic[Item]):
    """Items from a plain or an asynchronous iterable."""

    def __init__(self, items: Iterable[Item] | AsyncIterable[Item]) -> None:
        self._plain = None if isinstance(items, AsyncIterable) else iter(items)
        self._slow = aiter(items) if isinstance(items, AsyncIterable) else None
        self._coming: asyncio.Task[Item] | None = None
        self.over = False

    def take(self) -> list[Item]:
        """Return the next item of a plain source, at once; nothing at its end."""
        if self._plain is None:
            return []
        for item in self._plain:
            return [item]
        self.over = True
        return []

    @property
    def slow(self) -> bool:
        """Whether the next item has to be waited for."""
        return self._slow is not None

    def coming(self) -> asyncio.Task[Item]:
        """Return the task that brings the next item: a wait that is cut short loses none."""
        if self._coming is None:
            self._coming = asyncio.ensure_future(self._next())
        return self._coming

    async def _next(self) -> Item:
        if self._slow is None:
            raise StopAsyncIteration
        return await anext(self._slow)

    def arrived(self) -> list[Item]:
        """Return the item that has come, if one has; a source's own error is raised."""
        task = self._coming
        if task is None or not task.done():
            return []
        self._coming = None
        try:
            return [task.result()]
        except StopAsyncIteration:
            self.over = True
            return []

    async def close(self) -> None:
        """Let the source go."""
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)
            self._coming = None
        close = getattr(self._slow, "aclose", None)
        if close is not None:
            await close()


class _Run(Generic[Item, Answer]):
    """The open calls of one map."""

    def __init__(
        self,
        call: Callable[[Item], Coroutine[Any, Any, Answer]],
        *,
        ordered: bool,
        window: int,
    ) -> None:
        self._call = call
        self._ordered = ordered
        self._window = window
        self._stride = max(1, window // _STRIDE)
        self._next = 0
        self._line: deque[tuple[int, asyncio.Task[Answer]]] = deque()
        """Begun and not yielded, where the order is to be kept."""
        self._done: deque[tuple[int, asyncio.Task[Answer]]] = deque()
        self._open: set[asyncio.Task[Answer]] = set()
        self._count = 0
        self._news = asyncio.Event()
        self._source: _Source[Item] | None = None

    @property
    def open(self) -> int:
        """How many calls were begun and not yielded yet."""
        return self._count

    async def fill(self, source: _Source[Item]) -> None:
        """Begin as many calls as there is room for."""
        self._source = source
        if source.over or (self._count > self._window - self._stride and self._count):
            return
        while self._count < self._window and not source.over:
            items = source.arrived() if source.slow else source.take()
            for item in items:
                self._begin(item)
            if source.slow and not items and not source.over:
                if not source.coming().done():
                    source.coming().add_done_callback(lambda _: self._news.set())
                    await asyncio.sleep(0)  # an item that is there already comes within a turn
                if not source.coming().done():
                    if self._count:
                        return
                    await asyncio.wait([source.coming()])

    def _begin(self, item: Item) -> None:
        index, self._next = self._next, self._next + 1
        task = asyncio.get_running_loop().create_task(self._call(item), name=f"mcpweft: map item {index}")
        self._count += 1
        self._open.add(task)
        if self._ordered:
            self._line.append((index, task))
        task.add_done_callback(lambda done: self._ended(index, done))

    def _ended(self, index: int, task: asyncio.Task[Answer]) -> None:
        self._open.discard(task)
        if not self._ordered:
            self._done.append((index, task))
        self._news.set()

    async def ended(self) -> list[tuple[int, asyncio.Task[Answer]]]:
        """Wait until an outcome may be yielded, or an item has come; return what may be."""
        while True:
            self._news.clear()
            ready = self._ready()
            if ready or self._item_has_come():
                return ready
            await self._news.wait()

    def _item_has_come(self) -> bool:
        source = self._source
        room = self._count <= self._window - self._stride
        return room and source is not None and source.slow and not source.over and source.coming().done()

    def _ready(self) -> list[tuple[int, asyncio.Task[Answer]]]:
        ready: list[tuple[int, asyncio.Task[Answer]]] = []
        if self._ordered:
            while self._line and self._line[0][1].done():
                ready.append(self._line.popleft())
        else:
            ready.extend(self._done)
            self._done.clear()
        self._count -= len(ready)
        return ready

    async def close(self) -> None:
        """Cancel what is open, and wait until it has left."""
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


Mapped: TypeAlias = MappedOver[Mapping[str, Any], Result]
