"""A leader's rounds over all pools: look at them, rescue, let time take effect.

Each round asks of a pool only what is due by now, and each move is made only while the term surely lasts.

Above stands `sweeper`, which says when there is a term. Below are the store's moves, and `rescue`, which
decides. This module must never take or give up a lease: it answers False where a pool refuses the epoch.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from mcpweft_schemas import rescue
from mcpweft_schemas.packing import unpack
from mcpweft_schemas.sweeplog import Event
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from mcpweft_schemas.pulse import Pulse
    from mcpweft_schemas.store import PoolStatus, Store
    from mcpweft_schemas.sweeplog import SweepLog
    from mcpweft_schemas.tenure import Tenure, Term

_AT_ONCE = 16  # pools that are asked at the same time
_IDLE_SWEEP_MS = 500
_AGAIN_MS = 500  # after a pool did not answer


class _RefusedError(Exception):
    """A pool has seen a higher epoch, or the term is over: the round ends."""


@dataclass(slots=True)
class _Pool:
    """What the leader remembers of one pool; times by its own clock."""

    view: rescue.View | None = None
    seen: float = 0.0
    look_at: float = 0.0
    sweep_at: float = 0.0
    busy: bool = True
    servers: dict[str, str] = field(default_factory=dict[str, str])
    """Worker → its server, by its own word."""
    taken: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """Suspect → how many of its requests were moved, and how many were lost, so far."""


class Rounds:
    """The rounds of one sweeper."""

    def __init__(
        self, store: Store, tenure: Tenure, pulse: Pulse, log: SweepLog, policy: rescue.Policy, sweep_ms: int
    ) -> None:
        self._store = store
        self._tenure = tenure
        self._pulse = pulse
        self._clock = pulse.clock
        self._log = log
        self._policy = policy
        self._sweep_ms = sweep_ms
        self._pools: dict[str, _Pool] = {}
        self._pools_at = 0.0
        self._sealed: Term | None = None
        self._doubt = False

    def apply(self, policy: rescue.Policy, sweep_ms: int) -> None:
        """Go by other times, from the next round on."""
        self._policy, self._sweep_ms = policy, sweep_ms

    async def make(self, term: Term) -> bool:
        """Make one round; return False where a pool refused the term's epoch. A new term seals first."""
        self._log.figures.rounds += 1
        refused = False
        try:
            if self._sealed is not term:
                self._pools.clear()
                self._pools_at = 0.0
            await self._know_pools(term)
            if self._sealed is not term:
                await self._seal(term)
            if self._sealed is term:
                await self._work(term)
        except* _RefusedError:
            refused = self._tenure.term is term
        return not refused

    async def _work(self, term: Term) -> None:
        now = self._clock()
        await self._look(term, [name for name, pool in self._pools.items() if pool.look_at <= now])
        await self._rescue(term)
        due = [name for name, pool in self._pools.items() if pool.sweep_at <= self._clock()]
        await _each(due, lambda name: self._sweep(term, name))

    def _check(self, term: Term) -> None:
        if self._tenure.term is not term:
            raise _RefusedError

    # -- pools ---------------------------------------------------------------------------------------------

    async def _know_pools(self, term: Term) -> None:
        if self._clock() < self._pools_at:
            return
        self._check(term)
        names = await self._pulse.ask("", self._store.pools())
        if names is None:
            return
        self._pools_at = self._clock() + self._policy.dead_after_ms / 1000
        for name in self._pools.keys() - set(names):
            del self._pools[name]
        for name in names:
            self._pools.setdefault(name, _Pool())

    async def _seal(self, term: Term) -> None:
        async def seal(name: str) -> None:
            self._check(term)
            # A pool that does not answer learns the epoch from the first move on it.
            if await self._pulse.ask(name, self._store.seal(name, term.epoch)) is Word.STALE:
                raise _RefusedError

        await _each(self._pools, seal)
        if self._pools_at:
            self._sealed = term

    async def highest_epoch(self) -> int:
        """Return the highest epoch that any pool has seen."""
        highest = 0
        for name in await self._pulse.ask("", self._store.pools()) or ():
            status = await self._pulse.ask(name, self._store.status(name))
            highest = max(highest, int(status.settings.get("epoch", 0)) if status else 0)
        return highest

    async def _look(self, term: Term, names: Iterable[str]) -> None:
        async def look(name: str) -> None:
            self._check(term)
            status = await self._pulse.ask(name, self._store.status(name))
            if (pool := self._pools.get(name)) is None:
                return
            if status is None:
                pool.look_at = self._clock() + _AGAIN_MS / 1000
            else:
                self._book(pool, status)

        await _each(names, look)

    def _book(self, pool: _Pool, status: PoolStatus) -> None:
        beats = dict.fromkeys(status.members, 0) | dict(status.alive)
        pool.view = rescue.View(now_ms=status.now_ms, up_ms=self._pulse.up_ms, beats=beats)
        pool.seen = self._clock()
        pool.servers = {worker: _server_of(info) for worker, info in status.members.items()}
        pool.busy = bool(status.running or status.delayed or any(status.waiting.values()))

    # -- the dead ------------------------------------------------------------------------------------------

    async def _rescue(self, term: Term) -> None:
        decision = self._decide()
        if not decision.actions:
            return
        # Before anybody is called dead, everybody is looked at anew: a worker may have been heard elsewhere.
        stale = self._clock() - self._sweep_ms / 1000
        await self._look(term, [name for name, pool in self._pools.items() if pool.seen < stale])
        kept: set[tuple[str, str]] = set()
        for action in self._decide().actions:
            place = (action.capability, action.worker)
            match action:
                case rescue.Reclaim():
                    if not await self._reclaim(term, *place):
                        kept.add(place)
                case rescue.Retire():
                    if place not in kept:
                        await self._retire(term, *place)

    def _decide(self) -> rescue.Decision:
        views = {name: pool.view for name, pool in self._pools.items() if pool.view is not None}
        decision = rescue.decide(views, self._policy)
        for name, wait in decision.next_ms.items():
            pool = self._pools[name]
            pool.look_at = max(pool.look_at, pool.seen + wait / 1000)
        if decision.doubt and not self._doubt:
            self._log.tell(Event.DOUBT)
        self._doubt = decision.doubt
        return decision

    async def _reclaim(self, term: Term, name: str, worker: str) -> bool:
        """Take back what a suspect holds; return whether nothing is left."""
        while True:
            self._check(term)
            got = await self._pulse.ask(
                name,
                self._store.reclaim(
                    name, term.epoch, worker, confirmed=False,
                    dead_after_ms=self._policy.dead_after_ms, patience_ms=self._policy.patience_ms,
                ),
            )  # fmt: skip
            if got is None:
                return False
            if got.word is Word.STALE:
                raise _RefusedError
            self._log.figures.moved += got.moved
            self._log.figures.lost += got.lost
            if got.moved or got.lost:
                moved, lost = self._pools[name].taken.get(worker, (0, 0))
                self._pools[name].taken[worker] = moved + got.moved, lost + got.lost
                told = {"moved": got.moved, "lost": got.lost, "kept": got.kept}
                self._log.tell(Event.RECLAIMED, capability=name, worker=worker, **told)
            if got.word is not Word.MORE or not got.moved + got.lost:
                return got.word is Word.OK

    async def _retire(self, term: Term, name: str, worker: str) -> None:
        self._check(term)
        if await self._pulse.ask(name, self._store.retire(name, worker)) is Word.OK:
            self._log.figures.retired += 1
            self._log.tell(Event.RETIRED, capability=name, worker=worker, **self._obituary(name, worker))

    def _obituary(self, name: str, worker: str) -> dict[str, Any]:
        """Return what is known of a worker that was removed."""
        pool = self._pools[name]
        moved, lost = pool.taken.pop(worker, (0, 0))
        view = pool.view
        silent = view.now_ms - view.beats.get(worker, 0) if view is not None else 0
        return {"server": pool.servers.get(worker, ""), "silent_ms": silent, "moved": moved, "lost": lost}

    # -- time ----------------------------------------------------------------------------------------------

    async def _sweep(self, term: Term, name: str) -> None:
        pool = self._pools[name]
        wait_ms = self._sweep_ms if pool.busy else max(self._sweep_ms, _IDLE_SWEEP_MS)
        pool.sweep_at = self._clock() + wait_ms / 1000
        while True:
            self._check(term)
            got = await self._pulse.ask(name, self._store.sweep(name, term.epoch))
            if got is None:
                pool.sweep_at = self._clock() + _AGAIN_MS / 1000
                return
            if got.word is Word.STALE:
                raise _RefusedError
            self._log.figures.expired += got.expired
            self._log.figures.unserved += got.unserved
            if got.expired or got.unserved:
                self._log.tell(Event.EXPIRED, capability=name, expired=got.expired, unserved=got.unserved)
            if got.forgotten:
                self._log.tell(Event.FORGOTTEN, capability=name, count=got.forgotten)
            if got.word is not Word.MORE:
                return


def _server_of(info: bytes) -> str:
    """Return the server that a worker named when it registered; empty where that cannot be read."""
    try:
        said = unpack(info)
    except ValueError:
        return ""
    return str(cast("dict[str, Any]", said).get("server", "")) if isinstance(said, dict) else ""


async def _each(names: Iterable[str], act: Callable[[str], Awaitable[None]]) -> None:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str) -> None:
        async with gate:
            await act(name)

    async with asyncio.TaskGroup() as tasks:
        for name in list(names):
            tasks.create_task(one(name))
