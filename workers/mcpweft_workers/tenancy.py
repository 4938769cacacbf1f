"""Holds the lease of a server that must run once in the whole fleet, and says when it is lost.

The server is started only while the lease is held, and stopped when it is lost or cannot be renewed in
time: the store counts the time from when it heard the renewal, this worker from when it asked, which is
earlier.

Above stands the worker, which runs the session while the lease is held. Below: the store. It must never
know what the lease protects.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from mcpweft_schemas.errors import McpweftError
from mcpweft_schemas.word import Word
from mcpweft_workers.log import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft_schemas.store import Store

SLACK = 0.2
"""The part of the lease's time that is kept for stopping the server."""


class Tenancy:
    """One worker's claim to `server.<name>`."""

    def __init__(
        self, store: Store, server: str, worker: str, *, ttl: float, clock: Callable[[], float]
    ) -> None:
        self.name = f"server.{server}"
        self.holder = ""
        """Who has it, as far as is known."""
        self._store = store
        self._worker = worker
        self._ttl = ttl
        self._clock = clock
        self._until = 0.0

    @property
    def is_held(self) -> bool:
        """Whether the lease is surely this worker's now."""
        return self._clock() < self._until

    async def take(self) -> None:
        """Wait until the lease is held."""
        while not await self._ask():  # noqa: ASYNC110  # the store tells nobody that a lease is free
            await asyncio.sleep(self._ttl / 4)
        event(logging.INFO, "lease taken", lease=self.name)

    async def keep(self) -> None:
        """Renew until the lease is lost."""
        while True:
            # Half of what is left: one more ask has its time before that is over.
            await asyncio.sleep(max(0.01, min(self._ttl / 3, (self._until - self._clock()) / 2)))
            if not await self._ask() and not self.is_held:
                event(logging.WARNING, "lease lost", lease=self.name, holder=self.holder)
                return

    async def give_up(self) -> None:
        """Let somebody else have it at once."""
        if self._until:
            self._until = 0.0
            with suppress(McpweftError):
                await self._store.lease(self.name, self._worker, 0)

    async def _ask(self) -> bool:
        asked = self._clock()
        # No answer is waited for beyond the lease; one that is not held has no end.
        left = self._until - asked
        limit = min(self._ttl / 3, left) if left > 0 else self._ttl / 3
        try:
            async with asyncio.timeout(limit):
                lease = await self._store.lease(self.name, self._worker, round(self._ttl * 1000))
        except (McpweftError, TimeoutError):
            return False
        if lease.word is Word.OK:
            self._until = asked + self._ttl * (1 - SLACK)
            self.holder = self._worker
            return True
        self._until = 0.0
        self.holder = lease.holder
        return False
