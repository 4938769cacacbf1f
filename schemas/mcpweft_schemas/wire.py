"""What travels: requests, deliveries, settlements and replies, and how they are written as bytes.

Flat fields are for scripts to read; only a body is msgpack (see `packing`). Unknown fields are ignored.
`docs/protocol.md` lists every field; `tests/golden/` holds the bytes of each version.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgpack

from mcpweft_schemas.errors import InvalidArgumentsError
from mcpweft_schemas.life import Class, State
from mcpweft_schemas.outcome import Attempt, Code, Executed
from mcpweft_schemas.packing import pack, unpack
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_E = TypeVar("_E", bound=StrEnum)

VERSION = "1"
"""The version written; its major part decides who can read it."""
READS = ("1",)
"""The major versions that this package can take."""

MAX_BODY = 4 * 1024 * 1024
"""Most bytes of one request's body."""

STORED, DURABLE, PICKY, PROGRESS = "s", "d", "u", "p"
"""A request's flags: keep its outcome, let it outlive its waiters, fail it without servers, tell progress."""


def pack_request(arguments: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> bytes:
    """Write a request's body: `{"arguments": …, "metadata": …}`. Raises InvalidArgumentsError."""
    body: dict[str, Any] = {"arguments": dict(arguments)}
    if metadata:
        body["metadata"] = dict(metadata)
    data = pack(body)
    if len(data) > MAX_BODY:
        raise InvalidArgumentsError(
            f"the arguments take {len(data)} bytes, where at most {MAX_BODY} travel",
            advice="Pass a reference to large data instead of the data.",
        )
    return data


def fingerprint(tool: str, arguments: Mapping[str, Any]) -> str:
    """Return what tells two uses of a key apart: BLAKE2b-128 of msgpack([tool, sorted arguments])."""
    return hashlib.blake2b(pack([tool, _sorted(dict(arguments))]), digest_size=16).hexdigest()


def key_digest(tenant: str, key: str) -> str:
    """Return the name under which an idempotency key is kept: its tenant is part of it."""
    return hashlib.blake2b(pack([tenant, key]), digest_size=16).hexdigest()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(cast("dict[str, Any]", value))}
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in cast("list[Any]", value)]
    return value


# What is made for each request is not frozen, here and below: to make it would take three times as long.
@dataclass(slots=True)
class Submission:
    """One request as it is enqueued. Times are whole milliseconds; 0 means not set."""

    id: str
    tool: str
    klass: Class
    body: bytes
    timeout_ms: int
    attempt_timeout_ms: int = 0
    """0: what the server's configuration says."""
    max_attempts: int = 3
    start_within_ms: int = 0
    delay_ms: int = 0
    safe: bool | None = None
    """Whether the caller says that running it twice does no harm; None: as the tool table says."""
    flags: str = ""
    waiter: str = ""
    """The producer that waits for the outcome; empty: nobody does yet."""
    key: str = ""
    """`key_digest` of the idempotency key."""
    print: str = ""
    trace: str = ""
    tenant: str = ""
    keep_ms: int = 0
    """How long a stored outcome is kept."""
    key_keep_ms: int = 0
    extra: tuple[str, ...] = ()
    """Further flat fields, name, value, …: `method`, `principal`, `credential`, `session`, `encoding`;
    and `rules` (`Ruling.write`), which the record takes over."""
    version: str = VERSION

    def arguments(self) -> list[Any]:
        """Return the 20 values that enqueue.lua reads."""
        safe = "" if self.safe is None else str(int(self.safe))
        extra = cast("bytes", msgpack.packb(list(self.extra))) if self.extra else b""
        return [
            self.id, self.version, self.tool, self.klass.value, self.timeout_ms, self.start_within_ms,
            self.attempt_timeout_ms, self.max_attempts, self.delay_ms, safe, self.flags, self.waiter,
            self.key, self.print, self.trace, self.tenant, self.keep_ms, self.key_keep_ms, extra, self.body,
        ]  # fmt: skip


def paired(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return flat fields, name, value, …, as a map."""
    return dict(zip(flat[::2], flat[1::2], strict=False))


def by_bytes(kind: type[_E]) -> dict[bytes, _E]:
    """Return the members of an enumeration by what stands for them on the wire."""
    return {member.value.encode(): member for member in kind}


_CLASSES, _CODES, _EXECUTED = by_bytes(Class), by_bytes(Code), by_bytes(Executed)


@dataclass(slots=True)
class Accepted:
    """What enqueue says of one request."""

    word: Word
    """OK, REPEAT, ATTACHED, SETTLED, CONFLICT, FULL, LATE, NO_SERVERS, UNKNOWN, OOM, UNWRITABLE or ERROR."""
    id: str
    """The request to wait for: the caller's own, or the one that holds its idempotency key."""
    state: State | None
    retry_after_ms: int


@dataclass(slots=True)
class Delivery:
    """One request in a worker's hands."""

    stream: str
    entry: str
    """With `stream`, the fencing token."""
    id: str
    klass: Class
    attempt: int
    deliveries: int
    max_attempts: int
    remaining_ms: int
    """Until the deadline, as of the fetch."""
    attempt_timeout_ms: int
    safe: bool
    flags: str
    accepted_ms: int
    tool: str
    tenant: str
    trace: str
    body: bytes
    fields: Mapping[bytes, bytes] = field(repr=False)
    """Every flat field of the entry, those unknown here among them."""

    @classmethod
    def read(cls, raw: Sequence[Any]) -> Delivery:
        """Read what fetch.lua and adopt.lua tell of one delivery."""
        fields = paired(raw[12])
        return cls(
            stream=raw[0].decode(), entry=raw[1].decode(), id=raw[2].decode(), klass=_CLASSES[raw[3]],
            attempt=int(raw[4]), deliveries=int(raw[5]), max_attempts=int(raw[6]), remaining_ms=int(raw[7]),
            attempt_timeout_ms=int(raw[8]), safe=raw[9] == b"1", flags=raw[10].decode(),
            accepted_ms=int(raw[11]), tool=fields.get(b"tool", b"").decode(),
            tenant=fields.get(b"tenant", b"").decode(), trace=fields.get(b"trace", b"").decode(),
            body=fields.get(b"body", b""), fields=fields,
        )  # fmt: skip

    def request(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the arguments and the metadata. Raises ValueError where the body is not one."""
        body = unpack(self.body, MAX_BODY)
        if not isinstance(body, dict) or not isinstance(body.get("arguments"), dict):
            raise ValueError("the body holds no arguments")  # noqa: TRY004  # the bytes are wrong, not a type
        metadata = body.get("metadata")
        return body["arguments"], cast("dict[str, Any]", metadata) if isinstance(metadata, dict) else {}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch or an adoption brings."""

    word: Word
    """OK; STALE, WIPED or UNKNOWN: the worker adopts or registers again."""
    now_ms: int
    next_due_ms: int | None
    """Until a delayed request may be taken; None where none waits."""
    more: bool
    deliveries: tuple[Delivery, ...]

    @classmethod
    def read(cls, raw: Sequence[Any]) -> Fetched:
        """Read what fetch.lua and adopt.lua answer."""
        due = int(raw[2])
        return cls(
            word=Word(raw[0].decode()), now_ms=int(raw[1]), next_due_ms=None if due < 0 else due,
            more=raw[3] == b"1", deliveries=tuple(Delivery.read(item) for item in raw[4:]),
        )  # fmt: skip


@dataclass(slots=True)
class Settlement:
    """How one delivery ends, as its worker says."""

    id: str
    stream: str
    entry: str
    how: str
    """`done`, `dead`, `retry` or `release`."""
    code: str
    cause: str
    executed: Executed
    service_ms: float | None = None
    body: bytes = b""
    chunks: int = 0
    """Into how many pieces the body was laid beside the record; 0: it is in `body`."""
    backoff_ms: int = 0
    keep_ms: int = 0

    def arguments(self) -> list[Any]:
        """Return the 12 values that settle.lua reads."""
        service = "" if self.service_ms is None else f"{self.service_ms:.3f}"
        return [
            self.id, self.stream, self.entry, self.how, self.code, self.cause, self.executed.value,
            service, self.body, self.chunks, self.backoff_ms, self.keep_ms,
        ]  # fmt: skip


@dataclass(slots=True)
class Reply:
    """What a producer hears of a request: its outcome, or how far it is."""

    id: str
    kind: str
    """`outcome` or `progress`."""
    attempt: int
    body: bytes
    code: Code = Code.OK
    executed: Executed = Executed.NO
    cause: str = ""
    server: str = ""
    worker: str = ""
    accepted_ms: int = 0
    started_ms: int = 0
    """When its last attempt was taken; 0 where it never was."""
    ended_ms: int = 0
    service_ms: float | None = None
    attempts: tuple[Attempt, ...] = ()
    chunks: int = 0
    entry: str = ""
    """The delivery that made the outcome: part of the names of its chunks."""
    rules: str = ""
    """Which routing rules fitted it (`Ruling.read`)."""

    @classmethod
    def read(cls, raw: Mapping[bytes, bytes]) -> Reply | None:
        """Read a reply's fields; None for a kind or a major version that is not known here.

        Raises KeyError or ValueError for one that is none.
        """
        kind = raw.get(b"kind", b"").decode()
        if kind not in {"outcome", "progress"} or raw.get(b"v", b"").partition(b".")[0].decode() not in READS:
            return None
        if kind == "progress":
            return cls(raw[b"id"].decode(), kind, int(raw[b"attempt"]), raw.get(b"body", b""))
        service, log = raw.get(b"service", b""), raw.get(b"log", b"")
        return cls(
            id=raw[b"id"].decode(), kind=kind, attempt=int(raw[b"attempt"]), body=raw.get(b"body", b""),
            code=_CODES[raw[b"code"]], executed=_EXECUTED[raw[b"executed"]],
            cause=raw.get(b"cause", b"").decode(), server=raw.get(b"server", b"").decode(),
            worker=raw.get(b"worker", b"").decode(), accepted_ms=int(raw[b"accepted"]),
            started_ms=int(raw.get(b"started", 0)), ended_ms=int(raw[b"ended"]),
            service_ms=float(service) if service else None,
            attempts=tuple(read_attempts(log.decode())) if log else (),
            chunks=int(raw.get(b"chunks", 0)), entry=raw.get(b"entry", b"").decode(),
            rules=raw.get(b"rules", b"").decode(),
        )  # fmt: skip

    @classmethod
    def read_packed(cls, data: bytes) -> Reply | None:
        """Read an outcome that was kept: msgpack of the flat fields."""
        return cls.read(paired(msgpack.unpackb(data, raw=True)))


def read_attempts(log: str) -> Iterable[Attempt]:
    """Read a record's log: a line an attempt, its values parted by tabs."""
    for line in log.splitlines():
        server, worker, cause, executed, started, took = line.split("\t")
        yield Attempt(server, worker, cause, Executed(executed), int(started), int(took))


PIECE = 512 * 1024
"""Bytes of one piece of an outcome that travels in chunks."""


def pack_answer(content: Sequence[Mapping[str, Any]], structured: Any, *, is_error: bool) -> bytes:
    """Write the body of an outcome OK or TOOL_ERROR: MCP content blocks and structured content."""
    return pack(
        {"content": [dict(block) for block in content], "structured": structured, "is_error": is_error}
    )


def pack_problem(what: str, advice: str = "") -> bytes:
    """Write the body of any other outcome: what happened and what to change, in words."""
    return pack({"what": what, "advice": advice})
