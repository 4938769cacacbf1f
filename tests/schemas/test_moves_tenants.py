"""Tenants share a class: one's flood does not make another wait, and nobody starves."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

import realredis
from mcpweft_schemas.life import Class
from mcpweft_schemas.limits import Limit, Limits
from mcpweft_schemas.wire import READS
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from altered import Clock
    from mcpweft_schemas.store import Reader
    from pool import Pool

pytestmark = realredis.every_store


async def _flood(pool: Pool, tenant: str, count: int, **fields: object) -> list[str]:
    items = [pool.submission(tenant=tenant, **fields) for _ in range(count)]
    answers = await pool.store.enqueue("echo", items)
    assert [answer.word for answer in answers.items] == [Word.OK] * count
    return [item.id for item in items]


async def _next(pool: Pool, reader: Reader, slots: int = 1) -> list[str]:
    """The tenants of what a fetch brings."""
    deliveries = (await pool.store.fetch("echo", reader, slots, READS)).deliveries
    return [(delivery.fields.get(b"tenant") or b"").decode() for delivery in deliveries]


async def test_a_light_tenant_waits_behind_one_request_of_a_heavy_one(pool: Pool) -> None:
    reader = await pool.join()
    await _flood(pool, "heavy", 40)
    await _next(pool, reader, 3)
    await _flood(pool, "light", 1)
    assert "light" in await _next(pool, reader, 2)


async def test_tenants_that_all_have_much_to_do_get_equal_parts(pool: Pool) -> None:
    reader = await pool.join()
    for tenant, count in (("a", 45), ("b", 30), ("c", 30)):
        await _flood(pool, tenant, count)
    seen = Counter[str]()
    for slots in (1, 2, 5, 7, 3, 12):
        seen.update(await _next(pool, reader, slots))
    assert sum(seen.values()) == 30
    assert max(seen.values()) - min(seen.values()) <= 3


async def test_a_heavy_tenant_gets_all_that_nobody_else_wants_in_its_order(pool: Pool, clock: Clock) -> None:
    reader = await pool.join()
    ids: list[str] = []
    for _ in range(4):
        ids += await _flood(pool, "heavy", 5)
        await clock.forward(1)
    got: list[str] = []
    while deliveries := (await pool.store.fetch("echo", reader, 6, READS)).deliveries:
        got += [delivery.id for delivery in deliveries]
    assert sorted(got) == sorted(ids)
    moments = [ids.index(each) // 5 for each in got]
    assert moments == sorted(moments)


async def test_a_heavy_tenant_has_its_turn_among_many_light_ones(pool: Pool) -> None:
    reader = await pool.join()
    await _flood(pool, "heavy", 30)
    seen = Counter[str]()
    for number in range(40):  # each moment brings a new tenant, and one place
        await _flood(pool, f"t{number}", 1)
        seen.update(await _next(pool, reader))
    assert seen["heavy"] >= 6, "the queue grows, and so does the round"


async def test_classes_go_before_tenants(pool: Pool) -> None:
    reader = await pool.join()
    await _flood(pool, "a", 30, klass=Class.LOW)
    await _flood(pool, "a", 30, klass=Class.CRITICAL)
    deliveries = (await pool.store.fetch("echo", reader, 18, READS)).deliveries
    classes = Counter(delivery.klass for delivery in deliveries)
    assert classes == {Class.CRITICAL: 16, Class.LOW: 2}


async def test_without_a_tenant_nothing_is_parked(pool: Pool) -> None:
    await _flood(pool, "", 10)
    status = await pool.store.status("echo")
    assert status is not None
    assert (status.waiting[Class.NORMAL], status.delayed, status.due) == (10, 0, 0)


async def test_what_is_parked_counts_as_waiting_and_for_the_bound(pool: Pool) -> None:
    await pool.declare(bound=10, normal_at=1)
    await _flood(pool, "a", 10)
    status = await pool.store.status("echo")
    assert status is not None
    assert (status.waiting[Class.NORMAL], status.delayed, status.due) == (1, 9, 9)
    assert (await pool.enqueue(tenant="b")).word is Word.FULL


@pytest.mark.parametrize("how", ["cancel", "expire", "run"])
async def test_when_the_one_in_the_stream_goes_the_next_takes_its_place(
    clock: Clock, pool: Pool, how: str
) -> None:
    reader = await pool.join()
    (lead,) = await _flood(pool, "a", 1, timeout_ms=500)
    heir, other = await _flood(pool, "a", 2)
    if how == "cancel":
        await pool.store.cancel("echo", lead)
    elif how == "expire":
        await clock.forward(500)
        await pool.store.expire("echo", [lead])
    else:
        assert (await pool.take(reader)).id == lead
    states = [(await pool.record(each))["state"] for each in (heir, other)]
    assert sorted(states) == ["delayed", "queued"]


@pytest.mark.parametrize("how", ["cancel", "expire", "sweep"])
async def test_a_parked_request_ends_like_any_other(clock: Clock, pool: Pool, how: str) -> None:
    reader = await pool.join()
    await _flood(pool, "a", 1)
    (parked,) = await _flood(pool, "a", 1, timeout_ms=500)
    if how == "cancel":
        await pool.store.cancel("echo", parked)
    else:
        await clock.forward(500)
        if how == "expire":
            await pool.store.expire("echo", [parked])
        else:
            await pool.store.sweep("echo", 1)
    assert (await pool.record(parked))["state"] in {"cancelled", "expired"}
    for delivery in await pool.fetch(reader, 5):
        await pool.settle(delivery)
    assert await _next(pool, reader) == []
    shot = await pool.shot()
    assert not [name for name in (*shot.zsets, *shot.hashes) if name.startswith(("park:", "ring:", "lead"))]


async def test_a_lead_that_is_gone_without_a_word_holds_nobody_up(pool: Pool) -> None:
    reader = await pool.join()
    (lead,) = await _flood(pool, "a", 1)
    await _flood(pool, "a", 3)
    pool.sound = False  # as after a store that lost some of its keys
    await pool.store.link.run("DEL", pool.store.keys("echo").record(lead))
    assert await _next(pool, reader, 5) == ["a"] * 3
    await _flood(pool, "a", 2)
    assert await _next(pool, reader, 5) == ["a"] * 2


async def test_a_parked_request_whose_tool_is_at_its_limit_waits_for_that(clock: Clock, pool: Pool) -> None:
    reader = await pool.join(limits=Limits(tools={"echo": Limit(most=1)}))
    await _flood(pool, "a", 3)
    for _ in range(3):
        (delivery,) = (await pool.store.fetch("echo", reader, 5, READS)).deliveries
        await pool.settle(delivery)
    assert await _next(pool, reader, 5) == []


async def test_a_tenant_may_be_called_anything(pool: Pool) -> None:
    reader = await pool.join()
    for tenant in ("a b", "ä{x}:*", "\n", "x" * 500):
        await _flood(pool, tenant, 3)
    assert len(await _next(pool, reader, 12)) == 12


@pytest.mark.parametrize("wrong", ["1", "-3"])
async def test_a_wrong_number_of_parked_requests_is_put_right(pool: Pool, wrong: str) -> None:
    """As a version left it that kept no number."""
    stat = pool.store.keys("echo").prefix + "stat"
    await pool.store.link.run("HSET", stat, "parked", wrong)
    reader = await pool.join()
    assert await pool.fetch(reader, 5) == ()
    assert await pool.store.link.run("HGET", stat, "parked") is None
