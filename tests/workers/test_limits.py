"""Limits of servers, with real workers and real servers: the truth is what the servers wrote down."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft_schemas.outcome import Code
from mcpweft_workers.breaker import State
from mcpweft_workers.respite import LONGEST, UNSAID, respite
from servers.hold import listening
from waiting import until
from workbench import POOL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcpweft_workers.worker import Worker
    from workbench import Bench

NAP_MS = 150


@asynccontextmanager
async def crew(bench: Bench, count: int, **server: Any) -> AsyncGenerator[list[Worker]]:
    """So many workers of one server that is written so."""
    config = bench.config(server)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(bench.worker(config)) for _ in range(count)]


def most_within(times: list[float], seconds: float) -> int:
    """The largest number of moments that lie within so many seconds."""
    return max(sum(begin <= time < begin + seconds for time in times) for begin in times)


def begun(bench: Bench, tool: str) -> list[float]:
    """When the servers began each call of a tool."""
    return sorted(line["time"] for line in bench.executed() if line["tool"] == tool)


async def answered(bench: Bench, ids: list[str]) -> None:
    for each in ids:
        assert (await bench.outcome(each, within=30.0)).code is Code.OK


async def test_no_more_calls_run_at_a_time_in_the_whole_fleet_than_the_server_takes(bench: Bench) -> None:
    async with crew(bench, 3, concurrency=4, max_in_flight=3):
        await answered(bench, await bench.enqueue_many([("sleep", {"ms": NAP_MS})] * 18))
    times = begun(bench, "sleep")
    assert len(times) == 18
    assert most_within(times, NAP_MS / 1000) == 3, "each lasts that long at least"


async def test_no_more_calls_start_in_the_whole_fleet_than_the_rate_allows(bench: Bench) -> None:
    async with crew(bench, 3, concurrency=4, rate="10/s"):
        await answered(bench, await bench.enqueue_many([("echo", {"text": "x"})] * 30))
    times = begun(bench, "echo")
    for seconds in (0.5, 1.0, 1.5):  # a call may take 50 ms longer on its way than the next
        assert most_within(times, seconds) <= 10 * (seconds + 0.05) + 10
    assert times[-1] - times[0] > 1.8, "ten at once, and twenty more at ten a second"


async def test_a_tool_at_its_limit_lets_the_others_flow(bench: Bench) -> None:
    async with crew(bench, 2, concurrency=4, tool_max_in_flight={"sl*": 1}):
        slow = await bench.enqueue_many([("sleep", {"ms": NAP_MS})] * 8)
        await answered(bench, await bench.enqueue_many([("echo", {"text": "x"})] * 8))
        assert len(begun(bench, "sleep")) < 8, "the others did not wait for them"
        await answered(bench, slow)
    assert most_within(begun(bench, "sleep"), NAP_MS / 1000) == 1


async def test_a_tool_has_a_rate_of_its_own(bench: Bench) -> None:
    async with crew(bench, 2, concurrency=4, tool_rates={"sleep": "5/s"}):
        await answered(bench, await bench.enqueue_many([("sleep", {"ms": 1})] * 12))
    times = begun(bench, "sleep")
    assert most_within(times, 1.0) <= 5 * 1.05 + 5
    assert times[-1] - times[0] > 1.2


async def test_several_pools_of_one_server_stay_below_its_limit_together(bench: Bench) -> None:
    pools = [POOL, "other"]
    async with crew(bench, 2, concurrency=4, max_in_flight=4, capabilities=pools):
        ids = [
            each
            for pool in pools
            for each in await bench.enqueue_many([("sleep", {"ms": NAP_MS})] * 8, pool=pool)
        ]
        await answered(bench, ids)
    assert most_within(begun(bench, "sleep"), NAP_MS / 1000) <= 4


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_asks_for_a_pause_gets_it_from_the_whole_fleet(bench: Bench, status: int) -> None:
    ledger = str(bench.ledger)
    with listening("web.py", "--ledger", ledger) as (_, port):
        web = {"command": None, "args": [], "url": f"http://127.0.0.1:{port}/mcp", "idempotent": ["later"]}
        async with crew(bench, 2, **web) as workers:
            later = await bench.enqueue("later", {"status": status, "after": 1, "_nonce": "n"})
            await until(lambda: begun(bench, "later"))
            await asyncio.sleep(0.2)  # until the refusal is known to all
            echoes = await bench.enqueue_many([("echo", {"text": "x"})] * 6)
            await answered(bench, [later, *echoes])
            assert all(worker.gate.breaker.state(time.monotonic()) is State.CLOSED for worker in workers)
    refused, again = begun(bench, "later")
    assert again - refused >= 0.95
    assert begun(bench, "echo")[0] - refused >= 0.95


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, UNSAID),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("99999", LONGEST),
        (formatdate(1030, usegmt=True), 30.0),
        (formatdate(900, usegmt=True), 0.0),
        ("soon", UNSAID),
        ("-3", UNSAID),
        ("", UNSAID),
    ],
)
def test_what_is_asked_for_is_read_and_bounded(header: str | None, seconds: float) -> None:
    assert respite(header, 1000.0) == seconds
