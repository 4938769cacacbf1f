"""A worker that lodges in another's process: a thread with a loop of its own, bound to a server object.

    lodger = Lodger(server, store_url=…, namespace=…, capability="search", settings={}, sections={})
    lodger.start(); …; lodger.stop()

Above stands whoever has a server at hand and wants it served without a process: the face's pytest fixture,
which loads this module by its path. Below: entry's plan and worker. It must never touch what belongs to the
process: its signals, its logging, its environment.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import threading
import time
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.config import load_config
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_workers.entry import WorkerOptions, plan_of
from mcpweft_workers.inprocess import find
from mcpweft_workers.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

_numbers = itertools.count(1)
_LAST_S = 12.0  # behind the grace: settling, the server's own end, and the last words to the store


class Lodger:
    """One worker of one server; start and stop it once, from any thread."""

    def __init__(
        self,
        server: object,
        *,
        store_url: str,
        namespace: str,
        capability: str,
        settings: Mapping[str, Any],
        sections: Mapping[str, Any],
    ) -> None:
        """Describe a worker.

        Args:
            server: An MCPServer of the SDK, or where one is: `module:attribute`.
            store_url: The store.
            namespace: Which fabric on it.
            capability: The pool to serve.
            settings: Of the server, as a configuration's `servers.*` takes them.
            sections: Of the configuration, as its sections take them.

        Raises:
            InvalidConfigError: the server is none, or a setting is wrong.

        """
        self._module = ""
        try:
            app = server if isinstance(server, str) else self._housed(server)
            _check(app, server)
            said = {"capabilities": [capability], **settings, "app": app}
            overrides = {**sections, "namespace": namespace, "servers": {capability: said}}
            config = load_config(None, overrides, {})  # nothing of the process's own surroundings
            self._plan = plan_of(WorkerOptions(config=config, store_url=store_url, server=capability))
        except BaseException:
            sys.modules.pop(self._module, None)
            raise
        self._worker: Worker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._turn, name=f"mcpweft worker {capability}", daemon=True)
        self.error: BaseException | None = None
        """What ended it before it was told to."""

    def _housed(self, server: object) -> str:
        """Give an object a name that can be imported, which is how a worker finds its server."""
        self._module = f"{__name__}_{next(_numbers)}"
        home = ModuleType(self._module, "The home of one server object.")
        vars(home)["server"] = server
        sys.modules[self._module] = home
        return f"{self._module}:server"

    @property
    def id(self) -> str:
        """The worker's id."""
        return self._plan.identity.worker

    @property
    def reason(self) -> str:
        """Why it takes no work; empty where it does."""
        if self.error is not None:
            return f"{type(self.error).__name__}: {self.error}"
        return str(self._worker.report.readiness()["reason"] or "") if self._worker else "it is starting"

    @property
    def running(self) -> bool:
        """Whether its thread lives."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to serve; it takes work once it is connected."""
        self._thread.start()
        self._begun.wait()

    def stop(self) -> None:
        """End it as SIGTERM ends a worker: what runs has its grace. Repeat freely."""
        if self._loop is not None and self._worker is not None:
            with suppress(RuntimeError):  # its loop has ended by itself
                self._loop.call_soon_threadsafe(self._worker.stop)
        if self._thread.ident is not None:
            self._thread.join(self._plan.grace + _LAST_S)
        sys.modules.pop(self._module, None)

    def _turn(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001  # kept for whoever waits: a thread has nobody to raise to
            self.error = error
        finally:
            self._begun.set()

    async def _serve(self) -> None:
        epoch = time.time_ns() // 1_000_000
        self._loop = asyncio.get_running_loop()
        self._worker = Worker(self._plan, clock=time.monotonic, rng=random.SystemRandom(), epoch=epoch)
        self._begun.set()
        await self._worker.run()


def _check(app: str, server: object) -> None:
    """Refuse what is no server here, where whoever handed it in hears of it."""
    try:
        find(app)
    except (ValueError, ImportError, AttributeError) as error:
        what = app if isinstance(server, str) else f"a {type(server).__name__}"
        raise InvalidConfigError(
            f"{what} cannot be served: {error}",
            advice="Hand in an MCPServer of the MCP SDK, or name one as module:attribute.",
        ) from error
