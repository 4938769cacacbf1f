"""Enqueue: what is accepted, what is refused and why, and what an idempotency key promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ResponseError

import realredis
from mcpweft_schemas.life import Class, State
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.store import BATCH
from mcpweft_schemas.wire import DURABLE, PICKY, PROGRESS
from mcpweft_schemas.word import Word
from pool import OTHER, PRODUCER

if TYPE_CHECKING:
    from altered import Clock
    from mcpweft_schemas.store import Store
    from pool import Pool

pytestmark = realredis.every_store


async def test_a_request_to_a_pool_that_nobody_declared_is_unknown(store: Store, pool: Pool) -> None:
    enqueued = await store.enqueue("nowhere", [pool.submission()])
    assert (enqueued.incarnation, enqueued.items[0].word) == ("", Word.UNKNOWN)


async def test_an_accepted_request_is_queued_in_its_class_and_told_its_incarnation(pool: Pool) -> None:
    sent = pool.submission(klass=Class.HIGH)
    enqueued = await pool.store.enqueue("echo", [sent])
    shot = await pool.shot()
    assert (enqueued.items[0].word, enqueued.items[0].state) == (Word.OK, State.QUEUED)
    assert enqueued.incarnation == pool.incarnation
    assert [e["id"].decode() for e in shot.streams["q:high"].entries.values()] == [sent.id]


async def test_an_accepted_request_rings_the_bell_once_however_many_come(pool: Pool) -> None:
    await pool.store.enqueue("echo", [pool.submission() for _ in range(5)])
    assert (await pool.shot()).zsets["bell"] == {"1": 0.0}


async def test_a_repeated_enqueue_answers_repeat_with_the_state_and_writes_nothing(pool: Pool) -> None:
    sent = pool.submission()
    await pool.enqueue(sent)
    before = await pool.shot()
    again = await pool.enqueue(sent)
    assert (again.word, again.id, again.state) == (Word.REPEAT, sent.id, State.QUEUED)
    assert await pool.shot() == before


async def test_a_repeat_after_the_end_tells_how_it_stands(pool: Pool) -> None:
    sent = pool.submission()
    await pool.enqueue(sent)
    await pool.cancel(sent.id)
    assert (await pool.enqueue(sent)).state == State.CANCELLED


async def test_each_item_of_a_batch_has_its_own_word(pool: Pool) -> None:
    await pool.declare(bound=2)
    known = pool.submission(klass=Class.CRITICAL)
    await pool.enqueue(known)
    items = [
        known,
        pool.submission(waiter="no such}:party"),
        pool.submission(klass=Class.CRITICAL),
        pool.submission(klass=Class.CRITICAL),
    ]
    enqueued = await pool.store.enqueue("echo", items)
    assert [i.word for i in enqueued.items] == [Word.REPEAT, Word.ERROR, Word.OK, Word.FULL]
    assert [i.id for i in enqueued.items] == [item.id for item in items]


async def test_a_whole_batch_is_accepted_in_one_call(pool: Pool) -> None:
    enqueued = await pool.store.enqueue("echo", [pool.submission() for _ in range(BATCH)])
    assert {item.word for item in enqueued.items} == {Word.OK}


@pytest.mark.parametrize("bad", ["}:x", "a b", "a:b", "x" * 97, "a\n", "ä"])
async def test_a_producer_id_that_could_leave_the_slot_is_refused(pool: Pool, bad: str) -> None:
    before = await pool.shot()
    assert (await pool.enqueue(waiter=bad)).word == Word.ERROR
    assert await pool.shot() == before


@pytest.mark.parametrize("bad", ["", "}:x", "a b"])
async def test_attaching_a_malicious_producer_is_an_error(pool: Pool, bad: str) -> None:
    request = await pool.accept()
    before = await pool.shot()
    with pytest.raises(ResponseError, match="not a producer id"):
        await pool.store.attach("echo", request, bad)
    assert await pool.shot() == before


async def test_a_class_that_does_not_exist_is_an_error(pool: Pool) -> None:
    item = pool.submission().arguments()
    item[3] = "urgent"
    raw = await pool.store._run("enqueue", "echo", 1, *item)
    assert raw[2][0] == b"ERROR"


# -- bounds ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("klass", "room"), [(Class.LOW, 12), (Class.NORMAL, 17), (Class.HIGH, 19), (Class.CRITICAL, 20)]
)
async def test_each_class_fills_the_pool_up_to_its_share(pool: Pool, klass: Class, room: int) -> None:
    await pool.declare(bound=20)
    enqueued = await pool.store.enqueue("echo", [pool.submission(klass=klass) for _ in range(25)])
    assert [i.word for i in enqueued.items] == [Word.OK] * room + [Word.FULL] * (25 - room)
    assert all(i.retry_after_ms > 0 for i in enqueued.items[room:])


async def test_a_full_class_leaves_room_for_the_classes_above_it(pool: Pool) -> None:
    await pool.declare(bound=20)
    await pool.store.enqueue("echo", [pool.submission(klass=Class.LOW) for _ in range(12)])
    words = [(await pool.enqueue(klass=klass)).word for klass in (Class.LOW, Class.NORMAL)]
    assert words == [Word.FULL, Word.OK]


async def test_running_and_delayed_requests_count_against_the_bound(pool: Pool) -> None:
    await pool.declare(bound=2)
    await pool.accept(klass=Class.CRITICAL)
    await pool.take(await pool.join())
    await pool.accept(klass=Class.CRITICAL, delay_ms=10_000)
    assert (await pool.enqueue(klass=Class.CRITICAL)).word == Word.FULL


async def test_the_end_of_a_request_makes_room(pool: Pool) -> None:
    await pool.declare(bound=1)
    request = await pool.accept(klass=Class.CRITICAL)
    assert (await pool.enqueue(klass=Class.CRITICAL)).word == Word.FULL
    await pool.cancel(request)
    assert (await pool.enqueue(klass=Class.CRITICAL)).word == Word.OK


async def test_the_bytes_of_a_pool_are_bounded_by_the_same_shares(pool: Pool) -> None:
    await pool.declare(max_bytes=1000)
    assert (await pool.enqueue(klass=Class.LOW, body=b"x" * 601)).word == Word.FULL
    assert (await pool.enqueue(klass=Class.LOW, body=b"x" * 600)).word == Word.OK
    assert (await pool.enqueue(klass=Class.CRITICAL, body=b"x" * 401)).word == Word.FULL
    assert (await pool.enqueue(klass=Class.CRITICAL, body=b"x" * 400)).word == Word.OK


async def test_shares_are_settings_of_the_pool(pool: Pool) -> None:
    await pool.declare(bound=10, low_at=0.1)
    words = [(await pool.enqueue(klass=Class.LOW)).word for _ in range(2)]
    assert words == [Word.OK, Word.FULL]


# -- times -------------------------------------------------------------------------------------------------


async def _drain(pool: Pool, clock: Clock, n: int) -> None:
    """End `n` requests in two seconds, so that the pool knows its rate."""
    worker = await pool.join()
    for _ in range(2):
        for _ in range(n // 2):
            await pool.accept()
            await pool.settle(await pool.take(worker))
        await clock.forward(1000)
    await pool.accept()
    await pool.settle(await pool.take(worker))


async def test_a_request_that_could_not_start_in_time_is_late_and_told_by_how_much(
    clock: Clock, pool: Pool
) -> None:
    await _drain(pool, clock, 10)
    rate = float((await pool.shot()).hashes["stat"]["rate"])
    await pool.store.enqueue("echo", [pool.submission() for _ in range(30)])
    expected = 30 / rate * 1000
    late = await pool.enqueue(start_within_ms=1000)
    assert rate > 0
    assert late.word == Word.LATE
    assert late.retry_after_ms == pytest.approx(expected - 1000, abs=2)
    assert (await pool.enqueue(start_within_ms=int(expected) + 2)).word == Word.OK


async def test_a_pool_that_never_ended_a_request_calls_nothing_late(pool: Pool) -> None:
    await pool.store.enqueue("echo", [pool.submission() for _ in range(30)])
    assert (await pool.enqueue(start_within_ms=1)).word == Word.OK


async def test_a_full_pool_tells_when_to_come_again_by_its_drain_rate(clock: Clock, pool: Pool) -> None:
    await _drain(pool, clock, 10)
    await pool.declare(bound=10)
    rate = float((await pool.shot()).hashes["stat"]["rate"])
    await pool.store.enqueue("echo", [pool.submission(klass=Class.CRITICAL) for _ in range(10)])
    full = await pool.enqueue(klass=Class.CRITICAL)
    assert full.retry_after_ms == pytest.approx(max(50, 1000 / rate), abs=1)


async def test_a_picky_request_is_refused_at_once_where_nobody_is_usable(pool: Pool) -> None:
    assert (await pool.enqueue(flags=PICKY)).word == Word.NO_SERVERS
    await pool.join(usable_ms=0)
    assert (await pool.enqueue(flags=PICKY)).word == Word.NO_SERVERS


async def test_a_picky_request_is_accepted_where_a_worker_is_usable(clock: Clock, pool: Pool) -> None:
    await pool.join(usable_ms=1000)
    assert (await pool.enqueue(flags=PICKY)).word == Word.OK
    await clock.forward(1001)
    assert (await pool.enqueue(flags=PICKY)).word == Word.NO_SERVERS


# -- idempotency keys --------------------------------------------------------------------------------------


async def test_the_second_caller_with_a_key_waits_for_the_first_ones_outcome(pool: Pool) -> None:
    first = await pool.accept(key="k")
    second = await pool.enqueue(key="k", waiter=OTHER, flags=PROGRESS)
    assert (second.word, second.id, second.state) == (Word.ATTACHED, first, State.QUEUED)
    await pool.settle(await pool.take(await pool.join()))
    for producer in (PRODUCER, OTHER):
        assert (await pool.outcome(first, producer)).code == Code.OK


async def test_a_key_used_with_other_arguments_is_a_conflict(pool: Pool) -> None:
    first = await pool.accept(key="k", print="one")
    second = await pool.enqueue(key="k", print="two", waiter=OTHER)
    assert (second.word, second.id) == (Word.CONFLICT, first)
    assert (await pool.record(first))["waiters"] == PRODUCER


async def test_a_key_whose_request_has_ended_hands_out_the_kept_outcome(pool: Pool) -> None:
    first = await pool.accept(key="k")
    await pool.settle(await pool.take(await pool.join()))
    second = await pool.enqueue(key="k", waiter=OTHER)
    _, standings = await pool.store.lookup("echo", [first])
    outcome = standings[first].outcome
    assert (second.word, second.id) == (Word.SETTLED, first)
    assert outcome is not None
    assert outcome.code == Code.OK
    assert outcome.body == (await pool.outcome(first)).body


async def test_attaching_twice_with_a_key_is_attaching_once(pool: Pool) -> None:
    first = await pool.accept(key="k")
    for _ in range(2):
        await pool.enqueue(key="k", waiter=OTHER)
    await pool.cancel(first)
    assert len(await pool.heard(OTHER)) == 1


async def test_a_refused_request_does_not_take_its_key(pool: Pool) -> None:
    await pool.declare(bound=0)
    assert (await pool.enqueue(key="k")).word == Word.FULL
    await pool.declare(bound=10)
    assert (await pool.enqueue(key="k")).word == Word.OK


async def test_a_request_cancelled_before_any_start_frees_its_key(pool: Pool) -> None:
    first = await pool.accept(key="k")
    await pool.cancel(first)
    assert (await pool.enqueue(key="k")).word == Word.OK


async def test_a_request_that_expires_before_any_start_frees_its_key(clock: Clock, pool: Pool) -> None:
    first = await pool.accept(key="k", timeout_ms=1000)
    await clock.forward(1000)
    assert await pool.expire(first) == Word.ENDED
    assert (await pool.enqueue(key="k")).word == Word.OK


async def test_a_request_that_was_started_and_proven_not_to_have_run_frees_its_key(pool: Pool) -> None:
    await pool.accept(key="k", max_attempts=1)
    await pool.settle(await pool.take(await pool.join()), "retry")
    assert (await pool.enqueue(key="k")).word == Word.OK


async def test_an_unknown_outcome_keeps_the_key(pool: Pool) -> None:
    first = await pool.accept(key="k")
    delivery = await pool.take(await pool.join())
    assert await pool.settle(delivery, "retry", executed=Executed.MAYBE) == Word.ENDED
    assert (await pool.ended_as(first))[1] == Code.OUTCOME_UNKNOWN
    assert (await pool.enqueue(key="k")).word == Word.SETTLED


async def test_purging_a_dead_letter_does_not_free_its_key(pool: Pool) -> None:
    first = await pool.accept(key="k")
    await pool.settle(await pool.take(await pool.join()), "retry", executed=Executed.MAYBE)
    assert await pool.store.purge("echo", [first]) == 1
    ttl = await pool.store.link.run("PTTL", pool.store.keys("echo").record(first))
    assert ttl > 3_000_000
    assert (await pool.enqueue(key="k")).word == Word.SETTLED


async def test_the_key_that_an_end_frees_may_already_be_another_requests(pool: Pool) -> None:
    first = await pool.accept(key="k")
    await pool.store.link.run("DEL", pool.store.keys("echo").prefix + "i:k")
    second = await pool.accept(key="k")
    await pool.cancel(first)
    assert (await pool.enqueue(key="k")).id == second


async def test_two_keys_do_not_meet(pool: Pool) -> None:
    assert await pool.accept(key="k") != await pool.accept(key="l")


# -- what a request carries --------------------------------------------------------------------------------


async def test_the_longest_lived_flags_and_fields_reach_the_record_and_the_worker(pool: Pool) -> None:
    request = await pool.accept(
        flags=DURABLE + PROGRESS, tenant="blue", trace="00-1", attempt_timeout_ms=5000, max_attempts=7,
        extra=("session", "s1", "later", "field"), safe=True,
    )  # fmt: skip
    delivery = await pool.take(await pool.join())
    assert (delivery.id, delivery.tool, delivery.klass) == (request, "echo", Class.NORMAL)
    assert (delivery.tenant, delivery.trace, delivery.flags) == ("blue", "00-1", "dp")
    assert (delivery.attempt, delivery.deliveries, delivery.max_attempts) == (1, 1, 7)
    assert (delivery.attempt_timeout_ms, delivery.safe) == (5000, True)
    assert 59_000 < delivery.remaining_ms <= 60_000
    assert delivery.request() == ({"text": "hello"}, {})
    assert (delivery.fields[b"session"], delivery.fields[b"later"]) == (b"s1", b"field")
