"""The blocking twins of a handle, a map and a stub: each hands its work to the loop's thread and waits.

Above stands `SyncClient`. This module must never touch the loop but through `LoopThread.run`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterable, Callable, Coroutine, Generator, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from mcpweft.result import Result

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from mcpweft.handle import Handle
    from mcpweft.mapping import MappedOver
    from mcpweft.result import Progress
    from mcpweft.stub import Decorator, Stub, TypedHandle
    from mcpweft.terms import Duration
    from mcpweft.thread import LoopThread
    from mcpweft_schemas.errors import McpweftError

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class BlockingHandle(Generic[T]):
    """A request that was accepted; as `Handle`, and `result` gives a T."""

    def __init__(self, thread: LoopThread, handle: Handle | TypedHandle[Any], fetch: _Fetch[T]) -> None:
        self._thread = thread
        self._handle = handle
        self._fetch = fetch

    @property
    def id(self) -> str:
        """The request's id."""
        return self._handle.id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    def result(self, timeout: Duration | None = None) -> T:
        """Wait for the outcome."""
        return self._thread.run(lambda: self._fetch(timeout))

    def wait(self, timeout: Duration | None = None) -> bool:
        """Wait until it has ended, however; return False where `timeout` passed first."""
        return self._thread.run(lambda: self._handle.wait(timeout))

    def cancel(self) -> bool:
        """End it for everybody; return False where it had ended already."""
        return self._thread.run(self._handle.cancel)

    def progress(self) -> Iterator[Progress]:
        """Tell how far it is, until it ends."""
        steps = self._handle.progress()
        try:
            yield from each(self._thread, steps)
        finally:
            self._thread.run(lambda: _closed(steps))


_Fetch = Callable[["Duration | None"], Coroutine[Any, Any, T]]


class SyncHandle(BlockingHandle[Result]):
    """A request that was accepted; as `Handle`."""

    def __init__(self, thread: LoopThread, handle: Handle) -> None:
        super().__init__(thread, handle, handle.result)


def each(thread: LoopThread, source: AsyncIterator[T]) -> Iterator[T]:
    """Iterate here over what is made in the loop's thread."""
    while True:
        try:
            value = thread.run(lambda: _next(source))
        except _OverError:
            return
        yield value


class _OverError(Exception):
    """An iterator has ended: StopAsyncIteration itself cannot cross a future."""


async def _next(source: AsyncIterator[T]) -> T:
    try:
        return await anext(source)
    except StopAsyncIteration:
        raise _OverError from None


async def _closed(source: object) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()


class _Feed(Generic[Item]):
    """Items handed over from another thread, as an asynchronous iterable."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[tuple[Item] | None] = asyncio.Queue()

    async def put(self, items: list[Item], *, last: bool) -> None:
        """Add items; `last`: there will be no more."""
        for item in items:
            self._items.put_nowait((item,))
        if last:
            self._items.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Item]:
        while (item := await self._items.get()) is not None:
            yield item[0]


class BlockingMap(Generic[Item, Answer]):
    """The outcomes of a map, to be iterated over once; as `MappedOver`."""

    def __init__(
        self,
        thread: LoopThread,
        make: Callable[[AsyncIterable[Item]], MappedOver[Item, Answer]],
        items: Iterable[Item],
        window: int,
    ) -> None:
        self._thread = thread
        self._make = make
        self._items = items
        self._window = window

    def __iter__(self) -> Iterator[Answer | McpweftError]:
        for _, outcome in self.indexed():
            yield outcome

    def indexed(self) -> Generator[tuple[int, Answer | McpweftError], None, None]:
        """Iterate over (the item's place, counted from 0; its outcome)."""
        feed = _Feed[Item]()

        async def begin() -> AsyncGenerator[tuple[int, Answer | McpweftError]]:
            return self._make(feed).indexed()

        outcomes = self._thread.run(begin)
        source, given, over = iter(self._items), 0, False
        try:
            while True:
                room = self._window - given
                if not over and (given == 0 or room >= max(1, self._window // 8)):
                    more = list(islice(source, room))
                    over, given = len(more) < room, given + len(more)
                    self._thread.run(functools.partial(feed.put, more, last=over))
                if given == 0:
                    return
                yield self._thread.run(lambda: _next(outcomes))
                given -= 1
        finally:
            self._thread.run(outcomes.aclose)


class SyncStub(Generic[P, T]):
    """A tool as a function; as `Stub`, called without await."""

    __name__: str

    def __init__(self, ready: Callable[[], LoopThread], stub: Stub[P, T]) -> None:
        self._ready = ready
        self._stub = stub
        functools.update_wrapper(self, stub)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the tool; raises as `Client.call`."""
        return self._ready().run(lambda: self._stub(*args, **kwargs))

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> BlockingHandle[T]:
        """Hand the call in and return when it is accepted; as `Client.submit`."""
        thread = self._ready()
        handle = thread.run(lambda: self._stub.submit(*args, **kwargs))
        return BlockingHandle(thread, handle, handle.result)

    def map(self, items: Iterable[Any], *, ordered: bool = True, window: int = 256) -> BlockingMap[Any, T]:
        """Call the tool for each item; as `Stub.map`."""

        def make(feed: AsyncIterable[Any]) -> MappedOver[Any, T]:
            return self._stub.map(feed, ordered=ordered, window=window)

        return BlockingMap(self._ready(), make, items, window)


class BlockingDecorator:
    """Makes a blocking stub of an annotated function; its body is never run."""

    def __init__(self, ready: Callable[[], LoopThread], decorator: Decorator) -> None:
        self._ready = ready
        self._decorator = decorator

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]]) -> SyncStub[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T]) -> SyncStub[P, T]: ...
    def __call__(self, function: Callable[P, Any]) -> SyncStub[P, Any]:
        """Return the stub. Raises InvalidConfigError where the annotations cannot be used."""
        return SyncStub(self._ready, self._decorator(function))
