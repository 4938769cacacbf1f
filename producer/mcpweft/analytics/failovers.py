"""From the fleet's events to failovers: each begins with one event and ends with another, or has no end yet.

    breaker, forced   a server's breaker leaves `closed` …      … until no worker tells otherwise any more
    server_lost       a worker's MCP server is gone …           … until that worker has it again
    worker_died       a worker is silent or exits unasked …     … until the next worker of that server joins

Events are news: one that was not told leaves a failover open, and its end unknown. Above stands `historian`.
Plain functions of events; this module must never ask anybody anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcpweft.analytics.figures import BreakerMove, Failover, StrategyChange, Trouble
from mcpweft_schemas.circuit import State
from mcpweft_schemas.event import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mcpweft_schemas.event import Event

_OUT = {State.OPEN.value, State.HALF_OPEN.value, State.FORCED_OPEN.value, State.CORDONED.value}
_BY_HAND = {State.FORCED_OPEN.value, State.CORDONED.value}
_GONE = {Kind.WORKER_LEFT, Kind.WORKER_DIED, Kind.WORKER_EXITED}


@dataclass(slots=True)
class _Case:
    """A failover as it is being told."""

    trouble: Trouble
    server: str
    cause: str
    began_ms: int
    workers: list[str]
    pools: list[str] = field(default_factory=list[str])
    out: set[str] = field(default_factory=set[str])
    """Workers whose breaker is not closed."""
    ended_ms: int | None = None
    over: bool = False
    """Nothing that comes will end it."""
    moved: int = 0
    lost: int = 0

    @property
    def is_open(self) -> bool:
        return self.ended_ms is None and not self.over


class _Cases:
    """All failovers, as events come in their order."""

    def __init__(self) -> None:
        self.all: list[_Case] = []
        self._arrived: set[str] = set()  # workers that have stood in for a dead one already
        self._joined_since: set[tuple[str, str]] = set()  # workers and their pools, since they last died

    def hear(self, event: Event) -> None:
        """Take the next event."""
        hears = {
            Kind.BREAKER_MOVED: self._breaker,
            Kind.SERVER_LOST: self._lost,
            Kind.SERVER_READY: self._ready,
            Kind.WORKER_DIED: self._died,
            Kind.WORKER_EXITED: self._exited,
            Kind.WORKER_JOINED: self._joined,
            Kind.FAILOVER: self._failed,
        }.get(event.kind)
        if hears is not None:
            hears(event)
        if event.kind in _GONE:
            self._gone(event)

    def _lost(self, event: Event) -> None:
        if self._find(Trouble.SERVER_LOST, event.server, event.worker) is None:
            self._begin(Trouble.SERVER_LOST, event)

    def _ready(self, event: Event) -> None:
        self._end(self._find(Trouble.SERVER_LOST, event.server, event.worker), event)

    def _failed(self, event: Event) -> None:
        for case in self.all:
            if case.is_open and case.server == event.server:
                case.moved += _count(event, "count")

    def _exited(self, event: Event) -> None:
        if not event.data.get("asked"):
            self._died(event)

    def _begin(self, trouble: Trouble, event: Event) -> _Case:
        workers = [event.worker] if event.worker else []
        case = _Case(trouble, event.server, event.reason, event.at_ms, workers)
        self.all.append(case)
        return case

    @staticmethod
    def _end(case: _Case | None, event: Event) -> None:
        if case is not None:
            case.ended_ms = max(event.at_ms, case.began_ms)

    def _find(self, trouble: Trouble, server: str, worker: str = "") -> _Case | None:
        for case in self.all:
            fits = case.trouble is trouble and case.server == server and case.is_open
            if fits and (not worker or worker in case.workers):
                return case
        return None

    def _breaker(self, event: Event) -> None:
        case = self._find(Trouble.BREAKER, event.server) or self._find(Trouble.FORCED, event.server)
        after = str(event.data.get("after", ""))
        if after in _OUT:
            if case is None:
                if after == State.HALF_OPEN.value:
                    return  # it opened before what is known
                case = self._begin(Trouble.FORCED if after in _BY_HAND else Trouble.BREAKER, event)
            case.out.add(event.worker)
            if event.worker not in case.workers:
                case.workers.append(event.worker)
        elif case is not None and event.worker in case.out:
            case.out.discard(event.worker)
            if not case.out:
                self._end(case, event)

    def _died(self, event: Event) -> None:
        case = next(
            (c for c in reversed(self.all) if c.trouble is Trouble.WORKER_DIED and event.worker in c.workers),
            None,
        )
        if case is None or self._is_back(event):
            case = self._begin(Trouble.WORKER_DIED, event)
            self._arrived.discard(event.worker)
            self._joined_since = {each for each in self._joined_since if each[0] != event.worker}
        if event.pool and event.pool not in case.pools:
            case.pools.append(event.pool)
        case.moved += _count(event, "moved")
        case.lost += _count(event, "lost")

    def _is_back(self, event: Event) -> bool:
        """Whether a worker has joined again since it died: else this is told of the same death."""
        pools = {pool for worker, pool in self._joined_since if worker == event.worker}
        return event.pool in pools if event.pool else bool(pools)

    def _joined(self, event: Event) -> None:
        self._joined_since.add((event.worker, event.pool))
        if event.worker in self._arrived:
            return
        case = self._find(Trouble.WORKER_DIED, event.server, event.worker)
        case = case or self._find(Trouble.WORKER_DIED, event.server)
        if case is not None:
            self._arrived.add(event.worker)
            self._end(case, event)

    def _gone(self, event: Event) -> None:
        """Wait no longer for what a worker that is gone would have told of its server's return."""
        for case in self.all:
            if not case.is_open or event.worker not in case.workers or case.trouble is Trouble.WORKER_DIED:
                continue
            case.out.discard(event.worker)
            case.over = not case.out


def _count(event: Event, name: str) -> int:
    value = event.data.get(name)
    return value if isinstance(value, int) else 0


def failovers(
    events: Iterable[Event], served: Callable[[str, int, int | None], tuple[str, ...] | None]
) -> tuple[Failover, ...]:
    """Return the failovers that events tell of, in the order in which they began.

    `served`: which other servers answered retries in a server's pools between two moments (ms, None: until
    now); None where that is not known.
    """
    cases = _Cases()
    for event in events:
        cases.hear(event)
    return tuple(
        Failover(
            trouble=case.trouble, server=case.server, workers=tuple(case.workers), pools=tuple(case.pools),
            cause=case.cause, began_ms=case.began_ms, ended_ms=case.ended_ms,
            recovery_s=None if case.ended_ms is None else (case.ended_ms - case.began_ms) / 1000,
            moved=case.moved, lost=case.lost, to=served(case.server, case.began_ms, case.ended_ms),
        )
        for case in cases.all
    )  # fmt: skip


def breaker_moves(events: Sequence[Event]) -> tuple[BreakerMove, ...]:
    """Return the moves of breakers that events tell of."""
    return tuple(
        BreakerMove(
            at_ms=event.at_ms, server=event.server, worker=event.worker,
            before=str(event.data.get("before", "")), after=str(event.data.get("after", "")),
            reason=event.reason,
        )
        for event in events
        if event.kind is Kind.BREAKER_MOVED
    )  # fmt: skip


def strategy_changes(events: Sequence[Event]) -> tuple[StrategyChange, ...]:
    """Return the changes of strategy that events tell of."""
    return tuple(
        StrategyChange(
            at_ms=event.at_ms, pool=event.pool, before=str(event.data.get("before", "")),
            after=str(event.data.get("after", "")),
        )
        for event in events
        if event.kind is Kind.STRATEGY_CHANGED
    )  # fmt: skip
