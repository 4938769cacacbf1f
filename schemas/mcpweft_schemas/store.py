"""The moves of the protocol, one typed method each: the only module that says what the store is to do.

Every mutating move may be repeated after a lost answer, by the rule written beside it; `fetch` is the one
that may not, and `adopt` is how its reader recovers. docs/protocol.md walks through every lost reply.

All times are ms by the store's own clock. A method raises StoreUnreachableError where the store did not
answer (the move may have happened), StoreRefusedError where it never will, ResourceExhaustedError where
it is full.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, cast

from mcpweft_schemas.answer import (
    Beaten,
    DeadLetter,
    Dealt,
    Enqueued,
    History,
    Inspection,
    Lease,
    Muster,
    PoolStatus,
    Reader,
    Reclaimed,
    Slot,
    Standing,
    Swept,
)
from mcpweft_schemas.circuit import Circuit
from mcpweft_schemas.connect import BLOCK_S, Link, Waiter
from mcpweft_schemas.edition import KEEP, Edition, write_document
from mcpweft_schemas.event import Event, EventPage
from mcpweft_schemas.keys import FleetKeys, Keys
from mcpweft_schemas.life import Class, State
from mcpweft_schemas.limits import UNLIMITED, Limits
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.rules.bulletin import Bulletin, document_of
from mcpweft_schemas.script import script
from mcpweft_schemas.wire import (
    Accepted,
    Delivery,
    Fetched,
    Reply,
    Settlement,
    Submission,
    by_bytes,
    paired,
    read_attempts,
)
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mcpweft_schemas.circuit import Appeal

__all__ = [
    "BATCH", "BATCH_BYTES", "SERIES", "Beaten", "DeadLetter", "Dealt", "Enqueued", "History", "Inspection",
    "Lease", "Muster", "PoolStatus", "Reader", "Reclaimed", "Slot", "Standing", "Store", "Swept",
]  # fmt: skip

BATCH = 50
"""Most items of one call of a move: what holds the store for less than 10 ms, on a slow processor too."""
SERIES = 10
"""Most series of one `book`, likewise: each is taken apart and put together in two slots."""
BATCH_BYTES = 1024 * 1024
"""Most bytes of one call of a move; one larger item goes alone."""


class Store:
    """The moves on one namespace of one store."""

    def __init__(self, link: Link, namespace: str) -> None:
        self.link = link
        self.namespace = namespace
        self.fleet = FleetKeys(namespace)

    def keys(self, capability: str) -> Keys:
        """Return the key names of one capability."""
        return Keys(self.namespace, capability)

    async def _run(self, move: str, capability: str, *args: Any) -> Any:
        return await script(move).run(self.link, self.keys(capability).pool, *args)

    # -- pools ---------------------------------------------------------------------------------------------

    async def declare(
        self, capability: str, incarnation: str, settings: Mapping[str, Any] | None = None
    ) -> str:
        """Make a pool or change its settings; return its incarnation. Repeat freely.

        `settings`: bound, max_bytes, low_at, normal_at, high_at, dead_keep (ms), retry_ratio, retry_floor,
        retry_burst.
        """
        flat = [part for pair in (settings or {}).items() for part in pair]
        inc = (await self._run("declare", capability, incarnation, *flat)).decode()
        if await self.link.run("HGET", self.fleet.pools, capability) is None:  # a full store takes no HSETNX
            await self.link.run("HSETNX", self.fleet.pools, capability, "")
        return cast("str", inc)

    async def pools(self) -> tuple[str, ...]:
        """Return the registered capabilities, sorted."""
        return tuple(sorted(name.decode() for name in await self.link.run("HKEYS", self.fleet.pools)))

    async def tools(self, capability: str) -> dict[str, bytes]:
        """Return `<server>/<tool>` → what its worker registered, for a pool with or without workers."""
        return _map(await self.link.run("HGETALL", self.keys(capability).tools))

    async def status(self, capability: str, horizons_ms: Sequence[int] = ()) -> PoolStatus | None:
        """Return a pool's figures, or None where there is no such pool."""
        raw = await self._run("status", capability, *horizons_ms)
        if not raw:
            return None
        waiting = {name: max(0, int(raw[3][i]) - int(raw[4][i])) for i, name in enumerate(Class)}
        return PoolStatus(
            capability=capability, now_ms=int(raw[0]), settings=_texts(raw[1]), stat=_texts(raw[2]),
            waiting=waiting, running=sum(int(n) for n in raw[4]), delayed=int(raw[5]), dead=int(raw[6]),
            alive=_scores(raw[7]), usable=_scores(raw[8]), members=_map(raw[9]), load=_map(raw[10]),
            due=int(raw[11]), over=tuple(int(n) for n in raw[12]),
        )  # fmt: skip

    # -- producers -----------------------------------------------------------------------------------------

    async def enqueue(self, capability: str, items: Sequence[Submission]) -> Enqueued:
        """Accept up to `BATCH` requests. A repeat of an accepted one answers REPEAT and writes nothing.

        Repeat within 30 s only: after the request has ended its record lives for at least 60 s.
        """
        args = [value for item in items for value in item.arguments()]
        raw = await self._run("enqueue", capability, len(items), *args)
        return Enqueued(
            raw[0].decode(),
            int(raw[1]),
            tuple(
                Accepted(_WORDS[word], id_.decode(), _state(state), int(retry))
                for word, id_, state, retry in raw[2:]
            ),
        )

    async def hear(self, capability: str, producer: str, ttl_ms: int, read_to: str = "") -> bool:
        """Keep a reply stream alive and trim what was read; return False where it had to be made anew."""
        key = self.keys(capability).reply(producer)
        return bool(await script("hear").run(self.link, key, ttl_ms, read_to))

    async def attach(self, capability: str, request_id: str, producer: str) -> Standing:
        """Wait on a request. Repeat freely."""
        word, *standing = await self._run("attach", capability, request_id, producer)
        return replace(Standing.read(*standing), word=Word(word.decode()))

    async def lookup(self, capability: str, ids: Sequence[str]) -> tuple[str, dict[str, Standing]]:
        """Return the pool's incarnation and where each request stands. Reads only."""
        raw = await self._run("lookup", capability, *ids)
        return raw[0].decode(), {
            request_id: Standing.read(state, code, outcome)
            for request_id, (state, code, outcome) in zip(ids, raw[1:], strict=True)
        }

    async def chunks(self, capability: str, reply: Reply) -> bytes | None:
        """Return the body of an outcome that was laid down in pieces; None where a piece is gone."""
        keys = self.keys(capability)
        names = [keys.chunk(reply.id, reply.entry, i) for i in range(reply.chunks)]
        parts = [await self.link.run("GET", name) for name in names]
        return None if None in parts else b"".join(cast("list[bytes]", parts))

    async def cancel(
        self, capability: str, request_id: str, producer: str = "", *, stop: bool = True
    ) -> Word:
        """End a request for everybody; with `producer`, leave it (ending it if nobody else waits and `stop`).

        OK, SIGNALLED, DETACHED, SETTLED or UNKNOWN. Repeat freely.
        """
        word = await self._run("cancel", capability, request_id, producer, int(stop))
        return Word(word.decode())

    async def expire(self, capability: str, ids: Sequence[str]) -> tuple[Word, ...]:
        """Let the passed time of requests take effect: a word each. Repeat freely."""
        return tuple(Word(word.decode()) for word in await self._run("expire", capability, *ids))

    async def inspect(self, capability: str, request_id: str) -> Inspection | None:
        """Return all that is known of a request; None where nothing is. Reads only."""
        raw = await self._run("inspect", capability, request_id)
        if not raw:
            return None
        fields = _texts(raw[2:])
        due = fields.pop("due")
        return Inspection(
            id=request_id,
            state=State(fields["state"]),
            now_ms=int(raw[0]),
            ahead=None if int(raw[1]) < 0 else int(raw[1]),
            due_ms=int(float(due)) if due else None,
            attempts=tuple(read_attempts(fields["log"])),
            fields=fields,
        )

    # -- workers -------------------------------------------------------------------------------------------

    async def register(
        self, capability: str, reader: Reader, info: bytes, tools: Iterable[tuple[str, bool, bytes]],
        limits: Limits = UNLIMITED,
    ) -> str | None:  # fmt: skip
        """Join a pool with (tool, safe, description) each; return its incarnation, None where undeclared."""
        flat = [
            part for tool, safe, text in tools for part in (tool, int(safe), text, limits.told_of_tool(tool))
        ]
        word, inc = await self._run(
            "register", capability, reader.worker, reader.server, info, reader.epoch, limits.told, *flat
        )
        return inc.decode() if word == b"OK" else None

    async def beat(
        self, capability: str, reader: Reader, usable_ms: int, load: bytes, *, home: bool = False
    ) -> Beaten:
        """Say that a worker lives, and for how long it counts as usable. `home`: ask after its breaker."""
        args = (reader.worker, reader.incarnation, usable_ms, load)
        who = (reader.server, reader.instance) if home else ()
        word, generation, share = await self._run("beat", capability, *args, *who)
        return Beaten(Word(word.decode()), int(generation) if generation else None, share)

    async def pause(self, capability: str, server: str, ms: int) -> Word:
        """Let no worker of a server fetch from a pool for so long: OK or UNKNOWN. Repeat freely."""
        return Word((await self._run("pause", capability, server, ms)).decode())

    async def breaker(self, capability: str, appeal: Appeal) -> Circuit:
        """Say what was found out, or ordered, of a server whose home pool this is. Repeat freely.

        Return its record as it is then.
        """
        return Circuit.read(await self._run("breaker", capability, *appeal.arguments()))

    async def retire(self, capability: str, worker: str) -> Word:
        """Remove a worker that holds nothing: OK or PENDING. Repeat freely."""
        return Word((await self._run("retire", capability, worker)).decode())

    async def fetch(
        self, capability: str, reader: Reader, slots: int, versions: Sequence[str],
        *, hold_ms: int = 0, depth: int = 0,
    ) -> Fetched:  # fmt: skip
        """Take up to `slots` requests. Never repeat it blindly: after a lost answer, `adopt`.

        With a hold, take those that have been ready for so long, and those that wait beyond `depth`.
        """
        raw = await self._run(
            "fetch", capability, reader.worker, reader.server, reader.instance, reader.incarnation,
            reader.epoch, slots, " ".join(versions), hold_ms, depth,
        )  # fmt: skip
        return Fetched.read(raw)

    async def adopt(self, capability: str, reader: Reader, held: Iterable[str]) -> Fetched:
        """Raise the reader's epoch to `reader.epoch` and take over what it has pending and does not hold.

        `held`: `<stream> <entry>` of each delivery in its hands.
        """
        raw = await self._run("adopt", capability, reader.worker, reader.incarnation, reader.epoch, *held)
        return Fetched.read(raw)

    async def settle(self, capability: str, instance: str, items: Sequence[Settlement]) -> tuple[Word, ...]:
        """End deliveries: OK, ENDED, RETRIED, REPEAT or LOST each. Repeat freely."""
        args = [value for item in items for value in item.arguments()]
        raw = await self._run("settle", capability, instance, len(items), *args)
        return tuple(_WORDS[word] for word in raw)

    async def lay_chunks(
        self, capability: str, delivery: Delivery, pieces: Sequence[bytes], ttl_ms: int
    ) -> None:
        """Lay a large outcome's pieces beside the record, named by the delivery. Repeat freely."""
        keys = self.keys(capability)
        for index, piece in enumerate(pieces):
            await self.link.run("SET", keys.chunk(delivery.id, delivery.entry, index), piece, "PX", ttl_ms)

    async def progress(self, capability: str, delivery: Delivery, body: bytes) -> Word:
        """Tell a running request's waiters how far it is: OK or LOST."""
        word = await self._run("progress", capability, delivery.id, delivery.stream, delivery.entry, body)
        return Word(word.decode())

    async def ring(self, capability: str) -> None:
        """Put the bell's token back: for one who took it and cannot serve."""
        await self.link.run("ZADD", self.keys(capability).bell, 0, "1")

    # -- coordinators --------------------------------------------------------------------------------------

    async def lease(self, name: str, holder: str, ttl_ms: int) -> Lease:
        """Take or renew a lease (`ttl_ms` 0: give it up). Each new holder has a higher epoch."""
        raw = await script("lease").run(self.link, self.fleet.lease(name), holder, ttl_ms)
        return Lease(Word(raw[0].decode()), int(raw[1]), raw[2].decode(), int(raw[3]))

    async def want(self, epoch: int, wanted: Mapping[str, bytes], ttl_ms: int) -> Word:
        """Say how many workers servers should have, as a leader: OK or STALE. Repeat freely."""
        flat = [part for pair in wanted.items() for part in pair]
        word = await script("want").run(self.link, self.fleet.wanted, epoch, ttl_ms, *flat)
        return Word(word.decode())

    async def muster(self, launcher: str, servers: Sequence[str], ttl_ms: int) -> Muster:
        """Be there for `servers` for so long (0: leave), and hear what is wanted. Repeat freely."""
        raw = await script("muster").run(self.link, self.fleet.launchers, launcher, ttl_ms, *servers)
        return Muster(_map(raw[0]), tuple(_text(member) for member in raw[1]))

    async def deal(
        self, capability: str, epoch: int, strategy: str, shares: Mapping[str, bytes], ttl_ms: int
    ) -> Dealt:
        """Say what each worker may take of a pool, as a leader: OK, STALE or UNKNOWN. Repeat freely."""
        flat = [part for pair in shares.items() for part in pair]
        word, before = await self._run("deal", capability, epoch, strategy, ttl_ms, *flat)
        return Dealt(Word(word.decode()), before.decode())

    async def edition(self) -> Edition:
        """Return the edition of the fleet's settings that is in force. Raises ValueError for what is none."""
        return Edition.read(_texts(await self.link.run("HGETALL", self.fleet.config)))

    async def edition_version(self) -> tuple[int, bool]:
        """Return the version of the edition in force, 0 where there is none, and whether it has trials."""
        version, trials = await self.link.run("HMGET", self.fleet.config, "version", "trials")
        return int(version or 0), bool(trials)

    async def editions(self) -> tuple[Edition, ...]:
        """Return the last editions, oldest first."""
        raw = await self.link.run("LRANGE", self.fleet.config_history, 0, -1)
        return tuple(Edition.recall(entry) for entry in raw)

    async def amend(self, edition: Edition, mark: str) -> tuple[Word, int]:
        """Make an edition of what was decided on `edition.turn`: OK, REPEAT or STALE, and the version now.

        Repeat freely with the same mark.
        """
        trials = json.dumps([asdict(trial) for trial in edition.trials]) if edition.trials else ""
        word, version = await script("amend").run(
            self.link, self.fleet.config, edition.turn, write_document(edition.document), edition.by,
            edition.reason, mark, trials, KEEP, document_of(edition.document),
        )  # fmt: skip
        return Word(word.decode()), int(version)

    async def rules_version(self) -> int:
        """Return the version with which the fleet's rules changed last, 0 where there never were any."""
        return int(await self.link.run("HGET", self.fleet.rules, "version") or 0)

    async def rules(self) -> Bulletin:
        """Return the fleet's rules. Raises ValueError for what are none."""
        version, document = await self.link.run("HMGET", self.fleet.rules, "version", "document")
        return Bulletin.read(_text(version or b"0"), _text(document or b""))

    async def forget(self, capability: str, server: str) -> int:
        """Forget the tools of a server that was removed; return how many there were. Repeat freely."""
        return int(await self._run("forget", capability, server))

    async def seal(self, capability: str, epoch: int) -> Word:
        """Make a leader's epoch known to a pool: OK, STALE or UNKNOWN. Repeat freely."""
        return Word((await self._run("seal", capability, epoch)).decode())

    async def reclaim(
        self, capability: str, epoch: int, worker: str, *, confirmed: bool, dead_after_ms: int,
        patience_ms: int = 10_000,
    ) -> Reclaimed:  # fmt: skip
        """Take back what a dead worker holds: OK, MORE, ALIVE, KEPT, STALE or UNKNOWN. Repeat freely."""
        raw = await self._run(
            "reclaim", capability, epoch, worker, int(confirmed), dead_after_ms, patience_ms
        )
        return Reclaimed(Word(raw[0].decode()), int(raw[1]), int(raw[2]), int(raw[3]))

    async def sweep(self, capability: str, epoch: int, most: int = BATCH) -> Swept:
        """Let time take effect on one pool: OK, MORE, STALE or UNKNOWN. Repeat freely."""
        raw = await self._run("sweep", capability, epoch, most)
        return Swept(Word(raw[0].decode()), int(raw[1]), int(raw[2]), int(raw[3]))

    # -- figures -------------------------------------------------------------------------------------------

    async def book(self, capability: str, who: str, number: int, told: Sequence[tuple[str, bytes]]) -> Word:
        """Add up to `SERIES` series (name, `Tally.told`) to the slots of this moment: OK, REPEAT or UNKNOWN.

        `number` is higher than that of every earlier book of `who` in the pool. Repeat within an hour.
        """
        flat = [part for pair in told for part in pair]
        return Word((await self._run("book", capability, who, number, *flat)).decode())

    async def history(self, capability: str, width_s: int, from_s: int, most: int) -> History:
        """Return the slots of a width, 10 or 600 s, that begin at a time or later. Reads only."""
        raw = await self._run("history", capability, width_s, from_s, most)
        return History(int(raw[0]), tuple(Slot(int(start), _map(fields)) for start, fields in raw[1:]))

    # -- dead letters --------------------------------------------------------------------------------------

    async def dead(self, capability: str, offset: int = 0, most: int = 100) -> tuple[DeadLetter, ...]:
        """Return dead letters, newest first. Reads only."""
        raw = await self._run("dead", capability, offset, most)
        return tuple(
            DeadLetter(
                id=item[0].decode(), ended_ms=int(item[1]), tool=item[2].decode(),
                klass=Class(item[3].decode()), code=Code(item[4].decode()),
                attempts=tuple(read_attempts(item[5].decode())), executed=Executed(item[6].decode()),
                tenant=item[7].decode(),
            )
            for item in raw
        )  # fmt: skip

    async def replay(
        self, capability: str, request_id: str, new_id: str, *, timeout_ms: int, keep_ms: int
    ) -> Word:
        """Accept a dead letter anew under `new_id`: OK, REPEAT or UNKNOWN. Repeat with the same `new_id`."""
        raw = await self._run("replay", capability, request_id, new_id, timeout_ms, keep_ms)
        return Word(raw[0].decode())

    async def purge(self, capability: str, ids: Sequence[str]) -> int:
        """Forget dead letters; return how many there were. Repeat freely."""
        return int(await self._run("purge", capability, *ids))

    # -- events --------------------------------------------------------------------------------------------

    async def tell(self, events: Sequence[Sequence[Any]], keep: int) -> int:
        """Write events, each its flat fields (`Event.fields`); about `keep` stay. Never repeat it."""
        flat = [part for fields in events for part in (len(fields), *fields)]
        return int(await script("tell").run(self.link, self.fleet.events, keep, *flat))

    async def events(self, position: str = "0-0", most: int = 100) -> EventPage:
        """Return events behind a position, an entry id or `0-0`. Reads only."""
        raw = await script("events").run(self.link, self.fleet.events, position, most)
        entries = [(_text(entry), _fields(fields)) for entry, fields in raw[3:]]
        found = [Event.read(entry, fields) for entry, fields in entries]
        return EventPage(
            now_ms=int(raw[0]), newest=_text(raw[1]), whole=bool(raw[2]),
            position=entries[-1][0] if entries else position,
            events=tuple(event for event in found if event is not None),
        )  # fmt: skip

    # -- waiting -------------------------------------------------------------------------------------------

    async def wait_bell(self, waiter: Waiter, capability: str, seconds: float) -> bool:
        """Wait for the bell up to `seconds` (at most `BLOCK_S`); return whether it rang."""
        timeout = max(0.01, min(seconds, BLOCK_S))
        return await waiter.run("BZPOPMIN", self.keys(capability).bell, timeout) is not None

    async def watch(
        self, waiter: Waiter, capability: str, since_ms: int, seconds: float, *, work: bool = True
    ) -> bool:
        """Wait up to `seconds` (at most `BLOCK_S`) for work that came since; return whether some did.

        For a worker that holds back: unlike the bell, it takes nothing that somebody else waits for. Without
        `work`, only for what makes room: a call that ended under a limit.
        """
        keys = self.keys(capability)
        streams = [keys.stir, *(keys.stream(klass) for klass in Class if work)]
        since = f"{since_ms - 1}-{2**64 - 1}"
        block = max(1, round(1000 * min(seconds, BLOCK_S)))
        came = await waiter.run(
            "XREAD", "COUNT", 1, "BLOCK", block, "STREAMS", *streams, *[since] * len(streams)
        )
        return bool(came)

    async def wait_entries(
        self, waiter: Waiter, positions: Mapping[str, str], most: int = 1000
    ) -> dict[str, list[tuple[str, Mapping[bytes, bytes]]]]:
        """Wait up to `BLOCK_S` for entries behind a position on each stream (key → last entry read).

        Return key → [(entry id, fields)], at most so many of each; empty when nothing came.
        """
        raw = await waiter.run(
            "XREAD", "COUNT", most, "BLOCK", int(BLOCK_S * 1000), "STREAMS", *positions, *positions.values()
        )
        return {
            _text(key): [(_text(entry), _fields(fields)) for entry, fields in entries]
            for key, entries in raw or ()
        }


def _fields(raw: Any) -> Mapping[bytes, bytes]:
    return cast("dict[bytes, bytes]", raw) if isinstance(raw, dict) else paired(raw)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _map(raw: Any) -> dict[str, bytes]:
    pairs = raw.items() if isinstance(raw, dict) else zip(raw[::2], raw[1::2], strict=True)
    return {_text(name): value for name, value in cast("Any", pairs)}


def _texts(raw: Any) -> dict[str, str]:
    return {name: _text(value) for name, value in _map(raw).items()}


def _scores(raw: Any) -> dict[str, int]:
    return {name: int(float(score)) for name, score in _map(raw).items()}


_WORDS, _STATES = by_bytes(Word), by_bytes(State)


def _state(raw: bytes) -> State | None:
    return _STATES[raw] if raw else None
