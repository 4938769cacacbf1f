"""What the moves answer, and who it is that fetches: plain values, as the store told them.

Above stands `store`, which makes them, and whoever asked it. Below: wire, outcome, life and word. This module
must never speak to a store. Times are ms by the store's own clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from mcpweft_schemas.life import State
from mcpweft_schemas.outcome import Code
from mcpweft_schemas.wire import Reply
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_schemas.life import Class
    from mcpweft_schemas.outcome import Attempt, Executed
    from mcpweft_schemas.wire import Accepted


@dataclass(frozen=True, slots=True)
class Reader:
    """Who fetches: a worker, as the store knows it."""

    worker: str
    server: str
    """The server's name: whose entries of the tool table count."""
    instance: str
    """What has tried a request: the server where workers share one (HTTP), else the worker itself."""
    incarnation: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Beaten:
    """What a beat came to."""

    word: Word
    """OK, UNKNOWN or WIPED."""
    generation: int | None
    """Of the breaker that the worker goes by; None outside its home pool."""
    share: bytes = b""
    """What was dealt to the worker in this pool, packed; empty where nothing is in force."""


@dataclass(frozen=True, slots=True)
class Dealt:
    """What dealing shares came to."""

    word: Word
    """OK, STALE or UNKNOWN."""
    before: str
    """The strategy that was in force; empty where none was."""


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What enqueue answers."""

    incarnation: str
    """Empty where the pool is unknown."""
    now_ms: int
    items: tuple[Accepted, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a request stands, as lookup and attach tell."""

    word: Word
    """OK or ATTACHED (under way), SETTLED, UNKNOWN."""
    state: State | None
    code: Code | None
    outcome: Reply | None
    """The outcome, where it was kept."""

    @classmethod
    def read(cls, state: bytes, code: bytes, outcome: bytes) -> Self:
        """Read what lookup and attach tell of one request."""
        if not state:
            return cls(Word.UNKNOWN, None, None, None)
        return cls(
            Word.SETTLED if code else Word.OK, State(state.decode()), Code(code.decode()) if code else None,
            Reply.read_packed(outcome) if outcome else None,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lease:
    """What taking a lease came to."""

    word: Word
    """OK or HELD."""
    epoch: int
    holder: str
    left_ms: int


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What reclaiming from one worker came to."""

    word: Word
    moved: int
    lost: int
    kept: int


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep of one pool came to."""

    word: Word
    expired: int
    unserved: int
    forgotten: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that is known of one request. A time that has not come is 0."""

    id: str
    state: State
    now_ms: int
    ahead: int | None
    """How many of its class go before it; None where it is not queued or over 1000 do."""
    due_ms: int | None
    """When a delayed request may be taken."""
    attempts: tuple[Attempt, ...]
    fields: Mapping[str, str] = field(repr=False)
    """The record as docs/protocol.md lists it."""


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The figures of one pool at one moment."""

    capability: str
    now_ms: int
    settings: Mapping[str, str]
    stat: Mapping[str, str]
    waiting: Mapping[Class, int]
    """Queued requests that nobody has taken, by class."""
    running: int
    delayed: int
    dead: int
    alive: Mapping[str, int]
    """Worker → its last beat."""
    usable: Mapping[str, int]
    """Worker → until when it counts as usable."""
    members: Mapping[str, bytes]
    """Worker → what it said of itself when it registered."""
    load: Mapping[str, bytes]
    """Worker → what its last beat said."""
    due: int = 0
    """Delayed requests whose time has come, and those parked because others of their tenant wait."""
    over: tuple[int, ...] = ()
    """For each horizon that was asked for: live requests whose time is over by then."""


@dataclass(frozen=True, slots=True)
class Muster:
    """What a launcher hears."""

    wanted: Mapping[str, bytes]
    """Server → what the leader says of it; empty where nobody leads."""
    launchers: tuple[str, ...]
    """`<server> <launcher>` of all that are there, sorted."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A request that will not be tried again."""

    id: str
    ended_ms: int
    tool: str
    klass: Class
    code: Code
    executed: Executed
    tenant: str
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """What was booked of a pool in one stretch of time."""

    start_s: int
    fields: Mapping[str, bytes] = field(repr=False)
    """As docs/protocol.md lists them."""


@dataclass(frozen=True, slots=True)
class History:
    """Slots of a pool, oldest first, without those that hold nothing."""

    now_ms: int
    slots: tuple[Slot, ...]
