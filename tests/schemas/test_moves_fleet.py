"""The fleet's moves: pools and workers, leaders, and what becomes of a dead worker's deliveries."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import realredis
from mcpweft_schemas.life import Class, State
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.store import BATCH
from mcpweft_schemas.wire import PICKY, READS
from mcpweft_schemas.word import Word
from waiting import until

if TYPE_CHECKING:
    from altered import Clock
    from mcpweft_schemas.store import Reclaimed, Store
    from mcpweft_schemas.wire import Delivery
    from pool import Pool

pytestmark = realredis.every_store

DEAD_AFTER, PATIENCE = 1000, 10_000


async def _reclaim(pool: Pool, worker: str = "w1", *, confirmed: bool = False, epoch: int = 1) -> Reclaimed:
    return await pool.store.reclaim(
        "echo", epoch, worker, confirmed=confirmed, dead_after_ms=DEAD_AFTER, patience_ms=PATIENCE
    )


async def _delivered(pool: Pool, worker: str = "w1", **fields: object) -> Delivery:
    await pool.accept(**fields)
    return await pool.take(await pool.join(worker))


# -- pools -------------------------------------------------------------------------------------------------


async def test_a_pool_is_declared_once_and_changes_its_settings_freely(store: Store) -> None:
    first = await store.declare("new", "one", {"bound": 5})
    assert (first, await store.declare("new", "two", {"bound": 7})) == ("one", "one")
    status = await store.status("new")
    assert status is not None
    assert status.settings == {"inc": "one", "bound": "7"}
    assert await store.pools() == ("new",)


async def test_a_pool_without_workers_lists_its_tools(pool: Pool) -> None:
    worker = await pool.join(search=True)
    assert await pool.store.retire("echo", worker.worker) == Word.OK
    assert await pool.store.tools("echo") == {"alpha/echo": b"{}", "alpha/search": b"{}"}


async def test_registering_replaces_the_tools_of_its_own_server_only(pool: Pool) -> None:
    await pool.join("w1", server="alpha", old=True)
    await pool.join("w2", server="beta", other=True)
    await pool.join("w1", server="alpha", new=True)
    assert set(await pool.store.tools("echo")) == {"alpha/echo", "alpha/new", "beta/echo", "beta/other"}
    assert set((await pool.shot()).hashes["safe"]) == set(await pool.store.tools("echo"))


async def test_a_worker_that_knows_no_tools_yet_leaves_those_of_its_server_as_they_are(pool: Pool) -> None:
    await pool.join("w1", server="alpha", search=True)
    before = await pool.shot()
    worker = await pool.join("w2", server="beta")
    assert await pool.store.register("echo", replace(worker, worker="w3", server="alpha"), b"", [])
    after = await pool.shot()
    assert {name for name in after.hashes["safe"] if name.startswith("alpha/")} == set(before.hashes["safe"])


async def test_nobody_joins_a_pool_that_was_never_declared(store: Store, pool: Pool) -> None:
    worker = await pool.join()
    assert await store.register("nowhere", worker, b"", []) is None
    assert await store.status("nowhere") is None


async def test_status_counts_what_waits_runs_is_delayed_and_is_dead(pool: Pool) -> None:
    await pool.accept(max_attempts=1)
    worker = await pool.join()
    await pool.settle(await pool.take(worker), "retry")
    await pool.accept()
    await pool.take(worker)
    for klass in (Class.HIGH, Class.LOW):
        await pool.accept(klass=klass)
    await pool.accept(delay_ms=9000)
    status = await pool.store.status("echo")
    assert status is not None
    assert {k: n for k, n in status.waiting.items() if n} == {Class.HIGH: 1, Class.LOW: 1}
    assert (status.running, status.delayed, status.dead) == (1, 1, 1)
    assert (status.members, status.load) == ({"w1": b"info"}, {"w1": b"load"})
    assert status.alive["w1"] <= status.now_ms < status.usable["w1"]
    assert status.stat["accepted"] == "5"


# -- beat and retire ---------------------------------------------------------------------------------------


async def test_a_beat_says_that_a_worker_is_usable_or_is_not(clock: Clock, pool: Pool) -> None:
    worker = await pool.join()
    await clock.forward(500)
    assert (await pool.store.beat("echo", worker, 300, b"busy")).word == Word.OK
    shot = await pool.shot()
    assert (shot.zsets["alive"], shot.zsets["usable"]) == ({"w1": clock.ms}, {"w1": clock.ms + 300})
    await pool.store.beat("echo", worker, 0, b"open")
    shot = await pool.shot()
    assert ("usable" in shot.zsets, shot.hashes["load"]) == (False, {"w1": "open"})


async def test_a_beat_by_someone_who_never_registered_is_unknown(pool: Pool) -> None:
    worker = await pool.join()
    await pool.store.retire("echo", "w1")
    assert (await pool.store.beat("echo", worker, 1000, b"")).word == Word.UNKNOWN


async def test_a_worker_that_holds_nothing_is_retired_without_a_trace(pool: Pool) -> None:
    delivery = await _delivered(pool)
    await pool.cancel(delivery.id)
    await pool.settle(delivery)
    for _ in range(2):
        assert await pool.store.retire("echo", "w1") == Word.OK
    shot = await pool.shot()
    assert not any(shot.zsets.get(key) for key in ("alive", "usable"))
    assert not any(shot.hashes.get(key) for key in ("members", "load", "readers"))
    assert "ctl:w1" not in shot.streams


async def test_a_worker_that_still_has_deliveries_is_not_retired_and_loses_none(pool: Pool) -> None:
    delivery = await _delivered(pool)
    assert await pool.store.retire("echo", "w1") == Word.PENDING
    shot = await pool.shot()
    assert shot.streams["q:normal"].pending == {delivery.entry: "w1"}
    assert ("w1" in shot.hashes["members"], shot.zsets.get("usable")) == (True, None)
    assert await pool.settle(delivery) == Word.OK
    assert await pool.store.retire("echo", "w1") == Word.OK


# -- reclaim -----------------------------------------------------------------------------------------------


async def test_a_worker_that_has_beaten_lately_is_alive_and_keeps_everything(
    clock: Clock, pool: Pool
) -> None:
    await _delivered(pool, safe=True)
    await clock.forward(DEAD_AFTER - 1)
    await _reclaim(pool)  # a leader that is new makes its epoch known
    before = await pool.shot()
    assert (await _reclaim(pool)).word == Word.ALIVE
    assert await pool.shot() == before


async def test_a_silent_workers_safe_requests_move_to_the_others_at_once(clock: Clock, pool: Pool) -> None:
    delivery = await _delivered(pool, safe=True)
    await clock.forward(DEAD_AFTER)
    got = await _reclaim(pool)
    assert (got.word, got.moved, got.lost, got.kept) == (Word.OK, 1, 0, 0)
    again = await pool.take(await pool.join("w2"))
    assert (again.id, again.attempt) == (delivery.id, 2)
    assert (await pool.record(delivery.id))["executed"] == Executed.MAYBE
    assert "w1" not in (await pool.shot()).zsets["usable"]


async def test_a_silent_workers_unsafe_requests_stay_leased_until_patience_is_over(
    clock: Clock, pool: Pool
) -> None:
    delivery = await _delivered(pool, safe=False)
    await clock.forward(DEAD_AFTER + PATIENCE - 1)
    got = await _reclaim(pool)
    assert (got.word, got.moved, got.lost, got.kept) == (Word.KEPT, 0, 0, 1)
    assert await pool.state(delivery.id) == State.RUNNING
    await clock.forward(1)
    got = await _reclaim(pool)
    assert (got.word, got.moved, got.lost, got.kept) == (Word.OK, 0, 1, 0)
    assert await pool.ended_as(delivery.id) == (State.DEAD, Code.OUTCOME_UNKNOWN, Executed.MAYBE)


async def test_a_worker_that_was_only_slow_may_still_settle_what_was_kept(clock: Clock, pool: Pool) -> None:
    delivery = await _delivered(pool, safe=False)
    await clock.forward(DEAD_AFTER)
    assert (await _reclaim(pool)).word == Word.KEPT
    assert await pool.settle(delivery) == Word.OK


@pytest.mark.parametrize(("safe", "state"), [(True, State.DELAYED), (False, State.DEAD)])
async def test_a_confirmed_death_needs_neither_silence_nor_patience_nor_epoch(
    pool: Pool, *, safe: bool, state: State
) -> None:
    delivery = await _delivered(pool, safe=safe)
    await pool.store.seal("echo", 9)
    got = await _reclaim(pool, confirmed=True, epoch=0)
    assert (got.word, got.moved, got.lost) == (Word.OK, int(safe), int(not safe))
    assert await pool.state(delivery.id) == state
    assert (await pool.outcome(delivery.id)).cause == "WORKER_DIED" if not safe else True


async def test_a_repeated_reclaim_finds_nothing_more(pool: Pool) -> None:
    await _delivered(pool, safe=True)
    await _reclaim(pool, confirmed=True)
    before = await pool.shot()
    got = await _reclaim(pool, confirmed=True)
    assert (got.word, got.moved, got.lost) == (Word.OK, 0, 0)
    assert await pool.shot() == before


async def test_a_leader_that_was_replaced_reclaims_nothing(clock: Clock, pool: Pool) -> None:
    await _delivered(pool, safe=True)
    await pool.store.seal("echo", 5)
    await clock.forward(DEAD_AFTER)
    before = await pool.shot()
    assert (await _reclaim(pool, epoch=4)).word == Word.STALE
    assert await pool.shot() == before
    assert (await _reclaim(pool, epoch=5)).moved == 1


async def test_a_poison_request_that_kills_each_of_its_workers_ends_as_a_dead_letter(pool: Pool) -> None:
    request = await pool.accept(safe=True, max_attempts=3)
    for n in range(3):
        worker = await pool.join(f"w{n}")
        await pool.take(worker)
        got = await _reclaim(pool, worker.worker, confirmed=True)
        assert (got.moved, got.lost) == ((1, 0) if n < 2 else (0, 1))
        assert await pool.store.retire("echo", worker.worker) == Word.OK
    assert await pool.ended_as(request) == (State.DEAD, Code.FAILOVER_EXHAUSTED, Executed.MAYBE)
    log = (await pool.outcome(request)).attempts
    assert [(a.worker, a.cause, a.executed) for a in log] == [
        (f"w{n}", "WORKER_DIED", Executed.MAYBE) for n in range(3)
    ]
    assert [letter.id for letter in await pool.store.dead("echo")] == [request]


@pytest.mark.parametrize(("safe", "end"), [
    (True, (State.CANCELLED, Code.CANCELLED)), (False, (State.DEAD, Code.OUTCOME_UNKNOWN)),
])  # fmt: skip
async def test_a_cancelled_request_of_a_dead_worker_is_not_tried_again(
    pool: Pool, *, safe: bool, end: tuple[State, Code]
) -> None:
    delivery = await _delivered(pool, safe=safe)
    await pool.cancel(delivery.id)
    assert (await _reclaim(pool, confirmed=True)).lost == 1
    assert await pool.ended_as(delivery.id) == (*end, Executed.MAYBE)


async def test_a_dead_workers_request_past_its_deadline_ends_as_timeout(clock: Clock, pool: Pool) -> None:
    delivery = await _delivered(pool, safe=True, timeout_ms=500)
    await clock.forward(DEAD_AFTER)
    assert (await _reclaim(pool)).lost == 1
    assert await pool.ended_as(delivery.id) == (State.EXPIRED, Code.TIMEOUT, Executed.MAYBE)


async def test_a_reclaim_is_bounded_and_says_that_there_is_more(pool: Pool) -> None:
    worker = await pool.join()
    for _ in range(2):
        await pool.store.enqueue("echo", [pool.submission(safe=True) for _ in range(BATCH - 10)])
        await pool.fetch(worker, BATCH)
    first, second = [await _reclaim(pool, confirmed=True) for _ in range(2)]
    assert (first.word, second.word) == (Word.MORE, Word.OK)
    assert first.moved + second.moved == 2 * (BATCH - 10)


async def test_a_reclaim_that_keeps_everything_does_not_ask_to_be_called_again(
    clock: Clock, pool: Pool
) -> None:
    worker = await pool.join()
    for _ in range(2):
        await pool.store.enqueue("echo", [pool.submission() for _ in range(150)])
        await pool.fetch(worker, 150)
    await clock.forward(DEAD_AFTER)
    got = await _reclaim(pool)
    assert (got.word, got.moved, got.lost) == (Word.KEPT, 0, 0)
    await _reclaim(pool, confirmed=True)
    await _reclaim(pool, confirmed=True)


async def test_a_reclaim_takes_from_one_worker_only(pool: Pool) -> None:
    mine = await _delivered(pool, "w1", safe=True)
    other = await _delivered(pool, "w2", safe=True)
    await _reclaim(pool, "w2", confirmed=True)
    assert [await pool.state(d.id) for d in (mine, other)] == [State.RUNNING, State.DELAYED]


# -- leaders -----------------------------------------------------------------------------------------------


async def test_one_holder_at_a_time_has_a_lease_and_renews_it_with_the_same_epoch(store: Store) -> None:
    first = await store.lease("lead", "one", 60_000)
    again = await store.lease("lead", "one", 60_000)
    other = await store.lease("lead", "two", 60_000)
    assert (first.word, first.epoch, first.holder, first.left_ms) == (Word.OK, 1, "one", 60_000)
    assert again == first
    assert (other.word, other.epoch, other.holder) == (Word.HELD, 1, "one")
    assert 0 < other.left_ms <= 60_000


async def test_a_lease_that_was_given_up_goes_to_the_next_with_a_higher_epoch(store: Store) -> None:
    await store.lease("lead", "one", 60_000)
    await store.lease("lead", "two", 0)  # giving up what another holds changes nothing
    assert (await store.lease("lead", "two", 60_000)).word == Word.HELD
    for _ in range(2):
        await store.lease("lead", "one", 0)
    assert (await store.lease("lead", "two", 60_000)).epoch == 2


async def test_a_lease_that_ran_out_is_taken_with_a_higher_epoch_even_by_its_holder(store: Store) -> None:
    await store.lease("lead", "one", 1)

    async def higher() -> bool:
        return (await store.lease("lead", "one", 1)).epoch > 1

    await until(higher)


async def test_leases_of_two_names_do_not_meet(store: Store) -> None:
    await store.lease("lead", "one", 60_000)
    assert (await store.lease("server.memory", "two", 60_000)).word == Word.OK


async def test_a_sealed_pool_refuses_every_lower_epoch(store: Store, pool: Pool) -> None:
    assert await store.seal("echo", 3) == Word.OK
    assert await store.seal("echo", 3) == Word.OK
    before = await pool.shot()
    assert await store.seal("echo", 2) == Word.STALE
    assert (await store.sweep("echo", 2)).word == Word.STALE
    assert (await _reclaim(pool, epoch=2)).word == Word.STALE
    assert await pool.shot() == before
    assert await store.seal("nowhere", 1) == Word.UNKNOWN
    assert (await store.sweep("nowhere", 1)).word == Word.UNKNOWN


# -- sweep -------------------------------------------------------------------------------------------------


async def test_picky_requests_are_told_after_a_second_without_a_usable_worker(
    clock: Clock, pool: Pool
) -> None:
    worker = await pool.join()
    picky = await pool.accept(flags=PICKY)
    patient = await pool.accept()
    await pool.store.beat("echo", worker, 0, b"")
    assert (await pool.store.sweep("echo", 1)).unserved == 0
    await clock.forward(999)
    assert (await pool.store.sweep("echo", 1)).unserved == 0
    await clock.forward(1)
    assert (await pool.store.sweep("echo", 1)).unserved == 1
    assert await pool.ended_as(picky) == (State.EXPIRED, Code.NO_SERVERS_AVAILABLE, Executed.NO)
    assert await pool.state(patient) == State.QUEUED


async def test_a_worker_that_comes_back_in_time_saves_the_picky(clock: Clock, pool: Pool) -> None:
    worker = await pool.join()
    picky = await pool.accept(flags=PICKY)
    for _ in range(3):
        await pool.store.beat("echo", worker, 0, b"")
        await pool.store.sweep("echo", 1)
        await clock.forward(900)
        await pool.store.beat("echo", worker, 100, b"")
        await pool.store.sweep("echo", 1)
        await clock.forward(100)
    assert await pool.state(picky) == State.QUEUED


async def test_a_second_without_servers_starts_anew_for_later_requests(clock: Clock, pool: Pool) -> None:
    worker = await pool.join()
    first = await pool.accept(flags=PICKY)
    await pool.store.beat("echo", worker, 0, b"")
    await pool.store.sweep("echo", 1)
    await pool.cancel(first)
    await clock.forward(5000)
    await pool.store.sweep("echo", 1)
    await pool.store.beat("echo", worker, 1, b"")
    second = await pool.accept(flags=PICKY)
    await clock.forward(1)
    assert (await pool.store.sweep("echo", 1)).unserved == 0
    assert await pool.state(second) == State.QUEUED


async def test_a_picky_request_that_was_started_is_no_longer_picky(clock: Clock, pool: Pool) -> None:
    worker = await pool.join()
    request = await pool.accept(flags=PICKY)
    delivery = await pool.take(worker)
    await pool.store.beat("echo", worker, 0, b"")
    await pool.store.sweep("echo", 1)
    await clock.forward(1000)
    assert (await pool.store.sweep("echo", 1)).unserved == 0
    assert await pool.settle(delivery) == Word.OK
    assert await pool.state(request) == State.DONE


async def test_a_sweep_rings_for_work_that_nobody_has_and_only_for_that(pool: Pool) -> None:
    async def rings() -> bool:
        await pool.store.link.run("DEL", pool.store.keys("echo").bell)
        await pool.store.sweep("echo", 1)
        return "bell" in (await pool.shot()).zsets

    assert not await rings()
    await pool.accept()
    assert await rings()
    delivery = await pool.take(await pool.join())
    assert not await rings()
    await pool.settle(delivery, "retry")
    assert await rings()


async def test_a_sweep_forgets_dead_letters_that_are_too_old(clock: Clock, pool: Pool) -> None:
    await pool.declare(dead_keep=100_000)
    request = await pool.accept(max_attempts=1)
    await pool.settle(await pool.take(await pool.join()), "retry")
    await clock.forward(99_999)
    assert (await pool.store.sweep("echo", 1)).forgotten == 0
    await clock.forward(1)
    assert (await pool.store.sweep("echo", 1)).forgotten == 1
    assert await pool.store.dead("echo") == ()
    assert (await pool.shot()).hashes["stat"]["dead_forgotten"] == "1"
    assert await pool.state(request) == State.DEAD


# -- a wiped store -----------------------------------------------------------------------------------------


async def _wipe(pool: Pool) -> None:
    """Do to this namespace's pool what FLUSHALL does to a store."""
    prefix = pool.store.keys("echo").prefix
    shot = await pool.shot()
    for name in (*shot.hashes, *shot.zsets, *shot.streams, *shot.strings):
        await pool.store.link.run("DEL", prefix + name)


async def test_after_a_wipe_everybody_is_told_and_joins_anew(pool: Pool) -> None:
    delivery = await _delivered(pool)
    old = pool.workers["w1"]
    await _wipe(pool)
    store = pool.store
    assert (await pool.enqueue()).word == Word.UNKNOWN
    assert (await store.fetch("echo", old, 1, READS)).word == Word.WIPED
    assert (await store.adopt("echo", old, [])).word == Word.WIPED
    assert (await store.beat("echo", old, 1000, b"")).word == Word.WIPED
    assert await store.register("echo", old, b"", []) is None
    assert await pool.settle(delivery) == Word.LOST
    assert await pool.cancel(delivery.id) == Word.UNKNOWN
    assert await store.seal("echo", 1) == Word.UNKNOWN
    assert (await _reclaim(pool)).word == Word.UNKNOWN
    shot = await pool.shot()
    assert [shot.hashes, shot.zsets, shot.streams] == [{}, {}, {}]
    incarnation, standings = await store.lookup("echo", [delivery.id])
    assert (incarnation, standings[delivery.id].word) == ("", Word.UNKNOWN)


async def test_a_worker_of_an_earlier_incarnation_takes_nothing_from_the_new_one(pool: Pool) -> None:
    old = await pool.join()
    await _wipe(pool)
    await pool.declare()
    new = await pool.join()
    request = await pool.accept()
    before = await pool.shot()
    assert (await pool.store.fetch("echo", old, 1, READS)).word == Word.WIPED
    assert (await pool.store.adopt("echo", replace(old, epoch=9), [])).word == Word.WIPED
    assert (await pool.store.beat("echo", old, 1000, b"")).word == Word.WIPED
    assert await pool.shot() == before
    assert (await pool.take(new)).id == request
