"""A worker that says of itself what a test wants to be seen, and does nothing.

Above stand the tests of scaling and of its keys; below are the store's moves.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.packing import pack
from mcpweft_schemas.store import Reader

if TYPE_CHECKING:
    from mcpweft_schemas.store import Store

_LONG_MS = 60_000


async def stand_in(store: Store, pool: str, worker: str, *, usable: bool = True, **load: Any) -> Reader:
    """Register a worker of the server `echo`, and let it beat once with that load."""
    incarnation = await store.declare(pool, uuid.uuid4().hex)
    reader = Reader(worker, "echo", worker, incarnation, 1)
    await store.register(pool, reader, pack({"server": "echo", "concurrency": 4}), ())
    await store.beat(pool, reader, _LONG_MS if usable else 0, pack({"slots": 4, "in_flight": 0, **load}))
    return reader
