"""The floor: a raw redis-py loop of the four steps that no queue with replies can do without.

    python -P -m benchmarks.rig.floor STORE_URL

    XADD to the work stream ─▶ XREADGROUP ─▶ XACK and XADD to the reply stream ─▶ XREAD of the reply

One process, one connection, one request at a time, four round trips: nobody waits for anybody to wake up.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from redis import asyncio as aioredis

from benchmarks.rig.load import PAYLOAD, loads, obey, run

WORK, REPLY, GROUP = "floor:work", "floor:reply", "workers"


class Floor:
    """The loop."""

    def __init__(self, url: str) -> None:
        self._redis: Any = aioredis.Redis.from_url(url)
        self._last = "0"

    async def open(self) -> None:
        """Make the streams."""
        await self._redis.delete(WORK, REPLY)
        await self._redis.xgroup_create(WORK, GROUP, "0", mkstream=True)

    async def close(self) -> None:
        """Remove the streams."""
        await self._redis.delete(WORK, REPLY)
        await self._redis.aclose()

    async def call(self) -> None:
        """Do the four steps."""
        await self._redis.xadd(WORK, {"body": json.dumps(PAYLOAD)}, maxlen=1000)
        entry, fields = (await self._redis.xreadgroup(GROUP, "one", {WORK: ">"}, count=1))[0][1][0]
        settle = self._redis.pipeline(transaction=False)
        settle.xack(WORK, GROUP, entry)
        settle.xadd(REPLY, fields, maxlen=1000)
        await settle.execute()
        self._last = (await self._redis.xread({REPLY: self._last}, count=1))[0][1][0][0]


async def main(url: str) -> None:
    """Obey until the input ends."""
    floor = Floor(url)
    await floor.open()
    await obey(loads(floor.call))
    await floor.close()


if __name__ == "__main__":
    run(main(sys.argv[1]))
