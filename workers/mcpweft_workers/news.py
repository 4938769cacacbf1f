"""What a worker tells the fleet: its doers' own events, with who and where filled in.

Above stands the worker, which hears its doers. Below is the herald, which never waits. A state that goes on
is told once, however often it is reported. It must never decide anything, and it is never awaited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcpweft_schemas.event import Event, Kind, Who
from mcpweft_schemas.sweeplog import news
from mcpweft_schemas.word import Word
from mcpweft_workers.session import SessionState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcpweft_schemas.sweeplog import Event as SweepEvent
    from mcpweft_schemas.wire import Settlement
    from mcpweft_workers.binding import Identity
    from mcpweft_workers.breaker import Transition

_STATES = {
    SessionState.READY: Kind.SERVER_READY,
    SessionState.DEGRADED: Kind.SERVER_DEGRADED,
    SessionState.DOWN: Kind.SERVER_LOST,
}


class News:
    """The events of one worker."""

    def __init__(self, identity: Identity, tell: Callable[[Event], None]) -> None:
        self._server = identity.server
        self._worker = identity.worker
        self._tell = tell
        self._told = Kind.SERVER_ADDED  # none of those that it may be

    def of_pool(self, kind: Kind, pool: str, data: Mapping[str, Any]) -> None:
        """Tell of this worker in one pool."""
        self._tell(Event(kind, Who.WORKER, pool, self._server, self._worker, data=data))

    def of_server(self, kind: Kind, reason: str, **data: Any) -> None:
        """Tell of the server."""
        self._told = kind
        self._tell(Event(kind, Who.WORKER, "", self._server, self._worker, reason, data))

    def state(self, state: SessionState, reason: str, connects: int) -> None:
        """Tell of the session's state, once until it changes: a server that is away is tried for ever."""
        kind = _STATES.get(state)
        if kind is not None and kind is not self._told:
            self.of_server(kind, reason, **({"connects": connects} if kind is Kind.SERVER_READY else {}))

    def breaker(self, move: Transition) -> None:
        """Tell of a move of the breaker."""
        data = {"before": move.before.value, "after": move.after.value}
        self._tell(Event(Kind.BREAKER_MOVED, Who.WORKER, "", self._server, self._worker, move.reason, data))

    def settled(self, pool: str, settlement: Settlement, word: Word | None) -> None:
        """Tell of an attempt that failed here and is tried again."""
        if word is Word.RETRIED and settlement.how == "retry":
            cause, data = settlement.cause, {"count": 1}
            self._tell(Event(Kind.FAILOVER, Who.WORKER, pool, self._server, self._worker, cause, data))

    def swept(self, what: SweepEvent, values: Mapping[str, Any], holder: str) -> None:
        """Tell of what this worker did as a stand-in for a coordinator."""
        told = news(what, values, Who.WORKER, holder)
        if told is not None:
            self._tell(told)
