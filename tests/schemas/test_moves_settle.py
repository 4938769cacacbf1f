"""Settle: the fence, how each delivery ends, and when a failed one is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import realredis
from mcpweft_schemas.life import State
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.packing import pack
from mcpweft_schemas.store import BATCH
from mcpweft_schemas.wire import PIECE, PROGRESS, READS, STORED, Settlement, pack_answer
from mcpweft_schemas.word import Word
from pool import OTHER, PRODUCER

if TYPE_CHECKING:
    from altered import Clock
    from mcpweft_schemas.store import Reader
    from pool import Pool

pytestmark = realredis.every_store


async def test_an_answer_ends_the_request_and_reaches_its_producer_whole(pool: Pool) -> None:
    request = await pool.accept()
    delivery = await pool.take(await pool.join())
    body = pack_answer([{"type": "text", "text": "a\x00b"}], {"n": 1.5}, is_error=True)
    word = await pool.settle(
        delivery, code=Code.TOOL_ERROR, cause="TOOL_ERROR", body=body, service_ms=12.3456
    )
    told = await pool.outcome(request)
    assert word == Word.OK
    assert (told.code, told.executed, told.cause) == (Code.TOOL_ERROR, Executed.YES, "TOOL_ERROR")
    assert (told.body, told.service_ms, told.chunks) == (body, 12.346, 0)
    assert (told.server, told.worker, told.attempt) == ("alpha", "w1", 1)
    assert told.accepted_ms <= told.started_ms <= told.ended_ms
    assert [(a.server, a.worker, a.cause, a.executed) for a in told.attempts] == [
        ("alpha", "w1", "TOOL_ERROR", Executed.YES)
    ]
    assert await pool.state(request) == State.DONE


async def test_nothing_but_the_record_is_left_of_an_ended_request(pool: Pool) -> None:
    request = await pool.accept()
    await pool.settle(await pool.take(await pool.join()))
    shot = await pool.shot()
    assert not any(shot.streams[f"q:{q}"].entries for q in ("critical", "high", "normal", "low", "due"))
    assert not any(shot.zsets.get(index) for index in ("expiry", "delayed", "picky", "dead"))
    assert "outcome" not in shot.records()[request]
    assert shot.hashes["stat"]["bytes"] == "0"


async def test_the_record_outlives_the_end_by_a_minute_so_that_a_repeat_finds_the_truth(pool: Pool) -> None:
    request = await pool.accept()
    await pool.settle(await pool.take(await pool.join()))
    ttl = await pool.store.link.run("PTTL", pool.store.keys("echo").record(request))
    assert 55_000 < ttl <= 60_000


# -- the fence ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["done", "retry", "release", "dead"])
async def test_a_repeated_settle_answers_repeat_and_writes_nothing(pool: Pool, how: str) -> None:
    await pool.accept(safe=True)
    delivery = await pool.take(await pool.join())
    await pool.settle(delivery, how, **{"code": "SESSION_LOST"} if how == "dead" else {})
    before = await pool.shot()
    assert await pool.settle(delivery, how) == Word.REPEAT
    assert await pool.shot() == before


async def test_a_settle_that_repeats_while_the_retry_runs_elsewhere_writes_nothing(pool: Pool) -> None:
    await pool.accept()
    first = await pool.take(await pool.join("w1"))
    await pool.settle(first, "retry")
    await pool.take(await pool.join("w2"))
    before = await pool.shot()
    assert await pool.settle(first, "retry") == Word.REPEAT
    assert await pool.settle(first, "done") == Word.REPEAT
    assert await pool.shot() == before


async def test_a_settle_that_repeats_after_the_retry_has_ended_is_lost(pool: Pool) -> None:
    await pool.accept()
    first = await pool.take(await pool.join("w1"))
    await pool.settle(first, "retry")
    await pool.settle(await pool.take(await pool.join("w2")))
    before = await pool.shot()
    assert await pool.settle(first, "retry") == Word.LOST
    assert await pool.shot() == before


@pytest.mark.parametrize("how", ["done", "retry", "release", "dead"])
async def test_a_zombies_settle_is_lost_and_writes_nothing(pool: Pool, how: str) -> None:
    await pool.accept(safe=True)
    zombie = await pool.take(await pool.join("w1"))
    await pool.store.reclaim("echo", 1, "w1", confirmed=True, dead_after_ms=1000)
    waiting = await pool.shot()
    assert await pool.settle(zombie, how) == Word.LOST
    assert await pool.shot() == waiting
    mine = await pool.take(await pool.join("w2"))
    running = await pool.shot()
    assert await pool.settle(zombie, how) == Word.LOST
    assert await pool.shot() == running
    await pool.settle(mine)
    assert await pool.settle(zombie, how) == Word.LOST


async def test_a_settle_of_a_request_that_is_gone_is_lost(pool: Pool) -> None:
    await pool.accept()
    delivery = await pool.take(await pool.join())
    await pool.settle(delivery)
    await pool.store.link.run("DEL", pool.store.keys("echo").record(delivery.id))
    assert await pool.settle(delivery) == Word.LOST


async def test_a_settle_whose_pending_entry_is_gone_is_lost_and_writes_nothing(pool: Pool) -> None:
    pool.sound = False
    await pool.accept()
    delivery = await pool.take(await pool.join())
    await pool.store.link.run("XACK", delivery.stream, "w", delivery.entry)
    before = await pool.shot()
    for how in ("done", "retry", "release", "dead"):
        assert await pool.settle(delivery, how) == Word.LOST
    assert await pool.shot() == before


async def test_a_settle_of_the_same_entry_id_in_another_stream_is_lost(pool: Pool) -> None:
    await pool.accept()
    real = await pool.take(await pool.join())
    false = Settlement(real.id, real.stream + "x", real.entry, "done", "OK", "OK", Executed.YES)
    before = await pool.shot()
    assert await pool.store.settle("echo", "w1", [false]) == (Word.LOST,)
    assert await pool.shot() == before


async def test_each_settlement_of_a_batch_has_its_own_word(pool: Pool) -> None:
    for _ in range(3):
        await pool.accept()
    worker = await pool.join()
    one, two, three = await pool.fetch(worker, 3)
    await pool.settle(one)
    items = [
        Settlement(d.id, d.stream, entry, how, "OK", "OK", Executed.NO)
        for d, entry, how in (
            (one, one.entry, "done"),
            (two, "1-1", "done"),
            (two, two.entry, "done"),
            (three, three.entry, "retry"),
        )
    ]
    words = await pool.store.settle("echo", "w1", items)
    assert words == (Word.REPEAT, Word.LOST, Word.OK, Word.RETRIED)


async def test_a_whole_batch_is_settled_in_one_call(pool: Pool) -> None:
    await pool.store.enqueue("echo", [pool.submission() for _ in range(BATCH)])
    got = await pool.fetch(await pool.join(), BATCH)
    items = [Settlement(d.id, d.stream, d.entry, "done", "OK", "OK", Executed.YES) for d in got]
    assert set(await pool.store.settle("echo", "w1", items)) == {Word.OK}
    assert len(await pool.heard()) == BATCH


# -- what is kept ------------------------------------------------------------------------------------------


async def test_an_outcome_is_kept_where_it_was_asked_for(pool: Pool) -> None:
    request = await pool.accept(flags=STORED, waiter="")
    await pool.settle(await pool.take(await pool.join()))
    standing = await pool.store.attach("echo", request, OTHER)
    assert (standing.word, standing.state, standing.code) == (Word.SETTLED, State.DONE, Code.OK)
    assert standing.outcome is not None
    assert standing.outcome.body
    ttl = await pool.store.link.run("PTTL", pool.store.keys("echo").record(request))
    assert 3_590_000 < ttl <= 3_600_000


async def test_an_outcome_whose_waiter_is_gone_is_kept_in_the_record(pool: Pool) -> None:
    request = await pool.accept()
    await pool.store.link.run("DEL", pool.store.keys("echo").reply(PRODUCER))
    await pool.settle(await pool.take(await pool.join()))
    _, standings = await pool.store.lookup("echo", [request])
    outcome = standings[request].outcome
    assert outcome is not None
    assert (outcome.id, outcome.code) == (request, Code.OK)
    assert f"reply:{PRODUCER}" not in (await pool.shot()).streams


async def test_a_reply_stream_of_the_wrong_type_counts_as_gone(pool: Pool) -> None:
    request = await pool.accept()
    key = pool.store.keys("echo").reply(PRODUCER)
    await pool.store.link.run("DEL", key)
    await pool.store.link.run("SET", key, "x", "EX", 60)
    assert await pool.settle(await pool.take(await pool.join())) == Word.OK
    assert "outcome" in await pool.record(request)


async def test_an_outcome_in_chunks_is_read_back_whole_by_its_delivery(pool: Pool) -> None:
    request = await pool.accept()
    delivery = await pool.take(await pool.join())
    body = bytes(range(256)) * (3 * PIECE // 256) + b"end"
    pieces = [body[i : i + PIECE] for i in range(0, len(body), PIECE)]
    for _ in range(2):  # a repeat lays the same
        await pool.store.lay_chunks("echo", delivery, pieces, 60_000)
    await pool.settle(delivery, body=b"", chunks=len(pieces), keep_ms=120_000)
    told = await pool.outcome(request)
    assert (told.chunks, told.body, told.entry) == (4, b"", delivery.entry)
    assert await pool.store.chunks("echo", told) == body
    await pool.store.link.run("DEL", pool.store.keys("echo").chunk(request, delivery.entry, 2))
    assert await pool.store.chunks("echo", told) is None


async def test_a_zombies_chunks_never_mix_with_the_chunks_that_count(pool: Pool) -> None:
    request = await pool.accept(safe=True)
    zombie = await pool.take(await pool.join("w1"))
    await pool.store.reclaim("echo", 1, "w1", confirmed=True, dead_after_ms=1000)
    mine = await pool.take(await pool.join("w2"))
    await pool.store.lay_chunks("echo", mine, [b"mine"], 60_000)
    await pool.store.lay_chunks("echo", zombie, [b"zombie"], 60_000)
    await pool.settle(mine, body=b"", chunks=1)
    assert await pool.store.chunks("echo", await pool.outcome(request)) == b"mine"


# -- retry -------------------------------------------------------------------------------------------------


async def test_a_retry_goes_at_once_to_another_instance_and_after_its_backoff_to_the_same(
    clock: Clock, pool: Pool
) -> None:
    request = await pool.accept()
    one, two = await pool.join("w1"), await pool.join("w2")
    assert await pool.settle(await pool.take(one), "retry", backoff_ms=700) == Word.RETRIED
    fetched = await pool.store.fetch("echo", one, 1, READS)
    assert (fetched.deliveries, fetched.next_due_ms) == ((), 700)
    second = await pool.take(two)
    assert (second.id, second.attempt, second.deliveries) == (request, 2, 2)
    await pool.settle(second, "retry", instance="w2", backoff_ms=300)
    assert await pool.fetch(two) == ()
    await clock.forward(300)
    assert (await pool.take(two)).attempt == 3


async def test_workers_that_share_a_server_share_its_backoff(clock: Clock, pool: Pool) -> None:
    await pool.accept()
    one, two = await pool.join("w1", instance="alpha"), await pool.join("w2", instance="alpha")
    await pool.settle(await pool.take(one), "retry", instance="alpha", backoff_ms=500)
    assert await pool.fetch(two) == ()
    await clock.forward(500)
    assert len(await pool.fetch(two)) == 1


async def test_a_backoff_never_goes_past_the_deadline(clock: Clock, pool: Pool) -> None:
    request = await pool.accept(timeout_ms=1000)
    await pool.settle(await pool.take(await pool.join()), "retry", backoff_ms=60_000)
    assert int((await pool.record(request))["due_again"]) == clock.ms + 1000


async def test_the_last_attempt_that_fails_ends_the_request_as_a_dead_letter(pool: Pool) -> None:
    request = await pool.accept(max_attempts=2)
    worker = await pool.join()
    assert await pool.settle(await pool.take(worker), "retry") == Word.RETRIED
    body = pack({"what": "gone", "advice": ""})
    last = await pool.take(worker)
    assert await pool.settle(last, "retry", body=body) == Word.ENDED
    assert await pool.settle(last, "retry", body=body) == Word.REPEAT
    assert await pool.ended_as(request) == (State.DEAD, Code.FAILOVER_EXHAUSTED, Executed.NO)
    told = await pool.outcome(request)
    assert (told.cause, told.body, [a.cause for a in told.attempts]) == (
        "SERVER_DIED", body, ["SERVER_DIED"] * 2,
    )  # fmt: skip
    assert [letter.id for letter in await pool.store.dead("echo")] == [request]


@pytest.mark.parametrize("executed", [Executed.MAYBE, Executed.YES])
async def test_a_call_that_may_have_run_and_must_not_run_twice_is_not_tried_again(
    pool: Pool, executed: Executed
) -> None:
    request = await pool.accept(safe=False)
    assert await pool.settle(await pool.take(await pool.join()), "retry", executed=executed) == Word.ENDED
    assert await pool.ended_as(request) == (State.DEAD, Code.OUTCOME_UNKNOWN, executed)


async def test_a_safe_call_that_may_have_run_is_tried_again_and_what_is_known_only_grows(pool: Pool) -> None:
    request = await pool.accept(safe=True)
    worker = await pool.join()
    assert await pool.settle(await pool.take(worker), "retry", executed=Executed.MAYBE) == Word.RETRIED
    assert await pool.settle(await pool.take(worker), "retry", executed=Executed.NO) == Word.RETRIED
    assert (await pool.record(request))["executed"] == Executed.MAYBE
    await pool.cancel(request)
    assert await pool.ended_as(request) == (State.CANCELLED, Code.CANCELLED, Executed.MAYBE)


async def test_a_retry_after_the_deadline_ends_as_timeout(clock: Clock, pool: Pool) -> None:
    request = await pool.accept(timeout_ms=1000)
    delivery = await pool.take(await pool.join())
    await clock.forward(1000)
    assert await pool.settle(delivery, "retry") == Word.ENDED
    assert await pool.ended_as(request) == (State.EXPIRED, Code.TIMEOUT, Executed.NO)


# -- release -----------------------------------------------------------------------------------------------


async def test_a_released_request_goes_back_and_no_attempt_is_charged(pool: Pool) -> None:
    request = await pool.accept(max_attempts=1)
    worker = await pool.join()
    for deliveries in (1, 2, 3):
        delivery = await pool.take(worker)
        assert (delivery.attempt, delivery.deliveries) == (1, deliveries)
        assert await pool.settle(delivery, "release") == Word.OK
    record = await pool.record(request)
    assert (record["attempt"], record["deliveries"], record["executed"]) == ("0", "3", "no")
    assert record["tried"] == ""


async def test_a_release_never_says_that_the_tool_ran(pool: Pool) -> None:
    request = await pool.accept()
    await pool.settle(await pool.take(await pool.join()), "release", executed=Executed.YES)
    assert (await pool.record(request))["executed"] == Executed.NO


async def test_the_twentieth_delivery_is_the_last_however_it_ends(pool: Pool) -> None:
    request = await pool.accept()
    worker = await pool.join()
    for _ in range(19):
        assert await pool.settle(await pool.take(worker), "release") == Word.OK
    assert await pool.settle(await pool.take(worker), "release") == Word.ENDED
    assert await pool.ended_as(request) == (State.DEAD, Code.FAILOVER_EXHAUSTED, Executed.NO)
    assert len((await pool.outcome(request)).attempts) == 20


async def test_a_worker_may_say_itself_that_a_request_is_dead(pool: Pool) -> None:
    request = await pool.accept()
    await pool.settle(await pool.take(await pool.join()), "dead", code=Code.SESSION_LOST)
    assert await pool.ended_as(request) == (State.DEAD, Code.SESSION_LOST, Executed.YES)
    assert len(await pool.store.dead("echo")) == 1


# -- progress ----------------------------------------------------------------------------------------------


async def test_progress_reaches_every_waiter_of_the_running_delivery(pool: Pool) -> None:
    request = await pool.accept(flags=PROGRESS)
    await pool.store.attach("echo", request, OTHER)
    delivery = await pool.take(await pool.join())
    assert await pool.store.progress("echo", delivery, b"half") == Word.OK
    for producer in (PRODUCER, OTHER):
        (told,) = await pool.heard(producer)
        assert (told.id, told.kind, told.attempt, told.body) == (request, "progress", 1, b"half")


async def test_a_zombies_progress_is_lost_and_reaches_nobody(pool: Pool) -> None:
    await pool.accept(safe=True)
    zombie = await pool.take(await pool.join("w1"))
    await pool.store.reclaim("echo", 1, "w1", confirmed=True, dead_after_ms=1000)
    assert await pool.store.progress("echo", zombie, b"half") == Word.LOST
    await pool.take(await pool.join("w2"))
    before = await pool.shot()
    assert await pool.store.progress("echo", zombie, b"half") == Word.LOST
    assert await pool.shot() == before


async def test_progress_of_an_ended_request_is_lost(pool: Pool) -> None:
    await pool.accept()
    delivery = await pool.take(await pool.join())
    await pool.settle(delivery)
    assert await pool.store.progress("echo", delivery, b"late") == Word.LOST


BUDGET = {"retry_ratio": 0.5, "retry_floor": 2, "retry_burst": 2}


async def fail(pool: Pool, reader: Reader, **how: Any) -> tuple[str, Word]:
    """Accept a safe request and let its first attempt fail."""
    request = await pool.accept(safe=True)
    delivery = await pool.take(reader)
    assert delivery.id == request
    return request, await pool.settle(
        delivery, "retry", **{"executed": Executed.MAYBE, **how}, backoff_ms=50_000
    )


async def test_a_retry_for_which_the_pool_has_no_budget_ends_the_request_with_its_attempts_cause_in_its_log(
    clock: Clock, pool: Pool
) -> None:
    await pool.declare(**BUDGET)
    reader = await pool.join()
    assert [(await fail(pool, reader))[1] for _ in range(2)] == [Word.RETRIED] * 2
    request, word = await fail(pool, reader)
    assert word == Word.ENDED
    reply = await pool.outcome(request)
    assert (reply.code, reply.cause, reply.executed) == (
        Code.FAILOVER_EXHAUSTED, "RETRY_BUDGET", Executed.MAYBE,
    )  # fmt: skip
    assert [attempt.cause for attempt in reply.attempts] == ["SERVER_DIED"]
    assert await pool.state(request) is State.DEAD
    assert (await pool.shot()).hashes["stat"]["unretried"] == "1"


async def test_time_and_ended_requests_fill_the_budget_up_to_its_burst(clock: Clock, pool: Pool) -> None:
    await pool.declare(**BUDGET)
    reader = await pool.join()
    words = [(await fail(pool, reader))[1] for _ in range(3)]
    await clock.forward(500)  # one token
    words += [(await fail(pool, reader))[1] for _ in range(2)]  # and half a one by the request that ended
    await pool.accept()
    await pool.settle(await pool.take(reader))  # halves: of this one, and of the one that ended before
    words += [(await fail(pool, reader))[1] for _ in range(2)]
    await clock.forward(20_000)
    words += [(await fail(pool, reader))[1] for _ in range(3)]
    assert words == [
        Word.RETRIED, Word.RETRIED, Word.ENDED,
        Word.RETRIED, Word.ENDED,
        Word.RETRIED, Word.ENDED,
        Word.RETRIED, Word.RETRIED, Word.ENDED,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "how",
    [{"executed": Executed.NO}, {"cause": "SHUTTING_DOWN"}, {"cause": "WORKER_DIED"}],
    ids=["not run", "its worker had to end", "its worker died"],
)
async def test_a_retry_that_says_nothing_of_a_server_costs_no_budget(pool: Pool, how: dict[str, Any]) -> None:
    await pool.declare(retry_ratio=0, retry_floor=0, retry_burst=1)
    reader = await pool.join()
    assert [(await fail(pool, reader, **how))[1] for _ in range(5)] == [Word.RETRIED] * 5
    assert [(await fail(pool, reader))[1] for _ in range(2)] == [Word.RETRIED, Word.ENDED]


async def test_what_is_taken_back_from_a_dead_worker_costs_no_budget(pool: Pool) -> None:
    await pool.declare(retry_ratio=0, retry_floor=0, retry_burst=1)
    reader = await pool.join()
    for _ in range(3):
        await pool.accept(safe=True)
    await pool.fetch(reader, 3)
    got = await pool.store.reclaim(pool.capability, 1, "w1", confirmed=True, dead_after_ms=0)
    assert got.moved == 3
    assert "retry" not in (await pool.shot()).hashes["stat"]


async def test_a_success_neither_reads_nor_writes_the_budget(pool: Pool) -> None:
    await pool.accept()
    await pool.settle(await pool.take(await pool.join()))
    assert "retry" not in (await pool.shot()).hashes["stat"]
