"""What a leader deals, what workers hear of it, and how one that holds back takes and waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import realredis
from mcpweft_schemas.life import Class
from mcpweft_schemas.wire import READS
from mcpweft_schemas.word import Word
from waiting import until

if TYPE_CHECKING:
    from mcpweft_schemas.store import Reader
    from mcpweft_schemas.wire import Fetched
    from pool import Pool

pytestmark = realredis.every_store

TTL_MS = 60_000


async def _heard(pool: Pool, worker: str) -> bytes:
    return (await pool.store.beat("echo", pool.workers[worker], 1000, b"")).share


async def _deal(pool: Pool, epoch: int = 1, strategy: str = "predictive", **shares: bytes) -> Word:
    return (await pool.store.deal("echo", epoch, strategy, shares, TTL_MS)).word


async def _fetch(pool: Pool, reader: Reader, slots: int, hold_ms: int, depth: int) -> Fetched:
    return await pool.store.fetch("echo", reader, slots, READS, hold_ms=hold_ms, depth=depth)


# -- dealing -----------------------------------------------------------------------------------------------


async def test_a_worker_hears_its_own_share_with_its_next_beat(pool: Pool) -> None:
    await pool.join("w1")
    await pool.join("w2")
    assert await _heard(pool, "w1") == b""
    assert await _deal(pool, w1=b"one", w2=b"two") is Word.OK
    assert (await _heard(pool, "w1"), await _heard(pool, "w2")) == (b"one", b"two")


async def test_who_is_not_dealt_to_any_more_has_no_share(pool: Pool) -> None:
    await pool.join("w1")
    await _deal(pool, w1=b"one")
    await _deal(pool, w2=b"two")
    assert await _heard(pool, "w1") == b""


async def test_a_leader_of_old_deals_nothing(pool: Pool) -> None:
    await pool.join("w1")
    await _deal(pool, epoch=7, w1=b"new")
    assert await _deal(pool, epoch=6, w1=b"old") is Word.STALE
    assert await _heard(pool, "w1") == b"new"
    assert (await pool.store.deal("nowhere", 9, "predictive", {}, TTL_MS)).word is Word.UNKNOWN


async def test_dealing_tells_which_strategy_was_in_force_before(pool: Pool) -> None:
    assert (await pool.store.deal("echo", 1, "adaptive", {}, TTL_MS)).before == ""
    assert (await pool.store.deal("echo", 1, "predictive", {}, TTL_MS)).before == "adaptive"
    status = await pool.store.status("echo")
    assert status is not None
    assert status.settings["strategy"] == "predictive"


async def test_shares_lapse_when_nobody_deals_any_more(pool: Pool) -> None:
    await pool.join("w1")
    await pool.store.deal("echo", 1, "predictive", {"w1": b"one"}, 50)

    async def gone() -> bool:
        return await _heard(pool, "w1") == b""

    await until(gone)


async def test_a_worker_that_left_takes_its_share_along(pool: Pool) -> None:
    await pool.join("w1")
    await _deal(pool, w1=b"one", w2=b"two")
    await pool.store.retire("echo", "w1")
    await pool.join("w1")
    assert await _heard(pool, "w1") == b""


# -- holding back ------------------------------------------------------------------------------------------


async def test_one_that_holds_back_takes_what_is_old_enough_or_beyond_the_depth(pool: Pool) -> None:
    worker = await pool.join()
    ids = [await pool.accept() for _ in range(5)]
    held = await _fetch(pool, worker, 4, hold_ms=60_000, depth=3)
    assert [delivery.id for delivery in held.deliveries] == ids[:2]
    assert not held.more
    assert held.next_due_ms is not None
    assert 0 < held.next_due_ms <= 60_000
    await asyncio.sleep(0.03)  # time itself is what is tested
    ripe = await _fetch(pool, worker, 4, hold_ms=30, depth=9)
    assert [delivery.id for delivery in ripe.deliveries] == ids[2:]


async def test_what_it_leaves_it_rings_for(pool: Pool) -> None:
    worker = await pool.join()
    await pool.accept()
    waiter = pool.store.link.waiter(pool.store.keys("echo").bell)
    try:
        assert await pool.store.wait_bell(waiter, "echo", 1.0)
        await _fetch(pool, worker, 4, hold_ms=60_000, depth=9)
        assert await pool.store.wait_bell(waiter, "echo", 1.0)
        assert len((await _fetch(pool, worker, 4, hold_ms=0, depth=0)).deliveries) == 1
    finally:
        await waiter.close()


async def test_a_watcher_wakes_for_each_class_and_leaves_the_bell_alone(pool: Pool) -> None:
    waiter = pool.store.link.waiter(pool.store.keys("echo").bell)
    try:
        for klass in Class:
            status = await pool.store.status("echo")
            assert status is not None
            await asyncio.sleep(0.002)  # so that what came before lies before
            assert not await pool.store.watch(waiter, "echo", status.now_ms + 1, 0.01)
            await pool.accept(klass=klass)
            assert await pool.store.watch(waiter, "echo", status.now_ms + 1, 2.0)
        assert await pool.store.wait_bell(waiter, "echo", 0.1)
    finally:
        await waiter.close()


async def test_a_watcher_wakes_for_what_is_delayed_while_there_are_shares(pool: Pool) -> None:
    worker = await pool.join()
    await _deal(pool, w1=b"one")
    await pool.accept()
    delivery = await pool.take(worker)
    fetched = await _fetch(pool, worker, 1, hold_ms=60_000, depth=9)
    waiter = pool.store.link.waiter(pool.store.keys("echo").bell)
    try:
        await asyncio.sleep(0.002)
        await pool.settle(delivery, "release")
        assert await pool.store.watch(waiter, "echo", fetched.now_ms + 1, 2.0)
    finally:
        await waiter.close()
