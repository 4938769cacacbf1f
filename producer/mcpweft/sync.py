"""The blocking client, for Django, Flask, scripts and threads: the surface of `Client`, with no `await`.

Its life is that of `Threaded`: an event loop in a thread of its own, opened on the first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcpweft.blocking import BlockingDecorator, BlockingMap, SyncHandle, each
from mcpweft.client import Client
from mcpweft.threaded import Threaded
from mcpweft_schemas.locate import FABRIC

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping
    from typing import Unpack

    from mcpweft.analytics import Analytics
    from mcpweft.fleet import FleetStatus, PoolView, Tool
    from mcpweft.inquiry import Inquiry
    from mcpweft.mapping import Mapped
    from mcpweft.result import Result
    from mcpweft.terms import CallOptions, Duration, Listener
    from mcpweft_schemas.config import Config
    from mcpweft_schemas.connect import Credentials
    from mcpweft_schemas.event import Event


class SyncClient(Threaded):
    """Calls tools through the fabric and waits. Arguments as `Client`; leaving its `with` block closes it."""

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str | None = None,
        config: Config | None = None,
        name: str = FABRIC,
        credentials: Credentials | None = None,
    ) -> None:
        self._client = Client(url, namespace=namespace, config=config, name=name, credentials=credentials)
        super().__init__(self._client)

    # -- calling -------------------------------------------------------------------------------------------

    def call(
        self, name: str, arguments: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> Result:
        """Call a tool and return its answer; as `Client.call`. `on_progress` runs in the client's thread."""
        return self._ready().run(lambda: self._client.call(name, arguments, **options))

    def submit(
        self, name: str, arguments: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> SyncHandle:
        """Hand a request in and return when it is accepted; as `Client.submit`."""
        thread = self._ready()
        return SyncHandle(thread, thread.run(lambda: self._client.submit(name, arguments, **options)))

    def map(
        self,
        name: str,
        items: Iterable[Mapping[str, Any]],
        *,
        ordered: bool = True,
        window: int = 256,
        **options: Unpack[CallOptions],
    ) -> BlockingMap[Mapping[str, Any], Result]:
        """Call a tool for each item; iterate over results, or errors in their place. As `Client.map`.

        `items` is read in the iterating thread, so it may block (a database cursor, a file).
        """

        def make(feed: AsyncIterable[Mapping[str, Any]]) -> Mapped:
            return self._client.map(name, feed, ordered=ordered, window=window, **options)

        return BlockingMap(self._ready(), make, items, window)

    def tool(self, name: str, **options: Unpack[CallOptions]) -> BlockingDecorator:
        """Make a typed stub of an annotated function; as `Client.tool`, called without await."""
        from mcpweft.stub import decorator  # noqa: PLC0415  # pydantic is loaded by those who use it

        return BlockingDecorator(self._ready, decorator(self._client, name, options))

    # -- requests by id ------------------------------------------------------------------------------------

    def result(
        self, request_id: str, timeout: Duration | None = None, *, raise_on_tool_error: bool = True
    ) -> Result:
        """Wait for the outcome of a request, whoever enqueued it; as `Client.result`."""
        return self._ready().run(
            lambda: self._client.result(request_id, timeout, raise_on_tool_error=raise_on_tool_error)
        )

    def wait(
        self, request_id: str, timeout: Duration | None = None, *, on_progress: Listener | None = None
    ) -> bool:
        """Wait until a request has ended, however; return False where `timeout` passed first."""
        return self._ready().run(lambda: self._client.wait(request_id, timeout, on_progress=on_progress))

    def cancel(self, request_id: str) -> bool:
        """End a request for everybody; as `Client.cancel`."""
        return self._ready().run(lambda: self._client.cancel(request_id))

    def inspect(self, request_id: str) -> Inquiry:
        """Return all that is known of a request; as `Client.inspect`."""
        return self._ready().run(lambda: self._client.inspect(request_id))

    # -- the fleet -----------------------------------------------------------------------------------------

    def pools(self) -> list[str]:
        """Return the capabilities that are registered."""
        return self._ready().run(self._client.pools)

    def tools(self, capability: str | None = None) -> list[Tool]:
        """Return the tools, with schemas, of one capability or of all."""
        return self._ready().run(lambda: self._client.tools(capability))

    def status(self) -> FleetStatus:
        """Return the figures of the fleet and of each pool."""
        return self._ready().run(self._client.status)

    def pool(self, capability: str) -> PoolView:
        """Return one pool's figures."""
        return self._ready().run(lambda: self._client.pool(capability))

    def analytics(
        self, since: Duration = "1h", capability: str | None = None, *, rehearse: bool = False
    ) -> Analytics:
        """Return what was measured of all pools or of one; as `Client.analytics`."""
        return self._ready().run(lambda: self._client.analytics(since, capability, rehearse=rehearse))

    def events(self, since: Duration | None = None, *, follow: bool = False) -> Iterator[Event]:
        """Iterate over what happened in the fleet; as `Client.events`."""
        thread = self._ready()

        async def begin() -> AsyncGenerator[Event]:
            return self._client.events(since, follow=follow)

        source = thread.run(begin)
        try:
            yield from each(thread, source)
        finally:
            thread.run(source.aclose)
