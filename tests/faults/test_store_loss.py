"""A store that forgets: everything, its scripts, or nothing at all but the time that it was away."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from waiting import until

if TYPE_CHECKING:
    import realredis
    from faults.fabric import Fabric

pytestmark = pytest.mark.slow

AWAY = 1.0
"""Seconds that a crashed store is away: the calls under way end within them."""


async def test_a_wiped_store_ends_each_call_as_store_lost_at_once_and_serves_the_next(
    fabric: Fabric, private_redis: realredis.RedisServer
) -> None:
    fabric.coordinator()
    worker, producer = fabric.worker("worker"), fabric.producer()
    await fabric.usable(worker)
    caught = [fabric.call(tool, ms=2500, how=how) for tool in ("ask", "say") for how in ("call", "submit")]
    caught += [fabric.call("echo", delay=60, timeout=90)]
    producer.tell(caught)
    await until(lambda: len(fabric.executed()) == 4 and len(producer.ids()) == 5, 10.0)
    with contextlib.closing(private_redis.client()) as client:
        client.flushall()
        wiped_at = time.time()
    nonces = {call["nonce"] for call in caught}
    await producer.told(*nonces)
    outcomes = producer.outcomes()
    assert {outcomes[nonce]["code"] for nonce in nonces} == {"STORE_LOST"}
    late = {nonce: outcomes[nonce]["time"] - wiped_at for nonce in nonces}
    assert max(late.values()) <= 2.0, late

    await fabric.usable(worker)
    producer.tell(fabric.load(20))
    await producer.told(count=25)
    await until(lambda: worker.said().count('"settle lost"') == 4, 10.0)
    await fabric.verdict()
    codes = [one["code"] for nonce, one in producer.outcomes().items() if nonce not in nonces]
    assert set(codes) <= {"OK", "TOOL_ERROR"}


async def test_a_store_that_forgets_its_scripts_is_told_them_again_and_nobody_notices(
    fabric: Fabric, private_redis: realredis.RedisServer
) -> None:
    fabric.coordinator()
    worker, producer = fabric.worker("worker"), fabric.producer()
    await fabric.usable(worker)
    with contextlib.closing(private_redis.client()) as client:
        for turn in range(1, 6):
            producer.tell(fabric.load(20, seed=turn))
            client.script_flush()
            await producer.told(count=20 * turn - 10)
            client.script_flush()
    await fabric.verdict()
    assert {one["code"] for one in producer.outcomes().values()} <= {"OK", "TOOL_ERROR"}


async def test_a_store_that_crashes_and_comes_back_with_its_file_has_every_request_answered(
    fabric: Fabric, private_redis: realredis.RedisServer
) -> None:
    fabric.coordinator()
    worker, producer = fabric.worker("worker"), fabric.producer()
    await fabric.usable(worker)
    calls = [*fabric.load(120), fabric.call("say", ms=600), fabric.call("ask", ms=600)]
    producer.tell(calls)
    await producer.told(count=20)
    await fabric.begun(producer, *calls[-2:])
    private_redis.kill()
    back_at = time.monotonic() + AWAY
    producer.tell(fabric.load(10, seed=2))
    await until(lambda: time.monotonic() >= back_at)
    private_redis.start()
    await fabric.verdict()

    outcomes = producer.outcomes()
    assert len(outcomes) == 132
    assert {one["code"] for one in outcomes.values()} <= {"OK", "TOOL_ERROR"}
