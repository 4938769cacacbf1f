"""`[call]`: what a client that found the file gives its requests, and what a worker does about attempts."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from mcpweft import Client
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_workers.breaker import Permit
from mcpweft_workers.failure import CallFailed, Cause
from mcpweft_workers.runner import Run
from pool import Pool
from waiting import until
from workbench import POOL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from pathlib import Path

    from workbench import Bench


async def waiting(bench: Bench) -> list[str]:
    """The requests that the pool has a record of."""
    found: list[bytes] = await bench.store.link.run("KEYS", bench.store.keys(POOL).record("*"))
    return [key.decode().rpartition(":")[2] for key in found]


@asynccontextmanager
async def called(bench: Bench) -> AsyncGenerator[Mapping[str, str]]:
    """The record of a call that nobody serves, made by a client that found the file."""
    await bench.store.declare(POOL, "x")
    async with Client() as client:
        call = asyncio.create_task(client.call(f"{POOL}.echo", {"text": "x"}))
        (request_id,) = await until(lambda: waiting(bench))
        yield (await bench.seen(request_id)).fields
        call.cancel()
        await asyncio.wait({call})


async def test_a_call_has_its_total_time(bench: Bench, write: Callable[[str], Path]) -> None:
    write('[call]\ntimeout = "100s"')
    async with called(bench) as record:
        assert int(record["deadline"]) - int(record["accepted"]) == 100_000


async def test_a_call_has_its_attempts(bench: Bench, write: Callable[[str], Path]) -> None:
    write("[call]\nmax_attempts = 2")
    async with called(bench) as record:
        assert record["max"] == "2"


async def test_a_submitted_request_has_its_total_time(bench: Bench, write: Callable[[str], Path]) -> None:
    write('[call]\nsubmit_timeout = "20m"')
    await bench.store.declare(POOL, "x")
    async with Client() as client:
        handle = await client.submit(f"{POOL}.echo", {"text": "x"})
        record = (await bench.seen(handle.id)).fields
    assert int(record["deadline"]) - int(record["accepted"]) == 1_200_000


async def test_a_client_has_no_more_requests_open_than_it_may(
    bench: Bench, write: Callable[[str], Path]
) -> None:
    write("[call]\noutstanding = 2")
    await bench.store.declare(POOL, "x")
    async with Client() as client:
        calls = [asyncio.create_task(client.call(f"{POOL}.echo", {"text": f"{n}"})) for n in range(5)]
        await until(lambda: waiting(bench))
        await client.pools()  # a turn of the store later
        assert len(await waiting(bench)) == 2
        async with bench.worker():
            assert [(await call).text for call in calls] == [f"{n}" for n in range(5)]


async def test_an_attempt_ends_after_its_time(bench: Bench) -> None:
    async with bench.worker(bench.config(call={"attempt_timeout": 0.1})):
        reply = await bench.outcome(await bench.enqueue("sleep", {"ms": 9000}, max_attempts=1))
    assert (reply.code, reply.cause) == (Code.FAILOVER_EXHAUSTED, "ATTEMPT_TIMEOUT")


async def longest(bench: Bench, attempt: int, **call: float) -> int:
    """The longest of many backoffs after a failed attempt, as the worker settles it; ms."""
    pool = await Pool.make(bench.store, POOL)
    await pool.accept()
    delivery = replace(await pool.take(await pool.join()), attempt=attempt)
    worker = bench.make(bench.config(call=call))
    run = Run(worker._bindings[POOL], delivery, Permit(0, 1), 0.0)
    failure = CallFailed(Cause.SERVER_DIED, "gone", executed=Executed.NO)
    waits = [worker.runner._failed(run, failure).settlement.backoff_ms for _ in range(300)]
    worker.gate.shut_down()
    await worker.store.link.close()
    return max(waits)


async def test_the_first_wait_between_attempts_is_as_long_as_the_backoff(bench: Bench) -> None:
    assert 2700 < await longest(bench, 1, backoff=3.0, backoff_max=10.0) <= 3000


async def test_later_waits_grow_no_longer_than_the_longest_backoff(bench: Bench) -> None:
    assert 3600 < await longest(bench, 9, backoff=1.0, backoff_max=4.0) <= 4000
