"""The sweeper: whoever holds the lease `lead` takes back the work of the dead and lets time take effect.

A coordinator runs one as a candidate: it asks for the lease all the time, and leads as long as it has it.
A worker runs one as a standby, for the time in which no coordinator is there:

    async with asyncio.TaskGroup() as tasks:
        sweeper = Sweeper(
            store, f"worker.{worker_id}", Policy.of(config), clock=time.monotonic, rng=rng, standby=True
        )
        tasks.create_task(sweeper.run())        # ends by cancellation only, and gives the lease back then

A standby reads the lease about once a second and never takes it while somebody renews it. Once nobody has for
`standby_after_ms` it takes it, makes one round over all pools, gives it back at once, and pauses for longer
than a coordinator needs to notice: the first coordinator that comes leads after at most one ttl. One standby
carries on as long as it lives; the others see that somebody does.

What a new leader does first is to seal: it makes its epoch known to every pool, after which nothing that an
earlier leader still sends is accepted there. Then, every `sweep_ms`, as far as a pool is due:

    status → rescue.decide → reclaim (again on MORE) → retire, and sweep (again on MORE)

It acts only while its own term surely lasts (`tenure`). A pool with nothing in it is looked at about once a
second and swept twice, so an idle fleet of a few pools costs some 20 commands a second.

Above stand the coordinator and the worker; below are the store's moves and `rescue`, which decides. This
module must never know what a pool's work is.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import ResponseError

from mcpweft_schemas import rescue
from mcpweft_schemas.errors import FabricError
from mcpweft_schemas.tenure import Tenure, Term
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from typing import Self

    from mcpweft_schemas.config import Config
    from mcpweft_schemas.store import PoolStatus, Store

LEASE = "lead"
"""The lease of leadership."""
COORDINATOR, WORKER = "coordinator.", "worker."
"""What the id of a holder starts with."""
_AT_ONCE = 16  # pools that are asked at the same time
_IDLE_SWEEP_MS = 500
_PATIENT_S = 1.0  # for an answer, where a lost one may be asked for again
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Policy:
    """How often, and for how long. Whole milliseconds."""

    rescue: rescue.Policy = field(default_factory=rescue.Policy)
    lease_ms: int = 750
    """How long a leader leads without renewing."""
    renew_ms: int = 250
    """How often it renews, and how often a follower asks."""
    sweep_ms: int = 100
    """How often a busy pool is swept."""
    standby_after_ms: int = 3000
    """How long nobody may have renewed the lease before a standby takes it."""

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return the policy that a configuration asks for."""
        lease = round(config.coordinator.lease * 1000)
        return cls(
            rescue=rescue.Policy(dead_after_ms=round(config.worker.dead_after * 1000)),
            lease_ms=lease,
            renew_ms=lease // 3,
            sweep_ms=round(config.coordinator.sweep * 1000),
            standby_after_ms=4 * lease,
        )


class Event(StrEnum):
    """What a sweeper tells of itself."""

    LEADING = "leading"
    """It leads from now on: `epoch`."""
    FOLLOWING = "following"
    """It leads no longer: `holder` where known."""
    RECLAIMED = "reclaimed"
    """Work was taken back: `capability worker moved lost kept`."""
    RETIRED = "retired"
    """A dead worker was removed: `capability worker`."""
    EXPIRED = "expired"
    """Requests ended by their time: `capability expired unserved`."""
    DOUBT = "doubt"
    """Most workers are silent at once; they were given one period more."""
    CUT = "cut"
    """The store does not answer: `error`."""
    BACK = "back"
    """The store answers again."""
    FAULT = "fault"
    """The store refuses a move on one pool: `capability error`."""


@dataclass(slots=True)
class Figures:
    """What a sweeper has done since it was made, and what it is."""

    leading: bool = False
    epoch: int = 0
    holder: str = ""
    """Who holds the lease, as last seen."""
    terms: int = 0
    rounds: int = 0
    moved: int = 0
    """Requests taken back from dead workers to be tried again."""
    lost: int = 0
    """Requests of dead workers that ended, because nobody can say whether they ran."""
    retired: int = 0
    expired: int = 0
    unserved: int = 0
    cuts: int = 0
    faults: int = 0


class Pulse:
    """How long the store and the own link have been up without a break, by the own clock."""

    def __init__(self, clock: Callable[[], float], slow_s: float) -> None:
        self._clock = clock
        self._slow_s = slow_s
        self._since: float | None = None

    @property
    def up_ms(self) -> int:
        """How long it has been up; 0 while it is not."""
        return 0 if self._since is None else int((self._clock() - self._since) * 1000)

    @property
    def up(self) -> bool:
        """Whether the last command was answered."""
        return self._since is not None

    def answered(self, sent: float) -> None:
        """Book an answer; one that took long means that beats were held up as well."""
        now = self._clock()
        if self._since is None or now - sent > self._slow_s:
            self._since = now

    def broken(self) -> None:
        """Book that a command was not answered."""
        self._since = None

    async def nap(self, seconds: float) -> None:
        """Sleep; book it where this process was stopped meanwhile."""
        began = self._clock()
        await asyncio.sleep(seconds)
        if self._since is not None and self._clock() - began > seconds + self._slow_s:
            self._since = self._clock()


@dataclass(slots=True)
class _Pool:
    """What the leader remembers of one pool; times by its own clock."""

    view: rescue.View | None = None
    seen: float = 0.0
    look_at: float = 0.0
    sweep_at: float = 0.0
    busy: bool = True


class Sweeper:
    """A candidate for leadership, or a standby; `run` it in a task that somebody owns."""

    def __init__(
        self,
        store: Store,
        holder: str,
        policy: Policy,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        standby: bool = False,
        on_event: Callable[[Event, Mapping[str, Any]], None] | None = None,
    ) -> None:
        """Make one.

        Args:
            store: The namespace to look after.
            holder: An id of its own, `coordinator.…` or `worker.…`.
            policy: Times.
            clock: Seconds that never run backwards, such as time.monotonic.
            rng: Chance, so that many of them do not ask at once.
            standby: Whether to lead only while no coordinator does.
            on_event: Told each event with its values; must be quick and must not raise.

        """
        self.holder = holder
        self.figures = Figures()
        self._store = store
        self._policy = policy
        self._clock = clock
        self._rng = rng
        self._standby = standby
        self._on_event = on_event
        self._tenure = Tenure(store, LEASE, holder, policy.lease_ms, clock)
        self._pulse = Pulse(clock, policy.rescue.dead_after_ms / 2000)
        self._elected = asyncio.Event()
        self._pools: dict[str, _Pool] = {}
        self._pools_at = 0.0
        self._sealed: Term | None = None
        self._tries = 0

    async def run(self) -> None:
        """Lead whenever it is this one's turn, until cancelled; then give the lease back."""
        try:
            if self._standby:
                await self._stand_by()
            else:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._hold(), name="hold the lease")
                    tasks.create_task(self._lead(), name="sweep while leading")
        finally:
            held = self._tenure.term is not None
            self._follow("")
            if held:
                with contextlib.suppress(TimeoutError, FabricError):
                    await self._tenure.give_up()

    # -- the lease -----------------------------------------------------------------------------------------

    async def _hold(self) -> None:
        while True:
            await self._pulse.nap(await self._ask_to_lead())

    async def _ask_to_lead(self) -> float:
        """Take or renew the lease; return the seconds until it is to be asked for again."""
        renew_s = self._policy.renew_ms / 1000
        sent = self._clock()
        try:
            lease = await self._tenure.renew()
        except (TimeoutError, FabricError) as error:
            self._cut(error)
            if self._tenure.term is None:
                self._follow("")
            return self._rng.uniform(0.2, 1.0) * renew_s
        self._answered(sent)
        self.figures.holder = lease.holder
        if lease.word is Word.OK:
            if lease.epoch != self.figures.epoch or not self.figures.leading:
                self._begin(lease.epoch)
            return renew_s
        self._follow(lease.holder)
        return min(renew_s, lease.left_ms / 1000 + self._rng.uniform(0.002, 0.02))

    def _begin(self, epoch: int) -> None:
        self.figures.leading, self.figures.epoch = True, epoch
        self.figures.terms += 1
        self._pools.clear()
        self._pools_at = 0.0
        self._elected.set()
        if not self._standby:
            self._tell(Event.LEADING, epoch=epoch)

    def _follow(self, holder: str) -> None:
        self._elected.clear()
        if self.figures.leading:
            self.figures.leading = False
            if not self._standby:
                self._tell(Event.FOLLOWING, holder=holder)

    async def _resign(self) -> None:
        """Give up a term whose epoch a pool refuses; the next one has a higher epoch."""
        self._follow("")
        with contextlib.suppress(TimeoutError, FabricError):
            await self._tenure.give_up()

    async def _lead(self) -> None:
        sweep_s = self._policy.sweep_ms / 1000
        while True:
            await self._elected.wait()
            if (term := self._tenure.term) is not None:
                await self._round(term)
            await self._pulse.nap(sweep_s * self._rng.uniform(0.9, 1.1))

    # -- standing by ---------------------------------------------------------------------------------------

    async def _stand_by(self) -> None:
        pause_s = max(self._policy.lease_ms, 3 * self._policy.renew_ms) / 1000
        seen: tuple[str, ...] = ()
        since = self._clock()
        while True:
            await self._pulse.nap(pause_s * self._rng.uniform(0.9, 1.5))
            now = await self._try(None, self._read_lease())
            if now is None:
                since = self._clock()
                continue
            self.figures.holder = now[0]
            waited_ms = (self._clock() - since) * 1000
            if now != seen:
                seen, since = now, self._clock()
                carries_on = now[0] == self.holder
            else:
                carries_on = waited_ms >= self._policy.standby_after_ms
            if carries_on and await self._stand_in():
                seen, since = (), self._clock()

    async def _read_lease(self) -> tuple[str, ...]:
        """Return the lease as it lies there: unchanged for long means that nobody renews it."""
        key = self._store.fleet.lease(LEASE)
        raw = await self._store.link.run("HMGET", key, "holder", "epoch", "until")
        return tuple((part or b"").decode() for part in raw)

    async def _stand_in(self) -> bool:
        """Make one round as leader, and give the lease back; return whether it was to be had."""
        await self._ask_to_lead()
        if (term := self._tenure.term) is None:
            return False
        try:
            await self._round(term)
        finally:
            await self._resign()
        return True

    # -- a round -------------------------------------------------------------------------------------------

    async def _round(self, term: Term) -> None:
        self.figures.rounds += 1
        await self._know_pools(term)
        if self._sealed is not term and not await self._seal(term):
            return
        now = self._clock()
        await self._look(term, [name for name, pool in self._pools.items() if pool.look_at <= now])
        await self._rescue(term)
        due = [name for name, pool in self._pools.items() if pool.sweep_at <= self._clock()]
        await self._each(due, lambda name: self._sweep(term, name))

    async def _know_pools(self, term: Term) -> None:
        if self._clock() < self._pools_at or not self._surely(term):
            return
        names = await self._try(None, self._store.pools())
        if names is None:
            return
        self._pools_at = self._clock() + self._policy.rescue.dead_after_ms / 1000
        for name in self._pools.keys() - set(names):
            del self._pools[name]
        for name in names:
            self._pools.setdefault(name, _Pool())

    async def _seal(self, term: Term) -> bool:
        words: list[Word | None] = []

        async def seal(name: str) -> None:
            words.append(await self._try(name, self._store.seal(name, term.epoch)))

        await self._each(self._pools, seal)
        if Word.STALE in words:
            await self._resign()
            return False
        if not self._surely(term) or not self._pools_at:
            return False
        # A pool that did not answer learns the epoch from the first move on it.
        self._sealed = term
        return True

    async def _look(self, term: Term, names: Iterable[str]) -> None:
        async def look(name: str) -> None:
            status = await self._try(name, self._store.status(name)) if self._surely(term) else None
            if status is not None and (pool := self._pools.get(name)):
                self._book(pool, status)

        await self._each(names, look)

    def _book(self, pool: _Pool, status: PoolStatus) -> None:
        beats = dict.fromkeys(status.members, 0) | dict(status.alive)
        pool.view = rescue.View(now_ms=status.now_ms, up_ms=self._pulse.up_ms, beats=beats)
        pool.seen = self._clock()
        pool.busy = bool(status.running or status.delayed or any(status.waiting.values()))

    async def _rescue(self, term: Term) -> None:
        decision = self._decide()
        if not decision.actions:
            return
        # Before anybody is called dead, everybody is looked at anew: a worker may have been heard elsewhere.
        stale = self._clock() - self._policy.sweep_ms / 1000
        await self._look(term, [name for name, pool in self._pools.items() if pool.seen < stale])
        decision = self._decide()
        if decision.doubt:
            self._tell(Event.DOUBT)
        kept: set[tuple[str, str]] = set()
        for action in decision.actions:
            place = (action.capability, action.worker)
            match action:
                case rescue.Reclaim() if not await self._reclaim(term, *place):
                    kept.add(place)
                case rescue.Retire() if place not in kept:
                    await self._retire(term, *place)
                case _:
                    pass

    def _decide(self) -> rescue.Decision:
        views = {name: pool.view for name, pool in self._pools.items() if pool.view is not None}
        decision = rescue.decide(views, self._policy.rescue)
        for name, wait in decision.next_ms.items():
            pool = self._pools[name]
            pool.look_at = pool.seen + wait / 1000
        return decision

    async def _reclaim(self, term: Term, name: str, worker: str) -> bool:
        """Take back what a suspect holds; return whether nothing is left."""
        policy = self._policy.rescue
        while self._surely(term):
            got = await self._try(
                name,
                self._store.reclaim(
                    name, term.epoch, worker, confirmed=False,
                    dead_after_ms=policy.dead_after_ms, patience_ms=policy.patience_ms,
                ),
            )  # fmt: skip
            if got is None:
                return False
            if got.word is Word.STALE:
                await self._resign()
                return False
            self.figures.moved += got.moved
            self.figures.lost += got.lost
            if got.moved or got.lost:
                told = {"moved": got.moved, "lost": got.lost, "kept": got.kept}
                self._tell(Event.RECLAIMED, capability=name, worker=worker, **told)
            if got.word is not Word.MORE or not got.moved + got.lost:
                return got.word is Word.OK
        return False

    async def _retire(self, term: Term, name: str, worker: str) -> None:
        if not self._surely(term):
            return
        if await self._try(name, self._store.retire(name, worker)) is Word.OK:
            self.figures.retired += 1
            self._tell(Event.RETIRED, capability=name, worker=worker)

    async def _sweep(self, term: Term, name: str) -> None:
        pool = self._pools[name]
        wait_ms = self._policy.sweep_ms if pool.busy else max(self._policy.sweep_ms, _IDLE_SWEEP_MS)
        pool.sweep_at = self._clock() + wait_ms / 1000
        while self._surely(term):
            got = await self._try(name, self._store.sweep(name, term.epoch))
            if got is None:
                return
            if got.word is Word.STALE:
                await self._resign()
                return
            self.figures.expired += got.expired
            self.figures.unserved += got.unserved
            if got.expired or got.unserved:
                self._tell(Event.EXPIRED, capability=name, expired=got.expired, unserved=got.unserved)
            if got.word is not Word.MORE:
                return

    # -- asking --------------------------------------------------------------------------------------------

    def _surely(self, term: Term) -> bool:
        return self._tenure.term is term

    async def _each(self, names: Iterable[str], act: Callable[[str], Awaitable[None]]) -> None:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> None:
            async with gate:
                await act(name)

        async with asyncio.TaskGroup() as tasks:
            for name in list(names):
                tasks.create_task(one(name))

    async def _try(self, capability: str | None, asked: Awaitable[_T]) -> _T | None:
        """Return an answer, or None where there was none; every move asked here may be repeated."""
        sent = self._clock()
        try:
            async with asyncio.timeout(_PATIENT_S):
                answer = await asked
        except (TimeoutError, FabricError) as error:
            self._cut(error)
            return None
        except ResponseError as error:
            self.figures.faults += 1
            self._tell(Event.FAULT, capability=capability, error=str(error))
            return None
        self._answered(sent)
        return answer

    def _answered(self, sent: float) -> None:
        if not self._pulse.up:
            self._tell(Event.BACK)
        self._pulse.answered(sent)

    def _cut(self, error: Exception) -> None:
        if self._pulse.up:
            self.figures.cuts += 1
            self._tell(Event.CUT, error=str(error) or type(error).__name__)
        self._pulse.broken()

    def _tell(self, event: Event, **values: Any) -> None:
        if self._on_event is not None:
            self._on_event(event, values)
