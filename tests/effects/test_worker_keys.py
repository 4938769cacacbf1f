"""`[worker]`: what a running worker does as it was told."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft_schemas.outcome import Code
from mcpweft_schemas.packing import unpack
from mcpweft_schemas.sweeper import Policy, Sweeper
from pool import Pool
from waiting import until
from workbench import POOL

if TYPE_CHECKING:
    from workbench import Bench


async def beats(bench: Bench, count: int) -> list[int]:
    """The store's times of so many beats, in ms."""
    seen: list[int] = []

    async def enough() -> bool:
        status = await bench.store.status(POOL)
        for beat in status.alive.values() if status else ():
            if beat not in seen:
                seen.append(beat)
        return len(seen) >= count

    await until(enough)
    return seen


async def test_a_worker_beats_as_often_as_it_is_told(bench: Bench) -> None:
    async with bench.worker(bench.config(worker={"heartbeat": 0.03})):
        quick = await beats(bench, 11)
    async with bench.worker(bench.config(worker={"heartbeat": 0.6, "dead_after": 2.0})):
        slow = await beats(bench, 4)
    assert (quick[-1] - quick[1]) / 9 < 150  # ms; a quarter of a second by default
    assert slow[-1] - slow[-2] >= 580  # the first ones tell that it is ready


async def test_a_silent_worker_counts_as_dead_after_its_time(bench: Bench) -> None:
    async def told() -> tuple[int, int] | None:
        status = await bench.store.status(POOL)
        if status is None or not status.alive or not status.usable:
            return None
        (beat,), (end,) = status.alive.values(), status.usable.values()
        return beat, end

    async with bench.worker(bench.config(worker={"dead_after": 2.0})):
        beat, end = await until(told)
    assert end - beat == 6000  # three times the silence, should nobody judge it


@pytest.mark.parametrize("dead_after", [0.3, 2.0])
async def test_a_leader_takes_back_the_work_of_the_silent_after_that_time(
    bench: Bench, dead_after: float
) -> None:
    pool = await Pool.make(bench.store, POOL)
    await pool.accept(safe=True)
    config = bench.config(worker={"dead_after": dead_after, "heartbeat": 0.1})
    sweeper = Sweeper(
        bench.store, "coordinator.one", Policy.of(config), clock=time.monotonic, rng=random.Random(3)
    )
    leading = asyncio.create_task(sweeper.run())
    others = [await pool.join(f"w{n}") for n in (1, 2, 3, 4)]  # a leader doubts itself where all are silent
    delivery = await pool.take(others[0])
    began = time.monotonic()

    async def taken_back() -> bool:
        for reader in others[1:]:
            await bench.store.beat(POOL, reader, 60_000, b"load")
        return (await pool.record(delivery.id))["state"] == "delayed"

    await until(taken_back)
    took = time.monotonic() - began
    leading.cancel()
    await asyncio.wait({leading})
    assert dead_after <= took < dead_after + 1.6  # it judges nobody before it has looked for a while


@pytest.mark.parametrize(("grace", "end"), [(0.2, "delayed"), (5.0, "done")])  # given back, or finished
async def test_a_stopped_worker_waits_for_its_calls_as_long_as_its_grace(
    bench: Bench, grace: float, end: str
) -> None:
    async with bench.worker(bench.config(worker={"grace": grace})) as worker:
        request_id = await bench.enqueue("sleep", {"ms": 800})
        await until(lambda: worker.runner.in_flight)
        began = time.monotonic()
    assert await bench.state(request_id) == end
    assert time.monotonic() - began > 0.2


async def test_a_hung_server_is_restarted_after_its_silence(bench: Bench) -> None:
    config = bench.rogue({"attempt_timeout": 20.0}, worker={"hung_after": 0.4})
    async with bench.worker(config):
        reply = await bench.outcome(await bench.enqueue("deaf"), within=4.0)
    assert (reply.code, reply.cause) == (Code.OUTCOME_UNKNOWN, "SERVER_DIED")


async def test_an_outcome_over_the_limit_is_refused_and_one_below_is_not(bench: Bench) -> None:
    size = 5_000_000
    for limit, code in (("4MB", Code.RESULT_TOO_LARGE), ("6MB", Code.OK)):
        async with bench.worker(bench.config(worker={"max_result": limit})):
            assert (await bench.outcome(await bench.enqueue("blob", {"size": size}))).code is code


async def test_the_limit_holds_for_what_one_line_of_a_server_can_carry(bench: Bench) -> None:
    """A stdio server's answer is one line: its cap must not lie below the limit that was asked for."""
    async with bench.worker():
        reply = await bench.outcome(await bench.enqueue("blob", {"size": 15 << 20}))
        assert reply.code is Code.OK
        body = await bench.store.chunks(POOL, reply)
    assert body is not None
    assert len(unpack(body)["content"][0]["text"]) == 15 << 20


async def test_an_outcome_over_the_inline_limit_is_laid_beside_the_reply(bench: Bench) -> None:
    async with bench.worker(bench.config(worker={"inline_result": 2000})):
        small = await bench.outcome(await bench.enqueue("blob", {"size": 1500}))
        large = await bench.outcome(await bench.enqueue("blob", {"size": 2500}))
    assert (small.chunks, len(small.body) > 1500) == (0, True)
    assert (large.chunks, large.body) == (1, b"")


async def test_a_worker_answers_on_its_host_and_port(bench: Bench) -> None:
    async with bench.worker(bench.config(worker={"host": "127.0.0.2", "port": 0})) as worker:
        assert worker.endpoint is not None
        port = worker.endpoint.port
        assert (await get("127.0.0.2", port))["ready"] is True
        with pytest.raises(ConnectionRefusedError):
            await get("127.0.0.1", port)
    async with bench.worker() as worker:
        assert worker.endpoint is None


async def get(host: str, port: int) -> dict[str, Any]:
    """What /readyz says there."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /readyz HTTP/1.1\r\n\r\n")
    answer = (await reader.read()).partition(b"\r\n\r\n")[2]
    writer.close()
    await writer.wait_closed()
    said: dict[str, Any] = json.loads(answer)
    return said
