"""What calls come to when the store, or the way to it, fails. Each test has a server of its own."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from loopworker import HANDLERS, LoopWorker, desk_of
from mcpweft import Client, Executed, errors
from mcpweft_schemas.packing import pack
from mcpweft_schemas.wire import Reply
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import realredis


@pytest.fixture
async def worker(private_redis: realredis.RedisServer) -> AsyncIterator[LoopWorker]:
    async with LoopWorker(private_redis.url, "own", "cap", HANDLERS) as started:
        yield started


@pytest.fixture
async def client(private_redis: realredis.RedisServer) -> AsyncIterator[Client]:
    async with Client(private_redis.url, namespace="own") as opened:
        yield opened


def _stream(client: Client) -> str:
    desk = desk_of(client)
    return f"mcpweft:own:{{cap}}:reply:{desk.producer}"


async def test_a_wiped_store_ends_each_call_within_two_seconds(
    client: Client, worker: LoopWorker, private_redis: realredis.RedisServer
) -> None:
    calls = [asyncio.create_task(client.call("cap.block")) for _ in range(20)]
    await until(lambda: len(worker.fetched) == 20)
    loop = asyncio.get_running_loop()
    before = loop.time()
    with private_redis.client() as look:
        look.flushall()
    got = await asyncio.gather(*calls, return_exceptions=True)
    assert loop.time() - before < 2
    assert all(isinstance(error, errors.StoreLostError) for error in got)
    assert {error.executed for error in got if isinstance(error, errors.StoreLostError)} == {Executed.MAYBE}
    await until(client.pools)  # the worker has registered again
    assert (await client.call("cap.echo", {"text": "as before"})).text == "as before"


async def test_a_lost_reply_stream_is_made_anew_and_nothing_is_missed(
    client: Client, worker: LoopWorker, private_redis: realredis.RedisServer
) -> None:
    calls = [asyncio.create_task(client.call("cap.block")) for _ in range(5)]
    await until(lambda: len(worker.fetched) == 5)
    with private_redis.client() as look:
        look.delete(_stream(client))
        worker.gate.set()  # these outcomes find no stream, and are kept in their records
        got = await asyncio.gather(*calls)
        assert [result.text for result in got] == ["free"] * 5
        await until(lambda: look.exists(_stream(client)))


async def test_a_reply_that_was_lost_with_its_stream_is_said_to_be_so(
    client: Client, worker: LoopWorker, private_redis: realredis.RedisServer
) -> None:
    call = asyncio.create_task(client.call("cap.block"))
    await until(lambda: worker.fetched)
    desk = desk_of(client)
    listener = desk.reader._streams["cap"].listener
    key = _stream(client)
    listener.positions[key] = "9999999999999-0"  # deaf: what comes now is not read
    assert listener._waiter is not None
    await desk.reader._store.link.unblock(listener._waiter, key)
    await until(lambda: key in listener._reading)
    worker.gate.set()
    with private_redis.client() as look:
        await until(lambda: look.xlen(key) == 2)
        look.delete(key)
    with pytest.raises(errors.ResultExpiredError, match="ended as OK, and its outcome was lost"):
        await call


async def test_a_restarted_store_costs_no_call(
    client: Client, worker: LoopWorker, private_redis: realredis.RedisServer
) -> None:
    calls = [asyncio.create_task(client.call("cap.block", {"n": n})) for n in range(20)]
    await until(lambda: len(worker.fetched) == 20)
    await asyncio.to_thread(private_redis.restart)
    worker.gate.set()
    more = [asyncio.create_task(client.call("cap.echo", {"text": str(n)})) for n in range(20)]
    assert [result.text for result in await asyncio.gather(*calls)] == ["free"] * 20
    assert [result.text for result in await asyncio.gather(*more)] == [str(n) for n in range(20)]


async def test_calls_made_while_the_store_is_away_go_through_when_it_is_back(
    client: Client, worker: LoopWorker, private_redis: realredis.RedisServer
) -> None:
    await client.call("cap.echo")
    await asyncio.to_thread(private_redis.stop)
    call = asyncio.create_task(client.call("cap.echo", {"text": "patient"}))
    quick = asyncio.create_task(client.call("cap.echo", timeout="200ms"))
    with pytest.raises((errors.ConnectionFailedError, errors.RequestTimeoutError)) as caught:
        await quick
    assert caught.value.executed is not Executed.YES  # it went into a connection that was just being closed
    await asyncio.to_thread(private_redis.start)
    assert (await call).text == "patient"


async def test_connections_cut_in_the_midst_lose_and_double_nothing(
    client: Client, worker: LoopWorker, private_redis: realredis.RedisServer
) -> None:
    ran: list[int] = []

    async def count(worker: LoopWorker, delivery: Any, arguments: dict[str, Any]) -> Any:
        ran.append(arguments["n"])
        return arguments["n"]

    worker.handlers = {**HANDLERS, "count": count}
    with private_redis.client() as look:
        kill = ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

        async def cut() -> None:
            while True:
                await asyncio.to_thread(look.execute_command, *kill)
                await asyncio.sleep(0.05)

        cutter = asyncio.create_task(cut())
        try:
            got = await asyncio.gather(*(client.call("cap.count", {"n": n}) for n in range(300)))
        finally:
            cutter.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await cutter
    assert [int(result.text) for result in got] == list(range(300))
    assert len(set(ran)) == 300


async def test_a_paused_store_is_waited_for_no_longer_than_the_call_allows(
    client: Client, worker: LoopWorker, private_redis: realredis.RedisServer
) -> None:
    await client.call("cap.echo")
    private_redis.pause()
    try:
        with pytest.raises((errors.RequestTimeoutError, errors.ConnectionFailedError)) as caught:
            async with asyncio.timeout(9):
                await client.call("cap.echo", timeout="500ms")
        assert caught.value.executed is Executed.MAYBE
    finally:
        private_redis.resume()
    await until(lambda: _answers(client), within=15)


async def _answers(client: Client) -> bool:
    return (await client.call("cap.echo", {"text": "back"})).text == "back"


async def test_a_store_that_refuses_the_password_is_named_at_once(
    private_redis: realredis.RedisServer,
) -> None:
    url = private_redis.url.replace("redis://", "redis://:wrong@")
    with private_redis.client() as look:
        look.config_set("requirepass", "right")
        async with Client(url, namespace="own") as client:
            with pytest.raises(errors.ConnectionFailedError, match="refused"):
                await client.call("cap.echo")
            with pytest.raises(errors.ConnectionFailedError, match="refused"):
                await client.submit("cap.echo")
        look.config_set("requirepass", "")


async def test_a_store_that_is_not_there_is_named_with_whether_the_tool_ran() -> None:
    async with Client("redis://127.0.0.1:1", namespace="own") as client:
        with pytest.raises(errors.McpweftError) as caught:
            await client.call("cap.echo", timeout="200ms")
        assert caught.value.executed is Executed.NO
        with pytest.raises(errors.ConnectionFailedError, match="could not be reached"):
            await client.status()


async def test_progress_of_a_lost_attempt_is_no_news(client: Client, worker: LoopWorker) -> None:
    heard: list[float] = []
    call = asyncio.create_task(
        client.call("cap.steps", {"n": 3}, on_progress=lambda p: heard.append(p.progress), idempotent=True)
    )
    await until(lambda: heard == [0, 1, 2])
    wait = next(iter(desk_of(client).waits.all()))
    wait.attempt = 2  # as if a second attempt had spoken
    await desk_of(client).reader.look("cap")
    body = {"progress": 9.0, "total": None, "message": None}
    wait_id = worker.fetched[0]
    desk_of(client).reader.give("cap", Reply(wait_id, "progress", 1, pack(body)))
    worker.gate.set()
    await call
    assert heard == [0, 1, 2]
