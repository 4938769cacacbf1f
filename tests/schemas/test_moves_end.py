"""Cancel, leave and expire: how a request ends that nobody answered, in each state it may be in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import realredis
from mcpweft_schemas.life import State
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.wire import DURABLE, READS
from mcpweft_schemas.word import Word
from pool import OTHER, PRODUCER

if TYPE_CHECKING:
    from altered import Clock
    from pool import Pool

pytestmark = realredis.every_store

GRACE = 1000


async def _cancels(pool: Pool, worker: str = "w1") -> list[tuple[bytes, bytes]]:
    stream = (await pool.shot()).streams.get(f"ctl:{worker}")
    return [(e["id"], e["entry"]) for e in stream.entries.values()] if stream else []


# -- cancel ------------------------------------------------------------------------------------------------


async def test_cancelling_an_unknown_request_is_unknown(pool: Pool) -> None:
    assert await pool.cancel("echo~nobody") == Word.UNKNOWN


@pytest.mark.parametrize("delay", [0, 10_000])
async def test_a_request_that_nobody_took_ends_at_once_and_is_never_run(pool: Pool, delay: int) -> None:
    request = await pool.accept(delay_ms=delay)
    assert await pool.cancel(request) == Word.OK
    assert await pool.ended_as(request) == (State.CANCELLED, Code.CANCELLED, Executed.NO)
    assert await pool.fetch(await pool.join(), 5) == ()
    assert await pool.cancel(request) == Word.SETTLED


async def test_a_retry_that_waits_is_cancelled_with_what_is_known_of_it(pool: Pool) -> None:
    request = await pool.accept(safe=True)
    await pool.settle(await pool.take(await pool.join()), "retry", executed=Executed.MAYBE)
    assert await pool.cancel(request) == Word.OK
    assert await pool.ended_as(request) == (State.CANCELLED, Code.CANCELLED, Executed.MAYBE)


async def test_cancelling_a_running_request_tells_its_worker_once(pool: Pool) -> None:
    request = await pool.accept()
    delivery = await pool.take(await pool.join())
    assert await pool.cancel(request) == Word.SIGNALLED
    before = await pool.shot()
    assert await pool.cancel(request) == Word.SIGNALLED
    assert await pool.shot() == before
    assert await _cancels(pool) == [(request.encode(), delivery.entry.encode())]
    assert await pool.heard() == []
    await pool.settle(delivery)


async def test_an_answer_within_the_grace_is_the_outcome(pool: Pool) -> None:
    request = await pool.accept()
    delivery = await pool.take(await pool.join())
    await pool.cancel(request)
    assert await pool.settle(delivery) == Word.OK
    assert await pool.ended_as(request) == (State.DONE, Code.OK, Executed.YES)


@pytest.mark.parametrize(("safe", "executed", "end"), [
    (True, Executed.NO, (State.CANCELLED, Code.CANCELLED)),
    (True, Executed.MAYBE, (State.CANCELLED, Code.CANCELLED)),
    (False, Executed.NO, (State.CANCELLED, Code.CANCELLED)),
    (False, Executed.MAYBE, (State.DEAD, Code.OUTCOME_UNKNOWN)),
])  # fmt: skip
async def test_a_cancelled_call_that_its_worker_stopped_is_not_tried_again(
    pool: Pool, *, safe: bool, executed: Executed, end: tuple[State, Code]
) -> None:
    request = await pool.accept(safe=safe)
    delivery = await pool.take(await pool.join())
    await pool.cancel(request)
    assert await pool.settle(delivery, "retry", cause="CANCELLED", executed=executed) == Word.OK
    assert await pool.ended_as(request) == (*end, executed)


async def test_a_cancelled_request_that_is_given_back_is_cancelled(pool: Pool) -> None:
    request = await pool.accept()
    delivery = await pool.take(await pool.join())
    await pool.cancel(request)
    assert await pool.settle(delivery, "release") == Word.OK
    assert await pool.ended_as(request) == (State.CANCELLED, Code.CANCELLED, Executed.NO)


@pytest.mark.parametrize(("safe", "end"), [
    (True, (State.CANCELLED, Code.CANCELLED)), (False, (State.DEAD, Code.OUTCOME_UNKNOWN)),
])  # fmt: skip
async def test_a_worker_that_does_not_stop_has_a_second_and_then_the_request_ends_without_it(
    clock: Clock, pool: Pool, *, safe: bool, end: tuple[State, Code]
) -> None:
    request = await pool.accept(safe=safe)
    delivery = await pool.take(await pool.join())
    await pool.cancel(request)
    await clock.forward(GRACE - 1)
    assert await pool.expire(request) == Word.SIGNALLED
    await clock.forward(1)
    assert await pool.expire(request) == Word.ENDED
    assert await pool.ended_as(request) == (*end, Executed.MAYBE)
    assert await pool.settle(delivery) == Word.LOST


async def test_the_leaders_sweep_ends_a_grace_as_well(clock: Clock, pool: Pool) -> None:
    request = await pool.accept(safe=True)
    await pool.take(await pool.join())
    await pool.cancel(request)
    await clock.forward(GRACE)
    assert (await pool.store.sweep("echo", 1)).expired == 1
    assert await pool.state(request) == State.CANCELLED


# -- leaving -----------------------------------------------------------------------------------------------


async def test_a_waiter_that_leaves_others_behind_only_leaves(pool: Pool) -> None:
    request = await pool.accept()
    await pool.store.attach("echo", request, OTHER)
    for _ in range(2):  # leaving twice is leaving once
        assert await pool.cancel(request, PRODUCER) == Word.DETACHED
    assert (await pool.record(request))["waiters"] == OTHER
    await pool.cancel(request)
    assert (await pool.heard(PRODUCER), len(await pool.heard(OTHER))) == ([], 1)


async def test_the_last_waiter_that_leaves_ends_the_request(pool: Pool) -> None:
    request = await pool.accept()
    await pool.store.attach("echo", request, OTHER)
    assert await pool.cancel(request, PRODUCER) == Word.DETACHED
    assert await pool.cancel(request, OTHER) == Word.OK
    assert await pool.cancel(request, OTHER) == Word.SETTLED
    assert await pool.state(request) == State.CANCELLED


async def test_the_last_waiter_that_leaves_a_running_request_signals_its_worker(pool: Pool) -> None:
    request = await pool.accept()
    delivery = await pool.take(await pool.join())
    assert await pool.cancel(request, PRODUCER) == Word.SIGNALLED
    assert await _cancels(pool) == [(request.encode(), delivery.entry.encode())]


@pytest.mark.parametrize(("flags", "stop"), [(DURABLE, True), ("", False)])
async def test_a_request_may_outlive_its_last_waiter(pool: Pool, *, flags: str, stop: bool) -> None:
    request = await pool.accept(flags=flags)
    assert await pool.cancel(request, PRODUCER, stop=stop) == Word.DETACHED
    assert await pool.settle(await pool.take(await pool.join())) == Word.OK
    assert await pool.heard() == []


# -- expire ------------------------------------------------------------------------------------------------


async def test_expiring_tells_each_request_how_it_stands(clock: Clock, pool: Pool) -> None:
    waiting = await pool.accept()
    worker = await pool.join()
    await pool.take(worker)
    queued = await pool.accept()
    over = await pool.accept(timeout_ms=500)
    await clock.forward(500)
    words = await pool.store.expire("echo", [waiting, queued, over, over, "echo~nobody"])
    assert words == (Word.RUNNING, Word.WAITING, Word.ENDED, Word.SETTLED, Word.UNKNOWN)


@pytest.mark.parametrize("delay", [0, 10_000])
async def test_a_request_that_nobody_took_by_its_deadline_ends(clock: Clock, pool: Pool, delay: int) -> None:
    request = await pool.accept(timeout_ms=1000, delay_ms=delay)
    await clock.forward(999)
    assert await pool.expire(request) == Word.WAITING
    await clock.forward(1)
    assert await pool.expire(request) == Word.ENDED
    assert await pool.ended_as(request) == (State.EXPIRED, Code.TIMEOUT, Executed.NO)


async def test_a_request_that_did_not_start_within_its_time_ends(clock: Clock, pool: Pool) -> None:
    request = await pool.accept(start_within_ms=300)
    await clock.forward(300)
    assert await pool.expire(request) == Word.ENDED
    assert (await pool.outcome(request)).cause == "QUEUE_TIMEOUT"


async def test_a_retry_that_waits_at_its_deadline_ends_with_what_is_known(clock: Clock, pool: Pool) -> None:
    request = await pool.accept(timeout_ms=1000, safe=True)
    worker = await pool.join()
    await pool.settle(await pool.take(worker), "retry", executed=Executed.MAYBE, backoff_ms=5000)
    await clock.forward(1000)
    assert await pool.expire(request) == Word.ENDED
    assert await pool.ended_as(request) == (State.EXPIRED, Code.TIMEOUT, Executed.MAYBE)


@pytest.mark.parametrize(("safe", "end"), [
    (True, (State.EXPIRED, Code.TIMEOUT)), (False, (State.DEAD, Code.OUTCOME_UNKNOWN)),
])  # fmt: skip
async def test_a_running_request_past_its_deadline_is_signalled_and_ends_after_the_grace(
    clock: Clock, pool: Pool, *, safe: bool, end: tuple[State, Code]
) -> None:
    request = await pool.accept(timeout_ms=1000, safe=safe)
    await pool.take(await pool.join())
    await clock.forward(1000)
    assert await pool.expire(request) == Word.SIGNALLED
    assert len(await _cancels(pool)) == 1
    await clock.forward(GRACE)
    assert await pool.expire(request) == Word.ENDED
    assert await pool.ended_as(request) == (*end, Executed.MAYBE)


async def test_a_call_stopped_for_its_deadline_ends_as_timeout_not_as_cancelled(
    clock: Clock, pool: Pool
) -> None:
    request = await pool.accept(timeout_ms=1000)
    delivery = await pool.take(await pool.join())
    await clock.forward(1000)
    await pool.expire(request)
    assert await pool.settle(delivery, "retry", cause="CANCELLED") == Word.OK
    assert await pool.ended_as(request) == (State.EXPIRED, Code.TIMEOUT, Executed.NO)


async def test_a_sweep_ends_what_is_over_and_leaves_the_rest(clock: Clock, pool: Pool) -> None:
    over = [await pool.accept(timeout_ms=1000) for _ in range(3)]
    fine = await pool.accept()
    await clock.forward(1000)
    swept = await pool.store.sweep("echo", 1)
    assert (swept.word, swept.expired) == (Word.OK, 3)
    assert [await pool.state(r) for r in (*over, fine)] == [State.EXPIRED] * 3 + [State.QUEUED]


async def test_a_sweep_is_bounded_and_says_that_there_is_more(clock: Clock, pool: Pool) -> None:
    for _ in range(5):
        await pool.accept(timeout_ms=1000)
    await clock.forward(1000)
    words = [(s.word, s.expired) for s in [await pool.store.sweep("echo", 1, 2) for _ in range(3)]]
    assert words == [(Word.MORE, 2), (Word.MORE, 2), (Word.OK, 1)]


async def test_a_full_sweep_of_running_requests_comes_to_an_end(clock: Clock, pool: Pool) -> None:
    for _ in range(4):
        await pool.accept(timeout_ms=1000)
    await pool.fetch(await pool.join(), 4)
    await clock.forward(1000)
    for _ in range(2):
        await pool.store.sweep("echo", 1, 2)
    await clock.forward(GRACE)
    assert sum([(await pool.store.sweep("echo", 1, 2)).expired for _ in range(2)]) == 4


async def test_a_fetch_leaves_a_cancelled_request_alone(pool: Pool) -> None:
    request = await pool.accept(delay_ms=10)
    await pool.cancel(request)
    fetched = await pool.store.fetch("echo", await pool.join(), 1, READS)
    assert (fetched.deliveries, fetched.next_due_ms) == ((), None)
