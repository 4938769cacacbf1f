"""The registrar: every configured pool exists, with its bounds, whether or not a worker is there yet.

A pool at zero workers accepts work, so it must be declared by somebody who is not a worker. And where the
store was wiped, a worker that comes back first declares its pool without bounds: they are set anew within
`EVERY_S`.

Above stands `coordinator`. Below are the store's moves. This module must never remove a pool.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.errors import FabricError
from mcpweft_schemas.event import Event, Kind, Who
from mcpweft_schemas.pulse import MoveError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from mcpweft_schemas.config import Config, QueueConfig
    from mcpweft_schemas.store import Store

LOG = logging.getLogger("mcpweft.coordinator")
EVERY_S = 5.0
"""Seconds between two declarations of everything."""
_GLANCE_S = 1.0  # between two looks at which pools there are


def settings_of(queue: QueueConfig) -> dict[str, Any]:
    """Return a pool's settings as `declare` takes them."""
    return {
        "bound": queue.bound,
        "max_bytes": queue.max_bytes,
        "low_at": queue.low_at,
        "normal_at": queue.normal_at,
        "high_at": queue.high_at,
        "dead_keep": round(queue.dead_ttl * 1000),
        "retry_ratio": queue.retry_ratio,
        "retry_floor": queue.retry_floor,
        "retry_burst": queue.retry_burst,
    }


class Registrar:
    """Declares the configured pools; `run` it in a task that somebody owns."""

    def __init__(
        self,
        store: Store,
        config: Config,
        rng: random.Random,
        tell: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """`tell` is told of each pool that was not there before."""
        self._store = store
        self._rng = rng
        self._tell = tell
        self._left = 0.0  # seconds until everything is declared anew
        self.capabilities: tuple[str, ...] = ()
        """The pools that the configuration speaks of."""
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Go by another configuration."""
        self._settings = settings_of(config.queue)
        self.capabilities = tuple(
            sorted({name for server in config.active.values() for name in server.capabilities})
        )
        self._left = 0.0

    async def declare(self) -> None:
        """Declare every configured pool. Raises as the store does."""
        for capability in self.capabilities:
            fresh = uuid.uuid4().hex
            if await self._store.declare(capability, fresh, self._settings) == fresh:
                self._tell(Event(Kind.POOL_DECLARED, Who.COORDINATOR, capability))

    async def run(self) -> None:
        """Keep the pools declared until cancelled."""
        while True:
            try:
                if self._left <= 0 or set(self.capabilities) - set(await self._store.pools()):
                    self._left = EVERY_S
                    await self.declare()
            except (FabricError, MoveError) as error:
                LOG.debug("pools not declared", extra={"fields": {"error": str(error)}})
                self._left = 0.0
            pause = _GLANCE_S * self._rng.uniform(0.9, 1.1)
            self._left -= pause
            await asyncio.sleep(pause)
