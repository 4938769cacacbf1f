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
earlier leader still sends is accepted there. Then, every `sweep_ms`, as far as a pool is due (`rounds`):

    status → rescue.decide → reclaim (again on MORE) → retire, and sweep (again on MORE)

It acts only while its own term surely lasts (`tenure`). A pool with nothing in it is looked at about once a
second and swept twice, so an idle fleet of a few pools costs some 20 commands a second.

Above stand the coordinator and the worker; below `tenure`, `rounds` and `pulse`. This module must never know
what is done in a round.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcpweft_schemas import rescue
from mcpweft_schemas.errors import FabricError
from mcpweft_schemas.pulse import Pulse
from mcpweft_schemas.rounds import Rounds
from mcpweft_schemas.sweeplog import Event, Figures, SweepLog
from mcpweft_schemas.tenure import Tenure
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping
    from typing import Self

    from mcpweft_schemas.config import Config
    from mcpweft_schemas.store import Store
    from mcpweft_schemas.tenure import Term

__all__ = ["COORDINATOR", "LEASE", "WORKER", "Event", "Figures", "Policy", "Sweeper"]

LEASE = "lead"
"""The lease of leadership."""
COORDINATOR, WORKER = "coordinator.", "worker."
"""What the id of a holder starts with."""


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
        self._store = store
        self._policy = policy
        self._clock = clock
        self._rng = rng
        self._standby = standby
        self._log = SweepLog(on_event)
        self._tenure = Tenure(store, LEASE, holder, policy.lease_ms, clock)
        self._pulse = Pulse(clock, policy.rescue.dead_after_ms / 2000, self._log)
        self._rounds = Rounds(store, self._tenure, self._pulse, self._log, policy.rescue, policy.sweep_ms)
        self._elected = asyncio.Event()

    def apply(self, policy: Policy) -> None:
        """Go by other times, from the next step on."""
        self._policy = policy
        self._tenure.ttl_ms = policy.lease_ms
        self._pulse.slow_s = policy.rescue.dead_after_ms / 2000
        self._rounds.apply(policy.rescue, policy.sweep_ms)

    @property
    def figures(self) -> Figures:
        """What it has done so far, and whether it leads."""
        return self._log.figures

    @property
    def term(self) -> Term | None:
        """The term of leadership that surely lasts at this moment, or None."""
        return None if self._standby else self._tenure.term

    @property
    def connected(self) -> bool:
        """Whether the store answered the last time."""
        return self._pulse.up

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
            if self._tenure.term is not None:
                await self._resign()

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
            self._pulse.broken(error)
            if self._tenure.term is None:
                self._follow("")
            return self._rng.uniform(0.2, 1.0) * renew_s
        self._pulse.answered(sent, written=True)  # by whoever holds it, moments ago
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
        self._elected.set()
        if not self._standby:
            self._log.tell(Event.LEADING, epoch=epoch)

    def _follow(self, holder: str) -> None:
        self._elected.clear()
        if self.figures.leading:
            self.figures.leading = False
            if not self._standby:
                self._log.tell(Event.FOLLOWING, holder=holder)

    async def _resign(self) -> None:
        self._follow("")
        with contextlib.suppress(TimeoutError, FabricError):
            await self._tenure.give_up()

    async def _lead(self) -> None:
        while True:
            sweep_s = self._policy.sweep_ms / 1000
            await self._elected.wait()
            if (term := self._tenure.term) is not None and not await self._rounds.make(term):
                await self._climb(term)
            await self._pulse.nap(sweep_s * self._rng.uniform(0.9, 1.1))

    async def _climb(self, term: Term) -> None:
        """Begin terms until the epoch is above all that the pools have seen.

        A pool refuses the epoch of a lease that is held where the store has lost the lease's own history
        and not the pool's, as one node of a Cluster can.
        """
        highest = await self._rounds.highest_epoch()
        while term.epoch <= highest:
            await self._resign()
            await self._ask_to_lead()
            if (next_term := self._tenure.term) is None or next_term.epoch <= term.epoch:
                return
            term = next_term

    # -- standing by ---------------------------------------------------------------------------------------

    async def _stand_by(self) -> None:
        pause_s = max(self._policy.lease_ms, 3 * self._policy.renew_ms) / 1000
        seen: tuple[str, ...] = ()
        since = self._clock()
        while True:
            await self._pulse.nap(pause_s * self._rng.uniform(0.9, 1.5))
            found = await self._pulse.ask("", self._read_lease())
            if found is None:
                since = self._clock()
                continue
            self.figures.holder = found[0]
            if found == seen:
                turn = (self._clock() - since) * 1000 >= self._policy.standby_after_ms
            else:
                seen, since = found, self._clock()
                turn = found[0] == self.holder
            if turn:
                await self._stand_in()
                seen = ()

    async def _read_lease(self) -> tuple[str, ...]:
        """Return the lease as it lies there: unchanged for long means that nobody renews it."""
        raw = await self._store.link.run("HMGET", self._store.fleet.lease(LEASE), "holder", "epoch", "until")
        return tuple((part or b"").decode() for part in raw)

    async def _stand_in(self) -> None:
        """Make one round as leader, if the lease is to be had, and give it back."""
        await self._ask_to_lead()
        if (term := self._tenure.term) is None:
            return
        try:
            if not await self._rounds.make(term):
                await self._climb(term)
        finally:
            await self._resign()
