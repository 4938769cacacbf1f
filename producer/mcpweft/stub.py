"""The typed stub of a tool, for `@client.tool(...)`: called like the function it was made of.

Above stands the user; below are the contract, which checks what goes in and out, and the client.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from mcpweft.contract import Contract
from mcpweft.mapping import MappedOver

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable

    from mcpweft.client import Client
    from mcpweft.handle import Handle
    from mcpweft.result import Progress
    from mcpweft.terms import CallOptions, Duration

P = ParamSpec("P")
T = TypeVar("T")


class TypedHandle(Generic[T]):
    """A submitted request whose result is checked; otherwise as `Handle`."""

    def __init__(self, handle: Handle, contract: Contract[T]) -> None:
        self.raw = handle
        """The handle itself, whose `result` is a Result."""
        self._contract = contract

    @property
    def id(self) -> str:
        """The request's id."""
        return self.raw.id

    async def result(self, timeout: Duration | None = None) -> T:  # noqa: ASYNC109  # public, as everywhere
        """Wait for the outcome and return its value."""
        return self._contract.value(await self.raw.result(timeout))

    async def wait(self, timeout: Duration | None = None) -> bool:  # noqa: ASYNC109  # public, as everywhere
        """Wait until it has ended, however; return False where `timeout` passed first."""
        return await self.raw.wait(timeout)

    async def cancel(self) -> bool:
        """End it for everybody; return False where it had ended already."""
        return await self.raw.cancel()

    def progress(self) -> AsyncIterator[Progress]:
        """Tell how far it is, until it ends."""
        return self.raw.progress()


class Stub(Generic[P, T]):
    """A tool as a function: awaiting a call of it gives the tool's value."""

    __name__: str

    def __init__(self, client: Client, name: str, options: CallOptions, function: Callable[P, Any]) -> None:
        self._client = client
        self._name = name
        self._options = options
        self._contract: Contract[T] = Contract(function, name)
        functools.update_wrapper(self, function)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the tool; raises as `Client.call`."""
        arguments = self._contract.arguments(args, kwargs)
        return self._contract.value(await self._client.call(self._name, arguments, **self._options))

    async def submit(self, *args: P.args, **kwargs: P.kwargs) -> TypedHandle[T]:
        """Hand the call in and return when it is accepted; as `Client.submit`."""
        arguments = self._contract.arguments(args, kwargs)
        handle = await self._client.submit(self._name, arguments, **self._options)
        return TypedHandle(handle, self._contract)

    def map(
        self, items: Iterable[Any] | AsyncIterable[Any], *, ordered: bool = True, window: int = 256
    ) -> MappedOver[Any, T]:
        """Call the tool for each item: a mapping or tuple of arguments, or its only one. As `Client.map`."""
        call = self._client.caller(self._name, self._options)

        async def one(item: Any) -> T:
            return self._contract.value(await call(self._contract.one(item)))

        return MappedOver(one, items, ordered=ordered, window=window)


class Decorator:
    """Makes a stub of an annotated function, be it written `def` or `async def`; its body is never run."""

    def __init__(self, client: Client, name: str, options: CallOptions) -> None:
        self._client = client
        self._name = name
        self._options = options

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]]) -> Stub[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T]) -> Stub[P, T]: ...
    def __call__(self, function: Callable[P, Any]) -> Stub[P, Any]:
        """Return the stub. Raises InvalidConfigError where the annotations cannot be used."""
        return Stub(self._client, self._name, self._options, function)


def decorator(client: Client, name: str, options: CallOptions) -> Decorator:
    """Return the decorator of `client.tool(name, **options)`."""
    return Decorator(client, name, options)
