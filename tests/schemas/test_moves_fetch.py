"""Fetch and adopt: what a worker gets, in which order, and what a lost answer costs (nothing)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

import realredis
from mcpweft_schemas.life import Class, State
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.wire import READS
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from altered import Clock
    from pool import Pool

pytestmark = realredis.every_store


async def _fill(pool: Pool, each: int) -> None:
    for klass in Class:
        await pool.store.enqueue("echo", [pool.submission(klass=klass) for _ in range(each)])


async def test_a_worker_gets_as_many_as_it_has_slots_and_never_more(pool: Pool) -> None:
    await _fill(pool, 5)
    worker = await pool.join()
    for slots in (1, 7, 100):
        got = await pool.fetch(worker, slots)
        assert len(got) == min(slots, 12 if slots == 100 else slots)
    assert await pool.fetch(worker, 1) == ()


async def test_requests_of_one_class_go_in_the_order_they_came(pool: Pool) -> None:
    sent = [await pool.accept() for _ in range(5)]
    assert [d.id for d in await pool.fetch(await pool.join(), 5)] == sent


@pytest.mark.parametrize("slots", [1, 4, 15])
async def test_under_saturation_the_classes_get_8_4_2_and_1_of_15(pool: Pool, slots: int) -> None:
    await pool.declare(bound=1000)
    await _fill(pool, 40)
    worker = await pool.join()
    got: Counter[Class] = Counter()
    while got.total() < 60:
        got.update(d.klass for d in await pool.fetch(worker, min(slots, 60 - got.total())))
    assert got == {Class.CRITICAL: 32, Class.HIGH: 16, Class.NORMAL: 8, Class.LOW: 4}


async def test_no_class_starves_however_many_workers_share_the_turns(pool: Pool) -> None:
    await pool.declare(bound=1000)
    await _fill(pool, 60)
    workers = [await pool.join(f"w{i}") for i in range(4)]
    got: Counter[Class] = Counter()
    for turn in range(90):
        got.update(d.klass for d in await pool.fetch(workers[turn % 4], 1))
    assert min(got.values()) >= 90 / 15
    assert got[Class.LOW] == 6


async def test_an_empty_class_gives_its_turns_to_the_others(pool: Pool) -> None:
    await pool.store.enqueue("echo", [pool.submission(klass=Class.LOW) for _ in range(20)])
    assert len(await pool.fetch(await pool.join(), 20)) == 20


async def test_a_fetch_that_leaves_work_behind_rings_again_and_one_that_does_not_stays_quiet(
    pool: Pool,
) -> None:
    await pool.accept()
    await pool.accept()
    worker = await pool.join()
    await pool.store.link.run("DEL", pool.store.keys("echo").bell)
    first = await pool.store.fetch("echo", worker, 1, READS)
    assert (first.more, (await pool.shot()).zsets.get("bell")) == (True, {"1": 0.0})
    await pool.store.link.run("DEL", pool.store.keys("echo").bell)
    second = await pool.store.fetch("echo", worker, 1, READS)
    assert (second.more, (await pool.shot()).zsets.get("bell")) == (False, None)


async def test_a_fetch_that_leaves_a_due_retry_behind_rings_again(pool: Pool) -> None:
    worker = await pool.join()
    for _ in range(2):
        await pool.accept()
    for delivery in await pool.fetch(worker, 2):
        await pool.settle(delivery, "release")
    await pool.store.link.run("DEL", pool.store.keys("echo").bell)
    fetched = await pool.store.fetch("echo", worker, 1, READS)
    assert (len(fetched.deliveries), fetched.more) == (1, True)
    assert (await pool.shot()).zsets["bell"] == {"1": 0.0}


async def test_a_fetch_by_someone_who_never_registered_is_unknown(pool: Pool) -> None:
    worker = await pool.join()
    await pool.accept()
    await pool.store.retire("echo", worker.worker)
    assert (await pool.store.fetch("echo", worker, 1, READS)).word == Word.UNKNOWN


async def test_large_requests_are_handed_out_a_mebibyte_at_a_time(pool: Pool) -> None:
    for _ in range(5):
        await pool.accept(body=b"x" * 600_000)
    worker = await pool.join()
    sizes = [len(await pool.fetch(worker, 5)) for _ in range(3)]
    assert sum(sizes) == 5
    assert max(sizes) <= 2


# -- is it safe to run twice? ------------------------------------------------------------------------------


@pytest.mark.parametrize(("said", "table", "safe"), [
    (None, False, False), (None, True, True), (True, False, True), (False, True, False),
])  # fmt: skip
async def test_what_the_caller_says_goes_before_the_tool_table(
    pool: Pool, *, said: bool | None, table: bool, safe: bool
) -> None:
    await pool.accept(safe=said)
    assert (await pool.take(await pool.join(echo=table))).safe is safe


async def test_each_server_is_asked_what_it_says_of_its_own_tools(pool: Pool) -> None:
    await pool.accept()
    await pool.accept()
    one, two = await pool.join("w1", server="alpha"), await pool.join("w2", server="beta", echo=True)
    assert [(await pool.take(one)).safe, (await pool.take(two)).safe] == [False, True]


# -- times -------------------------------------------------------------------------------------------------


async def test_a_delayed_request_waits_for_its_time_and_then_joins_its_class(
    clock: Clock, pool: Pool
) -> None:
    request = await pool.accept(delay_ms=1000)
    worker = await pool.join()
    fetched = await pool.store.fetch("echo", worker, 1, READS)
    assert (fetched.deliveries, fetched.next_due_ms) == ((), 1000)
    await clock.forward(999)
    assert await pool.fetch(worker) == ()
    await clock.forward(1)
    delivery = await pool.take(worker)
    assert (delivery.id, delivery.attempt) == (request, 1)
    assert delivery.stream.endswith("q:normal")


async def test_a_delayed_request_that_is_due_waits_its_classes_turn(clock: Clock, pool: Pool) -> None:
    await pool.accept(delay_ms=1000, klass=Class.LOW)
    first = await pool.accept(klass=Class.CRITICAL)
    await clock.forward(1000)
    assert (await pool.take(await pool.join())).id == first


async def test_a_request_past_its_deadline_is_ended_on_the_way_and_not_run(clock: Clock, pool: Pool) -> None:
    late = await pool.accept(timeout_ms=1000)
    await clock.forward(1000)
    good = await pool.accept()
    assert (await pool.take(await pool.join())).id == good
    assert await pool.ended_as(late) == (State.EXPIRED, Code.TIMEOUT, Executed.NO)
    assert (await pool.outcome(late)).cause == "QUEUE_TIMEOUT"


async def test_a_request_that_did_not_start_in_time_is_not_run(clock: Clock, pool: Pool) -> None:
    late = await pool.accept(start_within_ms=500)
    await clock.forward(500)
    assert await pool.fetch(await pool.join()) == ()
    assert (await pool.ended_as(late))[0] == State.EXPIRED


async def test_start_within_no_longer_counts_once_a_worker_took_it(clock: Clock, pool: Pool) -> None:
    request = await pool.accept(start_within_ms=500)
    worker = await pool.join()
    delivery = await pool.take(worker)
    await clock.forward(500)
    assert await pool.expire(request) == Word.RUNNING
    await pool.settle(delivery, "release")
    assert await pool.expire(request) == Word.WAITING
    assert (await pool.take(worker)).id == request


async def test_a_delivery_tells_the_time_that_is_left(clock: Clock, pool: Pool) -> None:
    await pool.accept(timeout_ms=5000)
    await clock.forward(1200)
    assert (await pool.take(await pool.join())).remaining_ms == 3800


# -- versions and unknown fields ---------------------------------------------------------------------------


async def test_a_version_that_a_worker_cannot_read_stays_for_a_newer_one(pool: Pool) -> None:
    future = await pool.accept(version="2", extra=("shape", "new"))
    plain = await pool.accept()
    old = await pool.join("old")
    assert [d.id for d in await pool.fetch(old, 5)] == [plain]
    assert await pool.fetch(old, 5) == ()
    record = await pool.record(future)
    assert (record["state"], record.get("attempt", "0")) == (State.DELAYED, "0")
    new = await pool.join("new")
    (delivery,) = await pool.fetch(new, 5, ("1", "2"))
    assert (delivery.id, delivery.attempt, delivery.fields[b"shape"]) == (future, 1, b"new")


async def test_a_minor_version_is_read_by_every_worker_of_its_major(pool: Pool) -> None:
    request = await pool.accept(version="1.7")
    assert (await pool.take(await pool.join())).id == request


async def test_unknown_fields_are_carried_through_a_retry_and_a_replay(pool: Pool) -> None:
    extra = ("later", "\x00odd\tvalue\n", "encoding", "zstd")
    request = await pool.accept(extra=extra, max_attempts=2, body=b"\x00\xff" * 50)
    worker = await pool.join()
    for _ in range(2):
        delivery = await pool.take(worker)
        assert delivery.fields[b"later"] == extra[1].encode()
        assert delivery.body == b"\x00\xff" * 50
        await pool.settle(delivery, "retry")
    await pool.store.replay("echo", request, "echo~again", timeout_ms=1000, keep_ms=1000)
    again = await pool.take(worker)
    assert (again.id, again.fields[b"later"], again.fields[b"encoding"]) == (
        "echo~again", extra[1].encode(), b"zstd",
    )  # fmt: skip
    await pool.settle(again)


# -- adopt -------------------------------------------------------------------------------------------------


async def test_a_fetch_whose_answer_was_lost_is_recovered_by_adopt(clock: Clock, pool: Pool) -> None:
    sent = [await pool.accept() for _ in range(3)]
    worker = await pool.join()
    fetched = await pool.fetch(worker, 3)
    newer = await pool.newer(worker)
    adopted = await pool.store.adopt("echo", newer, [])
    assert adopted.word == Word.OK
    assert adopted.deliveries == fetched
    assert [d.id for d in adopted.deliveries] == sent
    assert {d.attempt for d in adopted.deliveries} == {1}


async def test_adopt_leaves_out_what_the_worker_holds(clock: Clock, pool: Pool) -> None:
    for _ in range(3):
        await pool.accept()
    worker = await pool.join()
    held, *lost = await pool.fetch(worker, 3)
    adopted = await pool.store.adopt("echo", await pool.newer(worker), [f"{held.stream} {held.entry}"])
    assert list(adopted.deliveries) == lost


async def test_adopt_returns_what_is_in_every_stream(pool: Pool) -> None:
    await _fill(pool, 1)
    worker = await pool.join()
    released = (await pool.fetch(worker, 4))[0]
    await pool.settle(released, "release")
    due = await pool.take(worker)
    assert due.stream.endswith("q:due")
    adopted = await pool.store.adopt("echo", await pool.newer(worker), [])
    assert {d.stream.rpartition(":")[2] for d in adopted.deliveries} == {"high", "normal", "low", "due"}


async def test_a_fetch_that_arrives_after_adopt_is_stale_and_takes_nothing(pool: Pool) -> None:
    await pool.accept()
    worker = await pool.join()
    await pool.store.adopt("echo", await pool.newer(worker), [])
    before = await pool.shot()
    assert (await pool.store.fetch("echo", worker, 1, READS)).word == Word.STALE
    assert await pool.shot() == before


async def test_adopt_with_a_lower_epoch_is_stale(pool: Pool) -> None:
    await pool.accept()
    worker = await pool.join()
    await pool.take(worker)
    newer = await pool.newer(await pool.newer(worker))
    await pool.store.adopt("echo", newer, [])
    before = await pool.shot()
    assert (await pool.store.adopt("echo", worker, [])).word == Word.STALE
    assert await pool.shot() == before


async def test_adopt_by_someone_who_never_registered_is_unknown(pool: Pool) -> None:
    worker = await pool.join()
    await pool.store.retire("echo", worker.worker)
    assert (await pool.store.adopt("echo", worker, [])).word == Word.UNKNOWN


async def test_adopt_takes_only_from_its_own_pending_list(pool: Pool) -> None:
    await pool.accept()
    await pool.take(await pool.join("w1"))
    other = await pool.join("w2")
    assert (await pool.store.adopt("echo", await pool.newer(other), [])).deliveries == ()


async def test_registering_anew_never_lowers_a_readers_epoch(pool: Pool) -> None:
    worker = await pool.join()
    newer = await pool.newer(await pool.newer(worker))
    await pool.store.adopt("echo", newer, [])
    await pool.store.register("echo", worker, b"", [])
    assert (await pool.store.fetch("echo", worker, 1, READS)).word == Word.STALE


# -- a group that is gone ----------------------------------------------------------------------------------


async def _destroy_groups(pool: Pool) -> None:
    for which in (*Class, "due"):
        await pool.store.link.run("XGROUP", "DESTROY", pool.store.keys("echo").stream(which), "w")


async def test_a_lost_group_is_made_again_and_loses_nothing(pool: Pool) -> None:
    sent = {await pool.accept(klass=klass) for klass in Class}
    worker = await pool.join()
    await _destroy_groups(pool)
    assert {d.id for d in await pool.fetch(worker, 10)} == sent
    assert int((await pool.shot()).hashes["stat"]["regrouped"]) > 0


async def test_what_is_running_when_a_group_is_lost_goes_back_to_its_worker(pool: Pool) -> None:
    await pool.accept()
    one, two = await pool.join("w1"), await pool.join("w2")
    await pool.settle(await pool.take(one), "release")
    retried = await pool.take(one)
    await pool.accept()
    fresh = await pool.take(one)
    await _destroy_groups(pool)
    third = await pool.accept()
    (other,) = await pool.fetch(two, 5)
    assert other.id == third
    await pool.settle(other, "release")
    assert [d.id for d in await pool.fetch(two, 5)] == [third]
    assert await pool.settle(retried) == Word.OK
    assert await pool.settle(fresh) == Word.OK


async def test_what_runs_in_a_group_that_nobody_restores_ends_all_the_same(clock: Clock, pool: Pool) -> None:
    request = await pool.accept(timeout_ms=1000)
    await pool.take(await pool.join())
    await _destroy_groups(pool)
    await clock.forward(1000)
    assert await pool.expire(request) == Word.SIGNALLED
    await clock.forward(1000)
    assert await pool.expire(request) == Word.ENDED
    assert await pool.ended_as(request) == (State.DEAD, Code.OUTCOME_UNKNOWN, Executed.MAYBE)


async def test_work_streams_that_are_gone_are_made_again_by_an_enqueue(pool: Pool) -> None:
    worker = await pool.join()
    for which in (*Class, "due"):
        await pool.store.link.run("DEL", pool.store.keys("echo").stream(which))
    request = await pool.accept()
    assert (await pool.take(worker)).id == request


async def test_an_entry_that_no_record_knows_is_dropped_and_counted(pool: Pool) -> None:
    await pool.store.link.run("XADD", pool.store.keys("echo").stream("low"), "*", "id", "echo~ghost")
    await pool.store.link.run("XADD", pool.store.keys("echo").stream("low"), "*", "what", "is this")
    assert await pool.fetch(await pool.join(), 5) == ()
    assert (await pool.shot()).hashes["stat"]["dropped"] == "2"
