"""`[coordinator]`: what a running coordinator does as it was told."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

import realredis
from beside import beside
from mcpweft_coordinator.command import Where, resolve
from mcpweft_coordinator.coordinator import Coordinator, coordinator_id
from mcpweft_coordinator.duties import queue_of
from mcpweft_coordinator.entry import _run
from mcpweft_schemas.sweeper import LEASE
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from mcpweft_schemas.config import Config
    from workbench import Bench


@asynccontextmanager
async def leading(
    bench: Bench, config: Config | None = None, **coordinator: Any
) -> AsyncGenerator[Coordinator]:
    """A coordinator that leads."""
    made = Coordinator(
        bench.store, config or bench.config(coordinator=coordinator), holder=coordinator_id(),
        clock=time.monotonic, rng=random.Random(5),
    )  # fmt: skip
    async with beside(made.run()):
        await until(lambda: made.sweeper.figures.leading)
        yield made


async def lease_left(bench: Bench) -> int:
    """The milliseconds that the leader leads without renewing."""
    until_ms = int(await bench.store.link.run("HGET", bench.store.fleet.lease(LEASE), "until"))
    seconds, micros = await bench.store.link.run("TIME")
    return until_ms - int(seconds) * 1000 - int(micros) // 1000


async def test_a_leader_leads_for_its_lease_and_renews_it_in_time(bench: Bench) -> None:
    async with leading(bench, lease="6s"):
        assert 3500 < await lease_left(bench) <= 6000
    async with leading(bench, lease="300ms", sweep="50ms") as made:
        assert 0 < await lease_left(bench) <= 300
        rounds = made.sweeper.figures.rounds
        await until(lambda: made.sweeper.figures.rounds > rounds + 8)  # some 400 ms
        assert made.sweeper.figures.terms == 1


@pytest.mark.parametrize(("sweep", "least", "most"), [(0.02, 0.05, 0.6), (0.3, 0.8, 3.0)])
async def test_a_leader_looks_as_often_as_it_is_told(
    bench: Bench, sweep: float, least: float, most: float
) -> None:
    async with leading(bench, sweep=sweep, lease=1.0) as made:
        figures = made.sweeper.figures
        first = figures.rounds
        await until(lambda: figures.rounds > first)
        began = time.monotonic()
        await until(lambda: figures.rounds >= first + 5)
        assert least < time.monotonic() - began < most


@asynccontextmanager
async def process_like(bench: Bench) -> AsyncGenerator[None]:
    """What `mcpweft coordinator` runs once it has read the file in the working directory."""
    options = resolve(Where())
    assert options.place.url == bench.url
    async with beside(_run(options, coordinator_id(), launch=False)):
        yield


async def test_scheduled_duties_run_on_the_control_store(
    bench: Bench, write: Callable[[str], Path], private_redis: realredis.RedisServer
) -> None:
    write(f'[coordinator]\ncontrol_url = "{private_redis.url}"')
    pattern = queue_of(bench.namespace) + ":health:*"
    async with process_like(bench):
        with private_redis.client() as control:
            await until(lambda: control.keys(pattern))
        assert not await bench.store.link.run("KEYS", pattern)


async def test_a_coordinator_answers_on_its_host_and_port(bench: Bench, write: Callable[[str], Path]) -> None:
    port = realredis.free_port()
    write(f'[coordinator]\nhost = "127.0.0.2"\nport = {port}')
    async with process_like(bench):
        await until(lambda: healthy("127.0.0.2", port))
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def healthy(host: str, port: int) -> bool:
    """Whether /healthz says so there."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.startswith(b"HTTP/1.1 200")
