"""The requests of killed producers: seen to their end while their records still say what it was.

A record outlives its request by a minute, and a killed producer is told nothing. So whatever it had
accepted and not heard of is looked at until it has ended. Above stands the arena; below are the fault
tests' evidence and a blocking client.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING

import redis

import checker
import realredis
from faults import evidence
from mcpweft_schemas.keys import capability_of

if TYPE_CHECKING:
    from faults.fabric import Fabric, Producer

_EVERY = 1.0  # seconds between two looks; a record lives for sixty


class Orphans:
    """Watches the open requests of producers that are dead."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._open: dict[str, str] = {}  # request → its producer's name
        self.seen: dict[str, checker.Stored] = {}
        """Request → its record, once it has ended."""

    def adopt(self, producer: Producer) -> None:
        """Watch what a producer had accepted and not heard of."""
        told = {event["nonce"] for event in producer.events("outcome")}
        self._open |= {
            event["id"]: producer.name for event in producer.events("accepted") if event["nonce"] not in told
        }

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY)

    async def look(self) -> None:
        """Look once; a store that is away is asked again later."""
        if self._open:
            with contextlib.suppress(redis.RedisError, OSError):
                found = await asyncio.to_thread(self._look, self._fabric.names(), dict(self._open))
                self.seen |= found
                self._open = {i: producer for i, producer in self._open.items() if i not in found}

    def _look(self, names: dict[str, str], open_: dict[str, str]) -> dict[str, checker.Stored]:
        """Return the records of those that have ended. Runs in a thread, and reads nothing that changes."""
        seen: dict[str, checker.Stored] = {}
        by_pool: defaultdict[str, list[str]] = defaultdict(list)
        for request_id in open_:
            by_pool[capability_of(request_id)].append(request_id)
        mine = set(open_.values())
        with contextlib.closing(realredis.connect(self._fabric.url)) as client:
            for pool, ids in by_pool.items():
                keys = self._fabric.store.keys(pool)
                # The records first: what has ended by then was told by then, in the same step.
                records = evidence.read_records(client, keys, ids)
                told = {
                    request_id: name
                    for producer_id, name in names.items()
                    if name in mine
                    for request_id in evidence.told_on(client, keys, producer_id)
                }
                for request_id, record in records.items():
                    heard = [told[request_id]] if request_id in told else []
                    one = evidence.stored(request_id, record, heard, names)
                    if one.state in checker.FINAL:
                        seen[request_id] = one
        return seen
