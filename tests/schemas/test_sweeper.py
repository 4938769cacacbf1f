"""The sweeper on a real store: one leads, the next follows at once, the dead are relieved, nobody else is."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from beside import beside
from mcpweft_schemas import rescue
from mcpweft_schemas.connect import Link
from mcpweft_schemas.errors import FabricError
from mcpweft_schemas.life import State
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.script import script
from mcpweft_schemas.store import Store
from mcpweft_schemas.sweeper import Event, Policy, Sweeper
from mcpweft_schemas.tenure import Tenure
from mcpweft_schemas.word import Word
from pool import Pool
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from mcpweft_schemas.store import Reader
    from realredis import RedisServer

QUICK = Policy(
    rescue=rescue.Policy(dead_after_ms=500, patience_ms=700, reconnect_ms=200), standby_after_ms=1000
)


@dataclass
class Party:
    """A sweeper that runs, on a link of its own, and what it told."""

    sweeper: Sweeper
    store: Store
    task: asyncio.Task[None]
    events: list[tuple[Event, Mapping[str, Any]]] = field(
        default_factory=list[tuple[Event, "Mapping[str, Any]"]]
    )

    def told(self, event: Event) -> list[Mapping[str, Any]]:
        return [values for which, values in self.events if which is event]

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        await self.store.link.close()


class Parties:
    """Starts sweepers on one namespace, and ends them."""

    def __init__(self, url: str, namespace: str) -> None:
        self.url, self.namespace = url, namespace
        self.all: list[Party] = []

    def start(self, holder: str, policy: Policy = QUICK, *, standby: bool = False) -> Party:
        store = Store(Link.to(self.url), self.namespace)
        events: list[tuple[Event, Mapping[str, Any]]] = []
        sweeper = Sweeper(
            store, holder, policy, clock=time.monotonic, rng=random.Random(holder), standby=standby,
            on_event=lambda event, values: events.append((event, values)),
        )  # fmt: skip
        party = Party(sweeper, store, asyncio.create_task(sweeper.run()), events)
        self.all.append(party)
        return party

    async def leader(self, holder: str = "coordinator.a", policy: Policy = QUICK) -> Party:
        party = self.start(holder, policy)
        await until(lambda: party.sweeper.figures.leading and party.sweeper.figures.rounds)
        return party


@pytest.fixture
async def parties(store_url: str, namespace: str) -> AsyncIterator[Parties]:
    made = Parties(store_url, namespace)
    yield made
    for party in made.all:
        await party.stop()


@contextlib.asynccontextmanager
async def beating(pool: Pool, reader: Reader, every: float = 0.1) -> AsyncGenerator[None]:
    async def beat() -> None:
        while True:
            with contextlib.suppress(FabricError):
                await pool.store.beat(pool.capability, reader, 60_000, b"load")
            await asyncio.sleep(every)

    async with beside(beat()):
        yield


async def epoch_of(pool: Pool) -> int:
    status = await pool.store.status(pool.capability)
    assert status is not None
    return int(status.settings.get("epoch", 0))


# -- leading -----------------------------------------------------------------------------------------------


async def test_one_of_three_leads_and_has_sealed_every_pool(pool: Pool, parties: Parties) -> None:
    all_three = [parties.start(f"coordinator.{name}") for name in "abc"]
    await until(lambda: any(party.sweeper.figures.rounds > 2 for party in all_three))
    await until(lambda: all(party.sweeper.figures.holder for party in all_three))
    (leader,) = [party for party in all_three if party.sweeper.figures.leading]
    assert {party.sweeper.figures.holder for party in all_three} == {leader.sweeper.holder}
    assert await epoch_of(pool) == leader.sweeper.figures.epoch


async def test_a_leader_that_stops_in_order_is_followed_at_its_followers_next_question(
    pool: Pool, parties: Parties
) -> None:
    first = await parties.leader("coordinator.a")
    second = parties.start("coordinator.b")
    await until(lambda: second.sweeper.figures.holder == "coordinator.a")
    began = time.monotonic()
    await first.stop()
    await until(lambda: second.sweeper.figures.leading)
    assert time.monotonic() - began < 0.5
    assert second.sweeper.figures.epoch > first.sweeper.figures.epoch


async def test_an_older_leaders_moves_are_refused_once_the_next_has_sealed(
    pool: Pool, parties: Parties
) -> None:
    first = await parties.leader("coordinator.a")
    old = first.sweeper.figures.epoch
    await first.stop()
    second = await parties.leader("coordinator.b")
    await until(lambda: second.sweeper.figures.rounds > 1)
    assert (await pool.store.sweep(pool.capability, old)).word is Word.STALE
    got = await pool.store.reclaim(pool.capability, old, "w1", confirmed=False, dead_after_ms=1)
    assert got.word is Word.STALE


async def test_where_a_pool_has_seen_a_higher_epoch_than_the_leases_the_leader_climbs_above_it(
    pool: Pool, parties: Parties
) -> None:
    await pool.store.seal(pool.capability, 40)  # as if the lease's node had lost its history
    leader = parties.start("coordinator.a")
    await until(lambda: leader.sweeper.figures.leading and leader.sweeper.figures.epoch == 41)
    await until(lambda: _epoch_is(pool, 41))


async def _epoch_is(pool: Pool, epoch: int) -> bool:
    return await epoch_of(pool) == epoch


async def test_a_term_is_not_sure_before_the_lease_ends(store: Store) -> None:
    now = 100.0
    tenure = Tenure(store, "lead", "coordinator.a", 1000, lambda: now)
    await tenure.renew()
    assert tenure.term is not None
    now += 0.89
    assert tenure.term is not None
    now += 0.02  # the store still has the lease for 90 ms
    assert tenure.term is None


async def test_a_spoilt_pool_does_not_keep_others_from_being_swept(pool: Pool, parties: Parties) -> None:
    spoilt = await Pool.make(pool.store, "spoilt")
    await pool.store.link.run("SET", pool.store.keys("spoilt").prefix + "expiry", "x")
    leader = await parties.leader()
    request_id = await pool.accept(timeout_ms=50)
    await until(lambda: leader.told(Event.FAULT))
    await until(lambda: _is(pool, request_id, State.EXPIRED))
    await pool.store.link.run("DEL", pool.store.keys(spoilt.capability).prefix + "expiry")


async def _is(pool: Pool, request_id: str, state: State) -> bool:
    return await pool.state(request_id) is state


# -- time --------------------------------------------------------------------------------------------------


async def test_a_request_that_nobody_fetches_ends_by_its_time(pool: Pool, parties: Parties) -> None:
    await parties.leader()
    request_id = await pool.accept(timeout_ms=100)
    await until(lambda: _is(pool, request_id, State.EXPIRED))
    assert await pool.ended_as(request_id) == (State.EXPIRED, Code.TIMEOUT, Executed.NO)


async def test_an_idle_fleet_of_four_pools_costs_under_forty_commands_a_second(
    pool: Pool, parties: Parties
) -> None:
    for name in ("one", "two", "three"):
        await Pool.make(pool.store, name)
    leader = await parties.leader(policy=Policy())
    asked: Counter[str] = Counter()
    run = leader.store.link.run
    names = {
        str((script(name).sha,)): name for name in ("lease", "status", "sweep", "seal", "reclaim", "retire")
    }

    async def counted(*command: Any) -> Any:
        asked[names.get(str(command[1:2]), str(command[0]))] += 1
        return await run(*command)

    leader.store.link.run = counted  # type: ignore[method-assign]  # this link is the test's own
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 3)
    assert sum(asked.values()) / (time.monotonic() - began) < 40, asked


# -- the dead ----------------------------------------------------------------------------------------------


async def test_a_silent_workers_safe_request_is_moved_at_dead_after_and_another_takes_it(
    pool: Pool, parties: Parties
) -> None:
    leader = await parties.leader()
    await until(lambda: leader.sweeper._pulse.up_ms > QUICK.rescue.settled_ms)
    w1 = await pool.join("w1")
    w2 = await pool.join("w2", server="beta")
    request_id = await pool.accept(safe=True)
    async with beating(pool, w2):
        await pool.take(w1)
        await pool.store.beat(pool.capability, w1, 60_000, b"")
        died = time.monotonic()
        await until(lambda: _is(pool, request_id, State.DELAYED))
        took = time.monotonic() - died
        assert 0.45 <= took < 1.0, took
        again = await pool.take(w2)
    assert again.id == request_id
    assert leader.sweeper.figures.moved == 1
    assert leader.told(Event.RECLAIMED)[0]["worker"] == "w1"


async def test_a_leader_goes_by_other_times_from_its_next_round_on(pool: Pool, parties: Parties) -> None:
    leader = await parties.leader()
    patient = replace(QUICK, rescue=replace(QUICK.rescue, dead_after_ms=2500), lease_ms=2 * QUICK.lease_ms)
    leader.sweeper.apply(patient)
    await until(lambda: leader.sweeper._pulse.up_ms > patient.rescue.settled_ms)
    w1 = await pool.join("w1")
    w2 = await pool.join("w2", server="beta")
    request_id = await pool.accept(safe=True)
    async with beating(pool, w2):
        await pool.take(w1)
        await pool.store.beat(pool.capability, w1, 60_000, b"")
        died = time.monotonic()
        await until(lambda: _is(pool, request_id, State.DELAYED))
        assert time.monotonic() - died >= 2.4
    left_ms = (await pool.store.lease("lead", "somebody", 1000)).left_ms
    assert QUICK.lease_ms < left_ms <= patient.lease_ms


async def test_an_unsafe_request_stays_leased_until_patience_is_over_and_ends_as_unknown(
    pool: Pool, parties: Parties
) -> None:
    leader = await parties.leader()
    await until(lambda: leader.sweeper._pulse.up_ms > QUICK.rescue.settled_ms)
    w1 = await pool.join("w1")
    request_id = await pool.accept(safe=False)
    await pool.take(w1)
    await pool.store.beat(pool.capability, w1, 60_000, b"")
    died = time.monotonic()
    await until(lambda: _is(pool, request_id, State.DEAD))
    assert time.monotonic() - died >= 1.1  # dead_after and patience
    assert await pool.ended_as(request_id) == (State.DEAD, Code.OUTCOME_UNKNOWN, Executed.MAYBE)
    await until(lambda: leader.told(Event.RETIRED))
    status = await pool.store.status(pool.capability)
    assert status is not None
    assert not status.members
    assert leader.sweeper.figures.lost == 1


async def test_a_worker_that_beats_is_never_relieved(pool: Pool, parties: Parties) -> None:
    leader = await parties.leader()
    w1 = await pool.join("w1")
    request_id = await pool.accept(safe=True)
    async with beating(pool, w1):
        await pool.take(w1)
        await until(lambda: leader.sweeper._pulse.up_ms > 2 * QUICK.rescue.settled_ms)
    assert await pool.state(request_id) is State.RUNNING
    assert not leader.told(Event.RECLAIMED)


async def test_when_most_of_a_fleet_is_silent_at_once_it_is_given_one_period_more(
    pool: Pool, parties: Parties
) -> None:
    leader = await parties.leader()
    await until(lambda: leader.sweeper._pulse.up_ms > QUICK.rescue.settled_ms)
    readers = [await pool.join(f"w{number}") for number in range(4)]
    request_id = await pool.accept(safe=True)
    await pool.take(readers[0])
    silent = time.monotonic()
    for reader in readers:
        await pool.store.beat(pool.capability, reader, 60_000, b"")
    await until(lambda: _is(pool, request_id, State.DELAYED))
    assert time.monotonic() - silent >= 0.95  # twice dead_after
    assert leader.told(Event.DOUBT)


@pytest.mark.slow
async def test_after_the_store_stood_still_nobody_is_called_dead_who_reconnects(
    private_redis: RedisServer, namespace: str
) -> None:
    async with Link.to(private_redis.url) as link:
        pool = await Pool.make(Store(link, namespace), "echo")
        w1 = await pool.join("w1")
        request_id = await pool.accept(safe=True)
        await pool.take(w1)
        parties = Parties(private_redis.url, namespace)
        async with beating(pool, w1):
            leader = await parties.leader()
            await until(lambda: leader.sweeper._pulse.up_ms > QUICK.rescue.settled_ms)
            private_redis.pause()
            try:
                await until(lambda: not leader.sweeper.figures.leading)  # its link is cut: it does nothing
                rounds = leader.sweeper.figures.rounds
                paused = time.monotonic()
                await until(lambda: time.monotonic() - paused > 1)
                assert leader.sweeper.figures.rounds == rounds
            finally:
                private_redis.resume()
            await until(lambda: leader.sweeper.figures.leading)
            await until(lambda: leader.sweeper._pulse.up_ms > 2 * QUICK.rescue.settled_ms)
            assert leader.sweeper.figures.rounds > rounds
        assert await pool.state(request_id) is State.RUNNING
        assert leader.told(Event.CUT)
        assert leader.told(Event.BACK)
        await leader.stop()


# -- standing by -------------------------------------------------------------------------------------------


async def test_with_no_coordinator_a_standby_relieves_the_dead(pool: Pool, parties: Parties) -> None:
    w1 = await pool.join("w1")
    request_id = await pool.accept(safe=True)
    await pool.take(w1)
    standby = parties.start("worker.w2", standby=True)
    began = time.monotonic()
    await until(lambda: _is(pool, request_id, State.DELAYED), within=10)
    assert time.monotonic() - began >= 1.0  # standby_after
    assert standby.sweeper.figures.moved == 1


async def test_a_standby_never_leads_while_a_coordinator_does(pool: Pool, parties: Parties) -> None:
    leader = await parties.leader()
    standby = parties.start("worker.w1", standby=True)
    await until(lambda: standby.sweeper.figures.holder == "coordinator.a")
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 2.5)
    assert standby.sweeper.figures.terms == 0
    assert leader.sweeper.figures.terms == 1


async def test_a_coordinator_that_appears_leads_within_one_ttl_and_the_standby_lets_it(
    pool: Pool, parties: Parties
) -> None:
    standby = parties.start("worker.w1", standby=True)
    await until(lambda: standby.sweeper.figures.terms >= 2, within=10)
    began = time.monotonic()
    leader = await parties.leader()
    assert time.monotonic() - began < 0.75
    terms = standby.sweeper.figures.terms
    await until(lambda: standby.sweeper.figures.holder == "coordinator.a")
    await until(lambda: time.monotonic() - began > 2)
    assert standby.sweeper.figures.terms == terms
    assert leader.sweeper.figures.leading


async def test_of_two_standbys_one_carries_on(pool: Pool, parties: Parties) -> None:
    both = [parties.start(f"worker.w{number}", standby=True) for number in range(2)]
    await until(lambda: sum(party.sweeper.figures.terms for party in both) >= 4, within=15)
    assert min(party.sweeper.figures.terms for party in both) <= 1
