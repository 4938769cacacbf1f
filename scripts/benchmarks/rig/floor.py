"""The floor: a raw redis-py loop of the four steps that no queue with replies can do without.

    python -P -m benchmarks.rig.floor STORE_URL          all four in this process
    python -P -m benchmarks.rig.floor STORE_URL pair     the two in the middle in a process of their own

    XADD to the work stream ─▶ XREADGROUP ─▶ XACK and XADD to the reply stream ─▶ XREAD of the reply

One request at a time. In one process, with one connection, nobody waits for anybody to wake up. Of a pair,
each waits for the other in a blocking read, as a producer and a worker do.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from redis import asyncio as aioredis

from benchmarks.rig.load import PAYLOAD, loads, obey, run
from benchmarks.rig.party import module

WORK, REPLY, GROUP = "floor:work", "floor:reply", "workers"
BLOCK_MS = 2000


class Floor:
    """The loop."""

    def __init__(self, url: str, *, pair: bool = False) -> None:
        self._redis: Any = aioredis.Redis.from_url(url)
        self._pair = pair
        self._block: int | None = BLOCK_MS if pair else None
        self._last = "0"

    async def open(self) -> None:
        """Make the streams."""
        await self._redis.delete(WORK, REPLY)
        await self._redis.xgroup_create(WORK, GROUP, "0", mkstream=True)

    async def call(self) -> None:
        """Do the four steps, or the first and the last of them."""
        await self._redis.xadd(WORK, {"body": json.dumps(PAYLOAD)}, maxlen=1000)
        if not self._pair:
            await self.serve()
        self._last = (await self._redis.xread({REPLY: self._last}, count=1, block=self._block))[0][1][0][0]

    async def serve(self) -> None:
        """Do the two in the middle."""
        found = await self._redis.xreadgroup(GROUP, "one", {WORK: ">"}, count=1, block=self._block)
        if not found:
            return
        entry, fields = found[0][1][0]
        settle = self._redis.pipeline(transaction=False)
        settle.xack(WORK, GROUP, entry)
        settle.xadd(REPLY, fields, maxlen=1000)
        await settle.execute()

    async def close(self) -> None:
        """Let go of the store."""
        await self._redis.aclose()


async def main(url: str, *, pair: bool) -> None:
    """Obey until the input ends."""
    floor = Floor(url, pair=pair)
    await floor.open()
    worker = await asyncio.create_subprocess_exec(*module("rig.floor", url, "serve")) if pair else None
    try:
        await obey(loads(floor.call))
    finally:
        if worker is not None:
            worker.kill()
            await worker.wait()
        await floor.close()


async def serve(url: str) -> None:
    """Serve until killed."""
    floor = Floor(url, pair=True)
    while True:
        await floor.serve()


if __name__ == "__main__":
    role = "".join(sys.argv[2:])
    run(serve(sys.argv[1]) if role == "serve" else main(sys.argv[1], pair=role == "pair"))
