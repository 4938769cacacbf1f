"""One pool on a real store, with the moves in few words: what the tests of the protocol play with.

Above stand those tests; below is `mcpweft_schemas.store`. Whatever a test does not name has a plain default.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import snapshot
from mcpweft_schemas.ident import request_id
from mcpweft_schemas.life import Class, State
from mcpweft_schemas.limits import UNLIMITED, Limits
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.store import Reader, Store
from mcpweft_schemas.wire import (
    READS,
    Accepted,
    Delivery,
    Reply,
    Settlement,
    Submission,
    pack_answer,
    pack_request,
)
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Sequence

PRODUCER = "host.1.aaaaaaaa"
OTHER = "host.2.bbbbbbbb"
TOOL = "echo"
_BODY = pack_request({"text": "hello"}, None)
_ANSWER = pack_answer([{"type": "text", "text": "hello"}], None, is_error=False)


@dataclass(slots=True)
class Pool:
    """A declared pool, its producers' streams, and the workers that joined."""

    store: Store
    capability: str
    incarnation: str = ""
    sound: bool = True
    """Whether the keys must be in order when the test ends; a test that breaks them says no."""
    workers: dict[str, Reader] = field(default_factory=dict[str, Reader])
    _count: itertools.count[int] = field(default_factory=itertools.count)

    @classmethod
    async def make(cls, store: Store, capability: str, **settings: Any) -> Pool:
        """Declare a pool in which two producers listen."""
        pool = cls(store, capability)
        await pool.declare(**settings)
        for producer in (PRODUCER, OTHER):
            await store.hear(capability, producer, 60_000)
        return pool

    async def declare(self, **settings: Any) -> None:
        """Declare the pool, or change its settings."""
        self.incarnation = await self.store.declare(self.capability, os.urandom(8).hex(), settings)

    def submission(self, **fields: Any) -> Submission:
        """Make a request; by default one that a producer waits for, with a minute's time."""
        plain: dict[str, Any] = {
            "id": request_id(self.capability), "tool": TOOL, "klass": Class.NORMAL, "body": _BODY,
            "timeout_ms": 60_000, "waiter": PRODUCER, "print": "p", "keep_ms": 3_600_000,
            "key_keep_ms": 3_600_000,
        }  # fmt: skip
        return Submission(**plain | fields)

    async def enqueue(self, item: Submission | None = None, /, **fields: Any) -> Accepted:
        """Enqueue one request."""
        sent = item or self.submission(**fields)
        return (await self.store.enqueue(self.capability, [sent])).items[0]

    async def accept(self, **fields: Any) -> str:
        """Enqueue one request that must be accepted; return its id."""
        accepted = await self.enqueue(**fields)
        assert accepted.word == Word.OK, accepted
        return accepted.id

    async def join(
        self, worker: str = "w1", *, server: str = "alpha", instance: str = "", usable_ms: int = 60_000,
        limits: Limits = UNLIMITED, **safe: bool,
    ) -> Reader:  # fmt: skip
        """Let a worker join and beat, with the tools `echo` and those named, each safe or not."""
        reader = Reader(worker, server, instance or worker, self.incarnation, 1)
        tools = [(tool, is_safe, b"{}") for tool, is_safe in ({TOOL: False} | safe).items()]
        await self.store.register(self.capability, reader, b"info", tools, limits)
        await self.store.beat(self.capability, reader, usable_ms, b"load")
        self.workers[worker] = reader
        return reader

    async def newer(self, reader: Reader) -> Reader:
        """Return the same reader with the next epoch."""
        self.workers[reader.worker] = replace(reader, epoch=reader.epoch + 1)
        return self.workers[reader.worker]

    async def fetch(
        self, reader: Reader, slots: int = 1, versions: Sequence[str] = READS
    ) -> tuple[Delivery, ...]:
        """Fetch what the move says OK to."""
        fetched = await self.store.fetch(self.capability, reader, slots, versions)
        assert fetched.word == Word.OK, fetched
        return fetched.deliveries

    async def take(self, reader: Reader) -> Delivery:
        """Fetch exactly one request."""
        (delivery,) = await self.fetch(reader)
        return delivery

    async def settle(
        self, delivery: Delivery, how: str = "done", *, instance: str = "w1", **fields: Any
    ) -> Word:
        """Settle one delivery; by default with an answer."""
        plain: dict[str, Any] = {"code": "OK", "cause": "OK", "executed": Executed.YES, "body": _ANSWER}
        if how == "retry":
            plain = {"code": "", "cause": "SERVER_DIED", "executed": Executed.NO}
        if how == "release":
            plain = {"code": "", "cause": "RELEASED", "executed": Executed.NO}
        one = Settlement(
            id=delivery.id, stream=delivery.stream, entry=delivery.entry, how=how, **plain | fields
        )
        return (await self.store.settle(self.capability, instance, [one]))[0]

    async def cancel(self, request_id: str, producer: str = "", *, stop: bool = True) -> Word:
        """Cancel, or leave."""
        return await self.store.cancel(self.capability, request_id, producer, stop=stop)

    async def expire(self, request_id: str) -> Word:
        """Let time take effect on one request."""
        return (await self.store.expire(self.capability, [request_id]))[0]

    async def record(self, request_id: str) -> dict[str, str]:
        """Return a record as it lies there."""
        return (await self.shot()).records()[request_id]

    async def state(self, request_id: str) -> State:
        """Return a request's state."""
        return State((await self.record(request_id))["state"])

    async def shot(self) -> snapshot.Snapshot:
        """Return all keys of the pool at one instant."""
        return await snapshot.take(self.store, self.capability)

    async def heard(self, producer: str = PRODUCER) -> list[Reply]:
        """Return what a producer was told so far."""
        raw = await self.store.link.run("XRANGE", self.store.keys(self.capability).reply(producer), "-", "+")
        replies = [Reply.read(fields) for _, fields in raw]
        return [reply for reply in replies if reply]

    async def outcome(self, request_id: str, producer: str = PRODUCER) -> Reply:
        """Return the one outcome of a request that a producer was told."""
        (reply,) = [r for r in await self.heard(producer) if r.id == request_id and r.kind == "outcome"]
        return reply

    async def ended_as(self, request_id: str) -> tuple[State, Code, Executed]:
        """Return how a request ended, which its producer was told too."""
        record, told = await self.record(request_id), await self.outcome(request_id)
        assert (record["code"], record["executed"]) == (told.code, told.executed)
        return State(record["state"]), told.code, told.executed
