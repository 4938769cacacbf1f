"""`[queue]`: what a pool holds, refuses and keeps, as whoever declares it was told."""

from __future__ import annotations

import random
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft import Client
from mcpweft_coordinator.registrar import Registrar
from mcpweft_schemas.life import Class
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.store import Reader
from mcpweft_schemas.wire import READS, Settlement, Submission, pack_request
from workbench import POOL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mcpweft_schemas.wire import Delivery
    from workbench import Bench

by_each = pytest.mark.parametrize("who", ["worker", "coordinator"])


async def declare(bench: Bench, who: str, **queue: Any) -> None:
    """Let a worker, or a coordinator, declare the pool as a configuration says."""
    config = bench.config(queue=queue)
    if who == "coordinator":
        await Registrar(bench.store, config, random.Random(1)).declare()
        return
    async with bench.worker(config):
        pass


async def accepted(bench: Bench, klass: Class, size: int = 1) -> int:
    """Enqueue until one is refused for want of room; return how many were taken."""
    for count in range(100):
        item = Submission(
            id=f"{POOL}~{uuid.uuid4().hex}", tool="echo", klass=klass, timeout_ms=60_000, keep_ms=60_000,
            body=pack_request({"text": "x" * size}, None),
        )  # fmt: skip
        (answer,) = (await bench.store.enqueue(POOL, [item])).items
        if answer.word == "FULL":
            return count
        assert answer.word == "OK"
    raise AssertionError("nothing was refused")


@by_each
async def test_a_pool_refuses_at_its_bound(bench: Bench, who: str) -> None:
    await declare(bench, who, bound=7)
    assert await accepted(bench, Class.CRITICAL) == 7


@by_each
async def test_a_pool_refuses_at_its_bytes(bench: Bench, who: str) -> None:
    await declare(bench, who, max_bytes="10kB")
    assert await accepted(bench, Class.CRITICAL, size=3000) == 3


@by_each
async def test_each_class_is_refused_from_its_own_level_on(bench: Bench, who: str) -> None:
    await declare(bench, who, bound=20, low_at=0.1, normal_at=0.25, high_at=0.4)
    taken = [await accepted(bench, klass) for klass in (Class.LOW, Class.NORMAL, Class.HIGH, Class.CRITICAL)]
    assert taken == [2, 3, 3, 12]  # each on top of the ones before


@by_each
async def test_a_dead_letter_is_kept_for_its_time(bench: Bench, who: str) -> None:
    await declare(bench, who, dead_ttl="90s")
    async with bench.worker():
        request_id = await bench.enqueue("crash")
        assert (await bench.outcome(request_id)).code is Code.OUTCOME_UNKNOWN
    assert [letter.id for letter in await bench.store.dead(POOL)] == [request_id]
    assert 60_000 < await left(bench, bench.store.keys(POOL).record(request_id)) <= 90_000


async def retried(bench: Bench, requests: int) -> int:
    """Let each of so many requests fail once; return how many of them are tried again."""
    await bench.enqueue_many([("echo", {})] * requests, safe=True)
    inc = await bench.store.declare(POOL, "never")
    reader = Reader("w1", "alpha", "w1", inc, 1)
    await bench.store.register(POOL, reader, b"", [("echo", True, b"")])
    words: list[str] = []
    while len(words) < requests:
        for one in (await bench.store.fetch(POOL, reader, 50, READS)).deliveries:
            if one.deliveries == 1:
                words += await bench.store.settle(POOL, "w1", [failed(one)])
    return words.count("RETRIED")


def failed(delivery: Delivery) -> Settlement:
    return Settlement(
        delivery.id, delivery.stream, delivery.entry, "retry", "", "SERVER_DIED", Executed.MAYBE,
        backoff_ms=20_000,
    )  # fmt: skip


@by_each
async def test_so_many_retries_are_saved_up(bench: Bench, who: str) -> None:
    await declare(bench, who, retry_burst=5, retry_ratio=0, retry_floor=0)
    assert await retried(bench, 40) == 5


@by_each
async def test_each_request_that_ended_earns_that_part_of_a_retry(bench: Bench, who: str) -> None:
    await declare(bench, who, retry_burst=1, retry_ratio=0.5, retry_floor=0)
    assert await retried(bench, 40) == 1 + 39 // 3  # two end for each that is tried again


@by_each
async def test_so_many_retries_are_earned_a_second(bench: Bench, who: str) -> None:
    await declare(bench, who, retry_burst=1, retry_ratio=0, retry_floor=20)
    began = time.monotonic()
    found = 0
    while found < 10:
        found += await retried(bench, 10)
    assert 0.3 < time.monotonic() - began < 5.0


async def test_the_outcome_of_a_submit_is_kept_for_its_time(
    bench: Bench, write: Callable[[str], Path]
) -> None:
    write('[queue]\nresult_ttl = "2m"')
    async with bench.worker(), Client() as client:
        handle = await client.submit(f"{POOL}.echo", {"text": "x"})
        assert (await handle.result()).text == "x"
        assert 60_000 < await left(bench, bench.store.keys(POOL).record(handle.id)) <= 120_000


async def test_an_idempotency_key_stands_for_its_time(bench: Bench, write: Callable[[str], Path]) -> None:
    write('[queue]\nidempotency_ttl = "3m"')
    async with bench.worker(), Client() as client:
        await client.call(f"{POOL}.echo", {"text": "x"}, idempotency_key="once")
    (key,) = await bench.store.link.run("KEYS", bench.store.keys(POOL).prefix + "i:*")
    assert 120_000 < await left(bench, key) <= 180_000


async def left(bench: Bench, key: str | bytes) -> int:
    """The milliseconds that a key has left."""
    return int(await bench.store.link.run("PTTL", key))
