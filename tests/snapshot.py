"""A pool's keys at one moment as plain values, and what must be true of them at every moment.

Above stand the tests of the moves; below is one read-only script, so that a picture is of one instant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.life import FINAL, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcpweft_schemas.store import Store

_FINAL = {state.value for state in FINAL}
_CLASSES = ("critical", "high", "normal", "low")

_TEXT = """
local base = string.sub(KEYS[1], 1, -5)
local out = {}
for _, key in ipairs(redis.call('KEYS', base .. '*')) do
  local kind = redis.call('TYPE', key).ok
  local value
  if kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, '0', '-1', 'WITHSCORES')
  elseif kind == 'string' then value = {redis.call('GET', key)}
  elseif kind == 'stream' then
    local pending = redis.pcall('XPENDING', key, 'w', '-', '+', '10000')
    if pending.err then pending = {} end
    local told = {}
    for _, p in ipairs(pending) do told[#told + 1] = {p[1], p[2], p[4]} end
    value = {redis.call('XRANGE', key, '-', '+'), told}
  else value = {} end
  out[#out + 1] = {string.sub(key, #base + 1), kind, redis.call('PTTL', key) < 0 and 1 or 0, value}
end
return out
"""

OWNERLESS = (
    "r:*", "pool", "tools", "safe", "q:*", "delayed", "expiry", "picky", "dead", "stat", "bell", "alive",
    "usable", "members", "load", "readers", "breaker:*", "limits", "busy:*", "aside:*", "asides",
    "lead", "park:*", "ring:*",
)  # fmt: skip
"""What may lack a TTL (a record only while it lives)."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream's entries (id → fields), and those pending (id → worker)."""

    entries: dict[str, dict[str, bytes]]
    pending: dict[str, str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every key of a capability, by what follows the prefix. Compare two with `==`."""

    hashes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    zsets: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    strings: dict[str, bytes] = field(default_factory=dict[str, bytes])
    streams: dict[str, Stream] = field(default_factory=dict[str, Stream])
    slots: dict[str, dict[str, bytes]] = field(default_factory=dict[str, dict[str, bytes]])
    """What was counted of work, by slot; its values are no text."""
    lasting: frozenset[str] = frozenset()
    """Keys without a TTL."""

    def records(self) -> dict[str, dict[str, str]]:
        """Return request id → record."""
        return {name[2:]: record for name, record in self.hashes.items() if name.startswith("r:")}

    def replies(self, producer: str) -> list[dict[str, bytes]]:
        """Return what lies on a reply stream, hellos left out."""
        stream = self.streams.get(f"reply:{producer}")
        return [entry for entry in stream.entries.values() if "id" in entry] if stream else []


async def take(store: Store, capability: str) -> Snapshot:
    """Read a pool's keys at one instant."""
    raw: Any = await store.link.run("EVAL", _TEXT, 1, store.keys(capability).pool)
    shot = Snapshot(lasting=frozenset(name.decode() for name, _, lasting, _ in raw if lasting))
    for tail, kind, _, value in raw:
        name = tail.decode()
        match kind:
            case b"hash" if name.startswith(("a:10:", "a:600:")):
                shot.slots[name] = dict(_pairs(value))
            case b"hash":
                shot.hashes[name] = {k: v.decode(errors="replace") for k, v in _pairs(value)}
            case b"zset":
                shot.zsets[name] = {k: float(v) for k, v in _pairs(value)}
            case b"string":
                shot.strings[name] = value[0]
            case b"stream":
                entries = {entry.decode(): dict(_pairs(fields)) for entry, fields in value[0]}
                shot.streams[name] = Stream(entries, {e.decode(): w.decode() for e, w, _ in value[1]})
            case _:
                raise AssertionError(f"{name} is of type {kind!r}")
    return shot


def _pairs(flat: list[bytes]) -> Iterator[tuple[str, bytes]]:
    return ((flat[i].decode(), flat[i + 1]) for i in range(0, len(flat), 2))


def audit(shot: Snapshot) -> list[str]:
    """Return what is wrong with a pool's keys: nothing, at any moment between two moves."""
    return [*_records(shot), *_entries(shot), *_indexes(shot), *_sums(shot), *_replies(shot), *_owners(shot)]


def _records(shot: Snapshot) -> Iterator[str]:
    """Each record agrees with where its request lies."""
    for request_id, r in shot.records().items():
        state, entry = r["state"], r.get("entry", "")
        expiry = request_id in shot.zsets.get("expiry", {})
        if (state in _FINAL) == expiry:
            yield f"{request_id} is {state} and {'in' if expiry else 'not in'} expiry"
        if (state in _FINAL) == (f"r:{request_id}" in shot.lasting):
            yield f"the record of {request_id}, {state}, has the wrong kind of TTL"
        if (state == State.DELAYED) != (request_id in shot.zsets.get("delayed", {})):
            yield f"{request_id} is {state}, and delayed says otherwise"
        if state not in {State.QUEUED, State.RUNNING}:
            continue
        stream = shot.streams.get(r["stream"].rpartition("}:")[2])
        if stream is None or stream.entries.get(entry, {}).get("id") != request_id.encode():
            yield f"{request_id} is {state}, and its entry {entry} is not in its stream"
        elif stream.pending.get(entry) != (r["worker"] if state == State.RUNNING else None):
            yield f"{request_id} is {state}, pending for {stream.pending.get(entry)}, of {r.get('worker')}"


def _entries(shot: Snapshot) -> Iterator[str]:
    """Each entry of a work stream belongs to the record that points at it."""
    records = shot.records()
    for name, stream in shot.streams.items():
        if not name.startswith("q:"):
            continue
        for entry, fields in stream.entries.items():
            r = records.get(fields["id"].decode(), {})
            wanted = State.RUNNING if entry in stream.pending else State.QUEUED
            if r.get("state") != wanted or r.get("entry") != entry or not r["stream"].endswith(name):
                yield f"{name} {entry} is {wanted}, and the record says {r.get('state')} {r.get('entry')}"
        for entry in stream.pending.keys() - stream.entries.keys():
            yield f"{name} {entry} is pending and was deleted"


def _indexes(shot: Snapshot) -> Iterator[str]:
    """Each index names living requests only, and dead letters are whole."""
    records = shot.records()
    for index in ("expiry", "delayed", "picky"):
        for request_id in shot.zsets.get(index, {}):
            if records.get(request_id, {"state": "gone"})["state"] in {*_FINAL, "gone"}:
                yield f"{index} names {request_id}, which does not live"
    for request_id in shot.zsets.get("dead", {}):
        r = records.get(request_id, {})
        if r.get("state") != State.DEAD or "held" not in r:
            yield f"dead names {request_id}, which cannot be replayed"
    for request_id, r in records.items():
        if r["state"] == State.DELAYED and "held" not in r:
            yield f"{request_id} waits for a time without a body"
        if "held" in r and r["state"] not in {State.DELAYED, State.DEAD}:
            yield f"{request_id} is {r['state']} and still holds its body"


def _sums(shot: Snapshot) -> Iterator[str]:
    """The figures that the bound is checked against are the sums of what lives."""
    live = [r for r in shot.records().values() if r["state"] not in _FINAL]
    told = int(shot.hashes.get("stat", {}).get("bytes", "0"))
    if told != sum(int(r["size"]) for r in live):
        yield f"stat says {told} bytes, the records {sum(int(r['size']) for r in live)}"
    lengths = sum(len(s.entries) for name, s in shot.streams.items() if name.startswith("q:"))
    queued = sum(r["state"] in {State.QUEUED, State.RUNNING} for r in live)
    if lengths != queued:
        yield f"the streams hold {lengths} entries, the records say {queued}"


def _replies(shot: Snapshot) -> Iterator[str]:
    """Nobody is told two outcomes of one request, nor one that differs from the record."""
    records = shot.records()
    for name in shot.streams:
        if not name.startswith("reply:"):
            continue
        told = [e for e in shot.replies(name[6:]) if e["kind"] == b"outcome"]
        ids = [entry["id"].decode() for entry in told]
        for request_id in {i for i in ids if ids.count(i) > 1}:
            yield f"{name} has {ids.count(request_id)} outcomes of {request_id}"
        for entry in told:
            r = records.get(entry["id"].decode(), {})
            for what in ("code", "executed", "ended", "log"):
                if r and r[what] != entry[what].decode():
                    yield f"{name} says {what} {entry[what]!r} of {entry['id']!r}, the record {r[what]}"


def _owners(shot: Snapshot) -> Iterator[str]:
    for name in shot.lasting:
        if not any(fnmatchcase(name, pattern) for pattern in OWNERLESS):
            yield f"{name} has neither a TTL nor an owner"
