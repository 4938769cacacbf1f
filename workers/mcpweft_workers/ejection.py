"""The cap on ejection: figures alone never take the last usable server out of a pool.

The server's home pool keeps it by itself, within the move (`breaker`). The other pools that the server is in
lie in other slots, where no script sees them all, so they are looked at before the move: of two servers that
two workers find bad at the very same moment, both may then go.

Above stands `accord`. Below: the store. It must never know what a breaker counts.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mcpweft_schemas.errors import McpweftError
from mcpweft_schemas.packing import unpack_map

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcpweft_schemas.answer import PoolStatus
    from mcpweft_workers.binding import Binding


async def leaves_nobody(pools: Sequence[Binding]) -> bool:
    """Return whether no other instance takes work in one of these pools, which one worker serves.

    A pool that cannot be looked at counts as one with others: a bad server is not kept for that.
    """
    found = await asyncio.gather(*(_status(binding) for binding in pools))
    return any(
        status is not None and not _others(status, binding.identity.instance)
        for binding, status in zip(pools, found, strict=True)
    )


async def _status(binding: Binding) -> PoolStatus | None:
    try:
        return await binding.store.status(binding.capability)
    except McpweftError:
        return None


def _others(status: PoolStatus, instance: str) -> bool:
    return any(
        until > status.now_ms and unpack_map(status.members.get(worker)).get("instance") != instance
        for worker, until in status.usable.items()
    )
