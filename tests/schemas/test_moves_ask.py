"""Asking and listening: lookup, attach, inspect, the reply stream, the bell, and the dead letters."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import realredis
from mcpweft_schemas.life import Class, State
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.wire import STORED, Reply
from mcpweft_schemas.word import Word
from pool import OTHER, PRODUCER

if TYPE_CHECKING:
    from altered import Clock
    from pool import Pool

pytestmark = realredis.every_store


# -- lookup, attach, inspect -------------------------------------------------------------------------------


async def test_lookup_tells_where_each_of_many_requests_stands(pool: Pool) -> None:
    kept = await pool.accept(flags=STORED)
    told = await pool.accept()
    worker = await pool.join()
    for delivery in await pool.fetch(worker, 2):
        await pool.settle(delivery)
    running = await pool.accept()
    await pool.take(worker)
    before = await pool.shot()
    incarnation, at = await pool.store.lookup("echo", [kept, told, running, "echo~nobody"])
    assert incarnation == pool.incarnation
    assert [at[i].word for i in (kept, told, running, "echo~nobody")] == [
        Word.SETTLED, Word.SETTLED, Word.OK, Word.UNKNOWN,
    ]  # fmt: skip
    assert (at[kept].state, at[kept].code, at[running].state) == (State.DONE, Code.OK, State.RUNNING)
    assert at[kept].outcome == await pool.outcome(kept)
    assert at[told].outcome is None
    assert await pool.shot() == before


async def test_whoever_attaches_is_told_the_outcome_once(pool: Pool) -> None:
    request = await pool.accept(waiter="")
    for _ in range(2):
        standing = await pool.store.attach("echo", request, OTHER)
        assert (standing.word, standing.state) == (Word.ATTACHED, State.QUEUED)
    await pool.settle(await pool.take(await pool.join()))
    assert (await pool.outcome(request, OTHER)).code == Code.OK
    assert await pool.heard() == []


async def test_attaching_to_an_ended_request_hands_out_what_was_kept_and_changes_nothing(pool: Pool) -> None:
    kept, told = await pool.accept(flags=STORED), await pool.accept()
    for delivery in await pool.fetch(await pool.join(), 2):
        await pool.settle(delivery)
    before = await pool.shot()
    standing = await pool.store.attach("echo", kept, OTHER)
    assert standing.outcome == await pool.outcome(kept)
    assert (await pool.store.attach("echo", told, OTHER)).outcome is None
    assert (await pool.store.attach("echo", "echo~nobody", OTHER)).word == Word.UNKNOWN
    assert await pool.shot() == before


async def test_inspect_tells_the_place_in_the_queue(pool: Pool) -> None:
    sent = [await pool.accept() for _ in range(4)]
    await pool.accept(klass=Class.LOW)
    await pool.take(await pool.join())
    places: list[int | None] = []
    for request in sent:
        found = await pool.store.inspect("echo", request)
        assert found is not None
        places.append(found.ahead)
    assert places == [None, 0, 1, 2]
    assert await pool.store.inspect("echo", "echo~nobody") is None


async def test_inspect_tells_each_attempt_and_the_next_step(clock: Clock, pool: Pool) -> None:
    request = await pool.accept(safe=True, tenant="blue")
    delivery = await pool.take(await pool.join())
    await clock.forward(40)
    await pool.settle(delivery, "retry", executed=Executed.MAYBE, backoff_ms=100)
    found = await pool.store.inspect("echo", request)
    assert found is not None
    assert (found.state, found.now_ms, found.due_ms) == (State.DELAYED, clock.ms, clock.ms)
    assert [(a.server, a.worker, a.cause, a.executed, a.took_ms) for a in found.attempts] == [
        ("alpha", "w1", "SERVER_DIED", Executed.MAYBE, 40)
    ]
    assert found.fields["tenant"] == "blue"
    assert found.fields["deadline"] == str(clock.ms - 40 + 60_000)
    assert "held" not in found.fields


async def test_inspect_answers_even_where_the_group_is_gone(pool: Pool) -> None:
    request = await pool.accept()
    await pool.store.link.run("XGROUP", "DESTROY", pool.store.keys("echo").stream("normal"), "w")
    found = await pool.store.inspect("echo", request)
    assert found is not None
    assert found.ahead == 0


# -- the reply stream --------------------------------------------------------------------------------------


async def test_hear_says_whether_the_stream_was_still_there(pool: Pool) -> None:
    assert await pool.store.hear("echo", PRODUCER, 60_000) is True
    await pool.store.link.run("DEL", pool.store.keys("echo").reply(PRODUCER))
    assert await pool.store.hear("echo", PRODUCER, 60_000) is False
    assert await pool.store.hear("echo", PRODUCER, 60_000) is True


async def test_hear_keeps_the_stream_for_as_long_as_it_was_told(pool: Pool) -> None:
    await pool.store.hear("echo", PRODUCER, 5000)
    assert 4000 < await pool.store.link.run("PTTL", pool.store.keys("echo").reply(PRODUCER)) <= 5000


async def test_hear_trims_only_what_was_read(pool: Pool) -> None:
    for _ in range(5):
        await pool.cancel(await pool.accept())
    entries = list((await pool.shot()).streams[f"reply:{PRODUCER}"].entries)
    for _ in range(2):
        await pool.store.hear("echo", PRODUCER, 60_000, entries[3])
        assert list((await pool.shot()).streams[f"reply:{PRODUCER}"].entries) == entries[3:]


async def test_a_producer_that_waits_hears_an_outcome_from_its_position_on(pool: Pool) -> None:
    key = pool.store.keys("echo").reply(PRODUCER)
    waiter = pool.store.link.waiter(key)
    try:
        first = await pool.store.wait_entries(waiter, {key: "0"})
        position = first[key][-1][0]
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(pool.store.wait_entries(waiter, {key: position}))
            request = await pool.accept()
            await pool.cancel(request)
        ((_, fields),) = waiting.result()[key]
        reply = Reply.read(fields)
        assert reply is not None
        assert (reply.id, reply.code) == (request, Code.CANCELLED)
    finally:
        await waiter.close()


async def test_a_wait_is_ended_by_unblock_as_if_its_time_were_over(pool: Pool) -> None:
    key = pool.store.keys("echo").reply(PRODUCER)
    waiter = pool.store.link.waiter(key)
    try:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(pool.store.wait_entries(waiter, {key: "$"}))
            while not waiting.done():  # one that comes before the block has begun wakes nobody
                await pool.store.link.unblock(waiter, key)
                await asyncio.sleep(0)
        assert waiting.result() == {}
    finally:
        await waiter.close()


# -- the bell ----------------------------------------------------------------------------------------------


async def test_one_ring_wakes_one_worker(pool: Pool) -> None:
    waiters = [pool.store.link.waiter(pool.store.keys("echo").bell) for _ in range(2)]
    try:
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(pool.store.wait_bell(w, "echo", 0.3)) for w in waiters]
            await pool.accept()
        assert sorted(wait.result() for wait in waits) == [False, True]
    finally:
        for waiter in waiters:
            await waiter.close()


async def test_whoever_took_the_token_and_cannot_serve_rings_it_back(pool: Pool) -> None:
    waiter = pool.store.link.waiter(pool.store.keys("echo").bell)
    try:
        await pool.accept()
        assert await pool.store.wait_bell(waiter, "echo", 0.1) is True
        assert await pool.store.wait_bell(waiter, "echo", 0.01) is False
        await pool.store.ring("echo")
        assert await pool.store.wait_bell(waiter, "echo", 0.1) is True
    finally:
        await waiter.close()


# -- dead letters ------------------------------------------------------------------------------------------


async def _dead(pool: Pool, **fields: object) -> str:
    request = await pool.accept(max_attempts=1, **fields)
    await pool.settle(await pool.take(await pool.join()), "retry")
    return request


async def test_dead_letters_are_listed_newest_first_with_their_reason(clock: Clock, pool: Pool) -> None:
    first = await _dead(pool, tenant="blue", klass=Class.HIGH)
    await clock.forward(10)
    second = await _dead(pool)
    letters = await pool.store.dead("echo")
    assert [letter.id for letter in letters] == [second, first]
    assert (letters[1].tool, letters[1].klass, letters[1].tenant) == ("echo", Class.HIGH, "blue")
    assert (letters[1].code, letters[1].executed) == (Code.FAILOVER_EXHAUSTED, Executed.NO)
    assert (letters[0].ended_ms, len(letters[0].attempts)) == (clock.ms, 1)
    assert [letter.id for letter in await pool.store.dead("echo", 1, 1)] == [first]


async def test_a_replayed_letter_is_accepted_anew_and_leaves_the_dead(pool: Pool) -> None:
    letter = await _dead(pool, klass=Class.HIGH, body=b"the same")
    again = await pool.store.replay("echo", letter, "echo~two", timeout_ms=5000, keep_ms=9000)
    assert (again, await pool.store.dead("echo")) == (Word.OK, ())
    delivery = await pool.take(await pool.join())
    assert (delivery.id, delivery.body, delivery.klass) == ("echo~two", b"the same", Class.HIGH)
    assert delivery.attempt == 1
    await pool.settle(delivery)
    _, standings = await pool.store.lookup("echo", ["echo~two"])
    assert standings["echo~two"].outcome is not None
    assert (await pool.record(letter))["replayed_as"] == "echo~two"


async def test_a_repeated_replay_answers_repeat_and_another_one_finds_no_letter(pool: Pool) -> None:
    letter = await _dead(pool)
    await pool.store.replay("echo", letter, "echo~two", timeout_ms=5000, keep_ms=9000)
    before = await pool.shot()
    assert await pool.store.replay("echo", letter, "echo~two", timeout_ms=5000, keep_ms=9000) == Word.REPEAT
    assert await pool.store.replay("echo", letter, "echo~three", timeout_ms=1, keep_ms=1) == Word.UNKNOWN
    assert await pool.shot() == before


async def test_only_dead_letters_are_replayed(pool: Pool) -> None:
    request = await pool.accept()
    assert await pool.store.replay("echo", request, "echo~two", timeout_ms=1, keep_ms=1) == Word.UNKNOWN
    assert await pool.store.replay("echo", "echo~no", "echo~two", timeout_ms=1, keep_ms=1) == Word.UNKNOWN


async def test_a_purged_letter_is_forgotten_and_cannot_be_replayed(pool: Pool) -> None:
    letters = [await _dead(pool) for _ in range(3)]
    assert await pool.store.purge("echo", [*letters[:2], "echo~nobody"]) == 2
    assert await pool.store.purge("echo", letters[:2]) == 0
    assert [letter.id for letter in await pool.store.dead("echo")] == letters[2:]
    assert await pool.store.replay("echo", letters[0], "echo~two", timeout_ms=1, keep_ms=1) == Word.UNKNOWN
    ttl = await pool.store.link.run("PTTL", pool.store.keys("echo").record(letters[0]))
    assert 0 < ttl <= 60_000
