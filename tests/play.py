"""One pool on a real store beside its oracle: carries out a deed on both and compares what they say and hold.

Above stands `playing`, which chooses the deeds. Below are the oracle, and what it is compared by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import snapshot
from altered import Clock
from booked import Books
from differing import differences
from mcpweft_schemas.connect import Link
from mcpweft_schemas.outcome import Executed
from mcpweft_schemas.store import Reader, Store
from mcpweft_schemas.wire import READS, Settlement, Submission
from mcpweft_schemas.word import Word
from oracle import BURST, FLOOR, RATIO, Oracle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_schemas.figure import Tally
    from mcpweft_schemas.wire import Delivery

CAP = "echo"
BOUND = 10
DEAD_AFTER, PATIENCE = 1000, 10_000
TOOLS = {"write": False, "read": True}
SERVERS = {"w1": "alpha", "w2": "alpha", "w3": "beta"}


@dataclass(slots=True)
class Worker:
    """A worker as it sees itself."""

    reader: Reader
    held: list[Delivery] = field(default_factory=list["Delivery"])


@dataclass(slots=True)
class Handed:
    """A delivery that left the store, and whether it is proven that its tool did not run."""

    safe: bool
    proven: bool = False


class Play:
    """One pool on a real store beside its oracle."""

    def __init__(self, url: str, namespace: str) -> None:
        self.link = Link.to(url)
        self.store = Store(self.link, namespace)
        self.clock = Clock(self.store, CAP)
        self.oracle = Oracle(self.clock.ms, BOUND, TOOLS)
        self.books = Books()
        self.workers: dict[str, Worker] = {}
        self.deliveries: list[tuple[str, Delivery]] = []
        """Every delivery that was ever handed out, and to whom: who settles one late is a zombie."""
        self.handed: dict[str, dict[tuple[str, str], Handed]] = {}
        self.ids: list[str] = []
        self.incarnations = 0

    async def close(self) -> None:
        """Leave nothing behind."""
        await self.wipe()
        for key in (self.store.fleet.pools, self.store.keys(CAP).prefix + "clock"):
            await self.link.run("DEL", key)
        await self.link.close()

    async def agree(self) -> None:
        """Compare the store with the oracle, and its keys with each other."""
        shot = await snapshot.take(self.store, CAP)
        wrong = [*differences(self.oracle, shot), *self.books.differences(shot), *snapshot.audit(shot)]
        assert not wrong, "\n".join(wrong)

    # -- deeds that may be repeated word for word ----------------------------------------------------------

    async def declare(self, incarnation: str) -> None:
        budget = {"retry_ratio": RATIO, "retry_floor": FLOOR, "retry_burst": BURST}
        found = await self.store.declare(CAP, incarnation, {"bound": BOUND, **budget})
        self.oracle.incarnation = self.oracle.incarnation or incarnation
        assert found == self.oracle.incarnation

    async def hear(self, producer: str) -> None:
        there = await self.store.hear(CAP, producer, 600_000)
        assert there == (producer in self.oracle.streams)
        self.oracle.streams.setdefault(producer, {})

    async def register(self, reader: Reader) -> None:
        tools = [(tool, safe, b"") for tool, safe in TOOLS.items()]
        inc = await self.store.register(CAP, reader, b"", tools)
        assert (inc is not None) == self.oracle.register(reader)

    async def beat(self, reader: Reader, usable_ms: int) -> None:
        beaten = await self.store.beat(CAP, reader, usable_ms, b"")
        assert beaten.word == self.oracle.beat(reader, usable_ms)
        if beaten.word is Word.OK:
            assert beaten.share == self.oracle.shares.get(reader.worker, b"")

    async def enqueue(self, sent: Submission) -> None:
        got = (await self.store.enqueue(CAP, [sent])).items[0]
        assert (got.word, got.id) == self.oracle.enqueue(sent)

    async def attach(self, request: str, producer: str) -> None:
        standing = await self.store.attach(CAP, request, producer)
        assert standing.word == self.oracle.attach(request, producer)

    async def cancel(self, request: str, producer: str, *, stop: bool) -> None:
        word = await self.store.cancel(CAP, request, producer, stop=stop)
        assert word == self.oracle.cancel(request, producer, stop=stop)

    async def expire(self, request: str) -> None:
        (word,) = await self.store.expire(CAP, [request])
        assert word == self.oracle.expire(request)

    async def settle(self, settlement: Settlement, instance: str) -> None:
        (word,) = await self.store.settle(CAP, instance, [settlement])
        assert word == self.oracle.settle(settlement, instance)
        if word in {Word.OK, Word.RETRIED, Word.ENDED}:
            ran = Executed.NO if settlement.how == "release" else settlement.executed
            token = settlement.stream, settlement.entry
            self.handed[settlement.id][token].proven = ran == Executed.NO

    async def adopt(self, reader: Reader, held: tuple[tuple[str, str], ...]) -> tuple[Delivery, ...]:
        got = await self.store.adopt(CAP, reader, [f"{stream} {entry}" for stream, entry in held])
        assert got.word == self.oracle.adopt(reader, held, got.deliveries)
        return got.deliveries

    async def retire(self, worker: str) -> None:
        assert await self.store.retire(CAP, worker) == self.oracle.retire(worker)

    async def reclaim(self, epoch: int, worker: str, *, confirmed: bool) -> None:
        got = await self.store.reclaim(
            CAP, epoch, worker, confirmed=confirmed, dead_after_ms=DEAD_AFTER, patience_ms=PATIENCE
        )
        told = self.oracle.reclaim(
            epoch, worker, confirmed=confirmed, dead_after=DEAD_AFTER, patience=PATIENCE
        )
        assert (got.word, got.moved, got.lost, got.kept) == told

    async def sweep(self, epoch: int) -> None:
        got = await self.store.sweep(CAP, epoch)
        word, expired = self.oracle.sweep(epoch)
        assert (got.word, got.expired) == (word, expired)

    async def deal(self, epoch: int, strategy: str, shares: Mapping[str, bytes]) -> None:
        got = await self.store.deal(CAP, epoch, strategy, shares, 600_000)
        assert (got.word, got.before) == self.oracle.deal(epoch, strategy, shares)

    async def book(self, worker: str, number: int, told: Mapping[str, Tally]) -> None:
        word = await self.store.book(CAP, worker, number, [(name, one.told()) for name, one in told.items()])
        declared = bool(self.oracle.incarnation)
        mine = self.books.book(self.clock.ms, worker, number, told) if declared else Word.UNKNOWN
        assert word == mine

    # -- deeds that are not repeated -----------------------------------------------------------------------

    async def fetch(self, reader: Reader, slots: int) -> tuple[Delivery, ...]:
        got = await self.store.fetch(CAP, reader, slots, READS)
        after = await snapshot.take(self.store, CAP)
        assert got.word == self.oracle.fetch(reader, slots, got.deliveries, after)
        for delivery in got.deliveries:
            self._hand(reader.worker, delivery)
        return got.deliveries

    def _hand(self, worker: str, delivery: Delivery) -> None:
        """Note a delivery: one that must not run twice may follow only deliveries that did not run."""
        earlier = self.handed.setdefault(delivery.id, {})
        assert delivery.safe or all(one.proven for one in earlier.values()), f"{delivery.id} may run twice"
        earlier[delivery.stream, delivery.entry] = Handed(delivery.safe)
        self.deliveries.append((worker, delivery))

    async def wipe(self) -> None:
        """Do what FLUSHALL does to this pool; only the clock goes on."""
        shot = await snapshot.take(self.store, CAP)
        names = {*shot.hashes, *shot.zsets, *shot.streams, *shot.strings, *shot.slots} - {"clock"}
        if names:
            await self.link.run("DEL", *(self.store.keys(CAP).prefix + name for name in names))
        self.oracle.wipe()
        self.books = Books()
        self.handed.clear()

    async def lose_stream(self, producer: str) -> None:
        await self.link.run("DEL", self.store.keys(CAP).reply(producer))
        self.oracle.streams.pop(producer, None)

    async def forward(self, ms: int) -> None:
        await self.clock.forward(ms)
        self.oracle.now = self.clock.ms
