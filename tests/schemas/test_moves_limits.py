"""Limits of servers and tools, as fetch keeps to them: calls at a time, calls per second, and pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import realredis
from mcpweft_schemas.life import Class
from mcpweft_schemas.limits import Limit, Limits
from mcpweft_schemas.outcome import Code
from mcpweft_schemas.wire import READS
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from altered import Clock
    from mcpweft_schemas.store import Reader
    from mcpweft_schemas.wire import Delivery, Fetched
    from pool import Pool

pytestmark = realredis.every_store


def server(rate: float | None = None, most: int | None = None) -> Limits:
    return Limits(server=Limit(rate=rate, most=most))


def tool(name: str, rate: float | None = None, most: int | None = None) -> Limits:
    return Limits(tools={name: Limit(rate=rate, most=most)})


async def _fetch(pool: Pool, reader: Reader, slots: int = 10) -> Fetched:
    return await pool.store.fetch("echo", reader, slots, READS)


async def _tools(pool: Pool, reader: Reader, slots: int = 10) -> list[str]:
    return [delivery.tool for delivery in (await _fetch(pool, reader, slots)).deliveries]


# -- calls at a time ---------------------------------------------------------------------------------------


async def test_no_more_run_at_a_time_than_the_server_takes_however_many_workers_it_has(
    clock: Clock, pool: Pool
) -> None:
    first = await pool.join("w1", limits=server(most=3))
    second = await pool.join("w2", limits=server(most=3))
    other = await pool.join("w3", server="beta")
    for _ in range(6):
        await pool.accept()
    assert len((await _fetch(pool, first, 2)).deliveries) == 2
    (third,) = (await _fetch(pool, second)).deliveries
    limited = await _fetch(pool, first)
    assert (limited.word, limited.deliveries, limited.next_due_ms) == (Word.LIMITED, (), None)
    assert len((await _fetch(pool, other, 1)).deliveries) == 1, "another server is not concerned"
    await pool.settle(third)
    assert len((await _fetch(pool, first)).deliveries) == 1


async def _ends(pool: Pool, delivery: Delivery, how: str) -> None:
    if how == "cancel":
        await pool.store.cancel("echo", delivery.id)
        await pool.settle(delivery, "retry", cause="CANCELLED")
    elif how == "reclaim":
        await pool.store.reclaim("echo", 1, "w1", confirmed=True, dead_after_ms=1)
    else:
        await pool.settle(delivery, how)


async def test_however_a_delivery_ends_its_place_is_free_again(clock: Clock, pool: Pool) -> None:
    for how in ("done", "dead", "retry", "release", "cancel", "reclaim"):
        reader = await pool.join("w1", echo=True, limits=server(most=1))
        await pool.accept()
        (delivery,) = (await _fetch(pool, reader)).deliveries
        assert (await _fetch(pool, reader)).word is Word.LIMITED
        await _ends(pool, delivery, how)
        assert (await _fetch(pool, reader, 0)).word is Word.OK, how
        shot = await pool.shot()
        assert not [name for name in shot.zsets if name.startswith("busy:")], how
        other = await pool.join(
            "w9", server="beta"
        )  # takes what was given back, so that the next begins anew
        for left in (await _fetch(pool, other)).deliveries:
            await pool.settle(left, instance="w9")


async def test_a_place_whose_delivery_nobody_saw_end_is_found_free(clock: Clock, pool: Pool) -> None:
    reader = await pool.join("w1", limits=server(most=1))
    await pool.accept()
    (delivery,) = (await _fetch(pool, reader)).deliveries
    pool.sound = False  # as after a store that lost the record and not the index
    await pool.store.link.run("DEL", pool.store.keys("echo").record(delivery.id))
    assert (await _fetch(pool, reader)).word is Word.OK


# -- calls per second --------------------------------------------------------------------------------------


async def test_no_more_start_than_the_rate_and_the_burst_allow_and_the_answer_says_when(
    clock: Clock, pool: Pool
) -> None:
    reader = await pool.join("w1", limits=server(rate=4))
    for _ in range(12):
        await pool.accept()
    assert len((await _fetch(pool, reader)).deliveries) == 4
    limited = await _fetch(pool, reader)
    assert (limited.word, limited.next_due_ms) == (Word.LIMITED, 250)
    await clock.forward(249)
    assert (await _fetch(pool, reader)).word is Word.LIMITED
    await clock.forward(1)
    assert len((await _fetch(pool, reader)).deliveries) == 1
    await clock.forward(10_000)
    assert len((await _fetch(pool, reader)).deliveries) == 4, "a pause saves up one second's worth"


async def test_a_rate_below_one_a_second_lets_one_start_at_a_time(clock: Clock, pool: Pool) -> None:
    reader = await pool.join("w1", limits=server(rate=0.5))
    for _ in range(3):
        await pool.accept()
    assert len((await _fetch(pool, reader)).deliveries) == 1
    assert (await _fetch(pool, reader)).next_due_ms == 2000


# -- tools -------------------------------------------------------------------------------------------------


async def test_a_tool_at_its_limit_is_set_aside_and_the_others_flow(clock: Clock, pool: Pool) -> None:
    reader = await pool.join("w1", slow=True, limits=tool("slow", most=1))
    slow = [await pool.accept(tool="slow") for _ in range(20)]
    await pool.accept(tool="echo")
    assert sorted(await _tools(pool, reader, 2)) == ["echo", "slow"]
    assert await _tools(pool, reader) == []
    await pool.accept(tool="echo", klass=Class.LOW)
    assert await _tools(pool, reader) == ["echo"]
    held = pool.store.keys("echo").record(slow[0])
    assert await pool.store.link.run("HGET", held, "state") == b"running"
    status = await pool.store.status("echo")
    assert status is not None
    assert (sum(status.waiting.values()), status.delayed) == (0, 19)


async def test_a_tool_may_have_a_rate_and_a_bound_at_once(clock: Clock, pool: Pool) -> None:
    reader = await pool.join("w1", slow=True, limits=tool("slow", rate=100, most=1))
    for _ in range(3):
        await pool.accept(tool="slow")
    assert await _tools(pool, reader) == ["slow"]
    assert await _tools(pool, reader) == []


async def test_what_was_set_aside_goes_on_in_its_order_as_places_come_free(clock: Clock, pool: Pool) -> None:
    reader = await pool.join("w1", slow=True, limits=tool("slow", most=2))
    ids = []
    for _ in range(6):
        ids.append(await pool.accept(tool="slow"))
        await clock.forward(1)
    order: list[str] = []
    while deliveries := (await _fetch(pool, reader)).deliveries:
        assert len(deliveries) <= 2
        order += [delivery.id for delivery in deliveries]
        for delivery in deliveries:
            await pool.settle(delivery)
    assert order == ids


async def test_another_server_takes_what_was_set_aside_for_this_one(clock: Clock, pool: Pool) -> None:
    limited = await pool.join("w1", slow=True, limits=tool("slow", most=1))
    free = await pool.join("w2", server="beta", slow=True)
    for _ in range(5):
        await pool.accept(tool="slow")
    assert await _tools(pool, limited) == ["slow"]
    assert await _tools(pool, free) == ["slow"] * 4


async def test_what_was_set_aside_waits_for_a_worker_that_can_read_it(clock: Clock, pool: Pool) -> None:
    reader = await pool.join("w1", slow=True, limits=tool("slow", most=1))
    for _ in range(2):
        await pool.accept(tool="slow")
    (delivery,) = (await _fetch(pool, reader)).deliveries
    await pool.settle(delivery)
    assert (await pool.store.fetch("echo", reader, 5, ("7",))).deliveries == ()
    assert await _tools(pool, reader) == ["slow"]


async def test_a_tool_with_a_rate_says_when_the_next_may_start(clock: Clock, pool: Pool) -> None:
    reader = await pool.join("w1", slow=True, limits=tool("slow", rate=2))
    for _ in range(5):
        await pool.accept(tool="slow")
    assert await _tools(pool, reader) == ["slow"] * 2
    waits = await _fetch(pool, reader)
    assert (waits.word, waits.next_due_ms) == (Word.OK, 500)
    await clock.forward(500)
    assert await _tools(pool, reader) == ["slow"]


async def test_a_request_that_was_set_aside_ends_like_any_other(clock: Clock, pool: Pool) -> None:
    reader = await pool.join("w1", slow=True, limits=tool("slow", most=1))
    for _ in range(2):
        await pool.accept(tool="slow", timeout_ms=500)
    cancelled = await pool.accept(tool="slow")
    (running,) = (await _fetch(pool, reader)).deliveries
    assert await pool.store.cancel("echo", cancelled) == Word.OK
    await clock.forward(500)
    await _fetch(pool, reader)
    await pool.settle(running)
    shot = await pool.shot()
    assert {record["state"] for record in shot.records().values()} <= {"cancelled", "expired", "done"}
    assert not [name for name in shot.zsets if name.startswith(("aside:", "busy:", "delayed"))]


async def test_what_is_set_aside_counts_for_the_bound(clock: Clock, pool: Pool) -> None:
    await pool.declare(bound=4, normal_at=1)
    reader = await pool.join("w1", slow=True, limits=tool("slow", most=1))
    for _ in range(4):
        await pool.accept(tool="slow")
    await _fetch(pool, reader)
    assert (await pool.enqueue(tool="echo")).word is Word.FULL


async def test_a_limit_that_is_lifted_lets_all_go(clock: Clock, pool: Pool) -> None:
    reader = await pool.join("w1", slow=True, limits=tool("slow", most=1))
    for _ in range(4):
        await pool.accept(tool="slow")
    assert await _tools(pool, reader) == ["slow"]
    reader = await pool.join("w1", slow=True, limits=tool("slow", most=9))
    assert await _tools(pool, reader) == ["slow"] * 3


@pytest.mark.parametrize("limits", ["none", "another tool"])
async def test_a_limit_that_is_removed_lets_all_go(pool: Pool, limits: str) -> None:
    reader = await pool.join("w1", slow=True, limits=tool("slow", most=1))
    for _ in range(4):
        await pool.accept(tool="slow")
    assert await _tools(pool, reader) == ["slow"]
    reader = await pool.join("w1", slow=True, limits=Limits() if limits == "none" else tool("other", most=1))
    assert await _tools(pool, reader) == ["slow"] * 3
    assert await _tools(pool, reader) == []


# -- pauses ------------------------------------------------------------------------------------------------


async def test_a_server_that_asked_to_be_left_alone_is_by_all_its_workers_and_by_no_others(
    clock: Clock, pool: Pool
) -> None:
    mine, mate = await pool.join("w1"), await pool.join("w2")
    other = await pool.join("w3", server="beta")
    for _ in range(3):
        await pool.accept()
    assert await pool.store.pause("echo", "alpha", 2000) is Word.OK
    assert await pool.store.pause("echo", "alpha", 500) is Word.OK, "the longer one counts"
    for reader in (mine, mate):
        paused = await _fetch(pool, reader)
        assert (paused.word, paused.next_due_ms) == (Word.LIMITED, 2000)
    assert len((await _fetch(pool, other, 1)).deliveries) == 1
    await clock.forward(2000)
    assert len((await _fetch(pool, mine)).deliveries) == 2


async def test_a_pool_that_is_not_there_is_not_made_by_a_pause(pool: Pool) -> None:
    assert await pool.store.pause("nowhere", "alpha", 1) is Word.UNKNOWN


async def test_an_answer_comes_all_the_same_while_its_server_pauses(clock: Clock, pool: Pool) -> None:
    reader = await pool.join("w1")
    await pool.accept()
    (delivery,) = (await _fetch(pool, reader)).deliveries
    await pool.store.pause("echo", "alpha", 2000)
    assert await pool.settle(delivery, code=Code.OK) is Word.OK
