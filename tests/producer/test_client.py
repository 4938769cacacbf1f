from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

import pytest

import realredis
from loopworker import desk_of, waited_for
from mcpweft import Client, Code, Config, Executed, errors
from mcpweft.fleet import _throughput
from mcpweft_schemas.connect import Link
from mcpweft_schemas.life import State
from mcpweft_schemas.store import BATCH, Store
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopworker import LoopWorker
    from mcpweft_schemas.wire import Delivery

    Start = Callable[..., Awaitable[LoopWorker]]


async def test_one_key_is_one_request_for_two_clients(
    client: Client, worker: LoopWorker, store_url: str, namespace: str
) -> None:
    async with Client(store_url, namespace=namespace) as other:
        first = asyncio.create_task(client.call("cap.block", {"a": 1, "b": 2}, idempotency_key="k"))
        await until(lambda: worker.fetched)
        second = asyncio.create_task(other.call("cap.block", {"b": 2, "a": 1}, idempotency_key="k"))
        third = asyncio.create_task(client.call("cap.block", {"a": 1, "b": 2}, idempotency_key="k"))
        await until(lambda: len(desk_of(client).waits.of("cap", worker.fetched[0])) == 2)
        await until(lambda: desk_of(other).waits.of("cap", worker.fetched[0]))
        third.cancel()  # leaves alone, and takes nobody along
        await asyncio.gather(third, return_exceptions=True)
        worker.gate.set()
        one, two = await asyncio.gather(first, second)
        assert one.request_id == two.request_id == worker.fetched[0]
        late = await other.call("cap.block", {"a": 1, "b": 2}, idempotency_key="k")
        assert (late.request_id, len(worker.fetched)) == (one.request_id, 1)
        with pytest.raises(errors.ConflictError):
            await other.call("cap.block", {"a": 2}, idempotency_key="k")
        assert (await other.call("cap.echo", idempotency_key="k", tenant="else")).request_id != one.request_id


async def test_a_cancelled_caller_cancels_its_request(client: Client, worker: LoopWorker) -> None:
    task = asyncio.create_task(client.call("cap.block", idempotent=True))
    await until(lambda: worker.fetched)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: worker.cancelled == set(worker.fetched))
    inquiry = await client.inspect(worker.fetched[0])
    await until(lambda: _ended(client, inquiry.id))


async def _ended(client: Client, request: str) -> bool:
    return (await client.inspect(request)).state is State.CANCELLED


async def test_a_caller_may_leave_its_request_running(client: Client, worker: LoopWorker) -> None:
    task = asyncio.create_task(client.call("cap.block", on_cancel="detach"))
    await until(lambda: worker.fetched)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until(lambda: _left(client, worker.fetched[0]))
    worker.gate.set()
    await until(lambda: _state(client, worker.fetched[0], State.DONE))
    assert not worker.cancelled


async def _left(client: Client, request: str) -> bool:
    return (await client.inspect(request)).waiters == 0


async def _state(client: Client, request: str, state: State) -> bool:
    return (await client.inspect(request)).state is state


async def test_a_caller_cancelled_at_once_leaves_nothing_behind(client: Client, worker: LoopWorker) -> None:
    worker.paused = True
    tasks = [asyncio.create_task(client.call("cap.echo", {"n": n})) for n in range(50)]
    await asyncio.sleep(0)
    for task in tasks[:25]:
        task.cancel()  # before they were sent
    await until(lambda: desk_of(client).waits.open == 25)
    for task in tasks[25:]:
        task.cancel()  # while they are under way
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: _queue(client, 0))


async def _queue(client: Client, size: int) -> bool:
    return (await client.pool("cap")).queue_size == size


async def test_cancel_ends_a_request_for_everybody(client: Client, worker: LoopWorker) -> None:
    worker.paused = True
    await until(lambda: worker.idle)
    task = asyncio.create_task(client.call("cap.echo", idempotency_key="x"))
    await until(lambda: desk_of(client).waits.open == 1)
    handle = await client.submit("cap.echo", idempotency_key="x")
    assert await handle.cancel()
    assert not await handle.cancel()
    with pytest.raises(errors.RequestCancelledError, match="did not run"):
        await task
    with pytest.raises(errors.RequestCancelledError):
        await handle.result()


async def test_inspect_says_what_happens_next(client: Client, worker: LoopWorker) -> None:
    worker.paused = True
    await until(lambda: worker.idle)
    first = await client.submit("cap.block")
    second = await client.submit("cap.block")
    later = await client.submit("cap.block", delay=60)
    queued = await client.inspect(second.id)
    assert (queued.state, queued.ahead, queued.tool) == (State.QUEUED, 1, "block")
    assert "1 of its class go first" in queued.next
    assert (await client.inspect(later.id)).due_in == pytest.approx(60, abs=2)
    worker.paused = False
    await until(lambda: first.id in worker.fetched)
    running = await client.inspect(first.id)
    assert (running.state, running.worker, running.attempt) == (State.RUNNING, worker.id, 1)
    worker.gate.set()
    await first.result()
    done = await client.inspect(first.id)
    assert (done.state, done.code, done.deadline_in) == (State.DONE, Code.OK, None)


async def test_tools_and_figures_are_there_with_and_without_workers(
    client: Client, start: Start, store_url: str, namespace: str
) -> None:
    assert await client.pools() == []
    empty = await client.status()
    assert (empty.is_healthy, empty.throughput, empty.avg_response_ms) == (False, None, None)
    await start("one", safe=frozenset({"echo"}))
    link = Link.to(store_url)
    await Store(link, namespace).declare("two", "inc")
    await link.close()
    tools = await client.tools("one")
    assert [tool.name for tool in tools] == sorted(tool.name for tool in tools)
    assert next(tool for tool in tools if tool.name == "echo").read_only
    assert tools[0].input_schema == {"type": "object"}
    assert await client.tools("two") == []
    assert await client.tools() == tools
    with pytest.raises(errors.UnknownCapabilityError, match="There are one, two"):
        await client.tools("zzz")
    status = await client.status()
    assert [pool.capability for pool in status.pools] == ["one", "two"]
    assert (status.total_servers, status.healthy_servers, status.is_healthy) == (1, 1, False)
    assert status.pools[0].workers[0].usable


async def test_the_figures_of_the_fleet_are_those_of_what_ended_lately(
    client: Client, start: Start, store_url: str, namespace: str
) -> None:
    await start("one")
    async with Link.to(store_url) as link:
        store = Store(link, namespace)
        await store.sweep("one", 1)
        before = await client.status()
        assert (before.avg_response_ms, before.error_rate, before.strategy) == (None, None, None)
        for _ in range(3):
            await client.call("one.echo")
        status = await client.status()
    assert status.avg_response_ms is not None
    assert 0 <= status.avg_response_ms < 5000
    assert status.avg_response_ms == status.pools[0].avg_response_ms
    assert status.error_rate == status.pools[0].error_rate == 0.0
    assert status.uptime_s is not None
    assert status.throughput is not None


def test_the_throughput_falls_when_nothing_ends_any_more() -> None:
    assert _throughput({}, 50_000) is None
    assert _throughput({"rate": "20.0", "rate_at": "45000", "rate_n": "3"}, 50_000) == 20.0
    assert _throughput({"rate": "20.0", "rate_at": "10000", "rate_n": "2"}, 50_000) == 0.05


async def test_a_closed_client_ends_its_waits_and_says_so(
    store_url: str, namespace: str, worker: LoopWorker
) -> None:
    client = Client(store_url, namespace=namespace)
    with pytest.raises(errors.ShuttingDownError, match="was not opened"):
        await client.call("cap.echo")
    async with client:
        waiting = asyncio.create_task(client.call("cap.block"))
        await until(lambda: worker.fetched)
    with pytest.raises(errors.ShuttingDownError, match="goes on") as caught:
        await waiting
    assert caught.value.executed is Executed.MAYBE
    with pytest.raises(errors.ShuttingDownError, match="is closed"):
        await client.call("cap.echo")
    async with client:  # it may be opened again
        assert (await client.call("cap.echo", {"text": "again"})).text == "again"
        worker.gate.set()
        assert (await client.result(worker.fetched[0], timeout=5)).text == "free"


async def test_a_cancel_goes_out_before_the_client_is_closed(
    store_url: str, namespace: str, worker: LoopWorker
) -> None:
    async with Client(store_url, namespace=namespace) as client:
        task = asyncio.create_task(client.call("cap.block", idempotent=True))
        await until(lambda: worker.fetched)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await until(lambda: worker.cancelled == set(worker.fetched))


def _connections(look: Any, command: str = "") -> set[str]:
    return {c["id"] for c in look.client_list() if command in c["cmd"]}


async def test_a_closed_client_leaves_no_connection(
    store_url: str, namespace: str, worker: LoopWorker
) -> None:
    with realredis.connect(store_url) as look:
        before = _connections(look)
        async with Client(store_url, namespace=namespace) as client:
            await asyncio.gather(*(client.call("cap.echo") for _ in range(50)))
            assert _connections(look) - before
            mine = _connections(look, "xread") - before
            assert len(mine) == 1  # one connection hears all replies
        await until(lambda: not mine & _connections(look))


async def test_what_is_open_is_bounded_and_more_wait(
    store_url: str, namespace: str, worker: LoopWorker
) -> None:
    async with Client(store_url, namespace=namespace) as client:
        desk_of(client)._room = 10
        tasks = [asyncio.create_task(client.call("cap.block")) for _ in range(30)]
        await until(lambda: len(worker.fetched) == 10)
        tasks[15].cancel()  # one that waits for its place
        worker.gate.set()
        got = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(not isinstance(result, BaseException) for result in got) == 29
        assert desk_of(client)._room == 10


async def test_the_time_that_a_call_waits_for_a_place_is_its_own(
    store_url: str, namespace: str, worker: LoopWorker
) -> None:
    async def left(worker: LoopWorker, delivery: Delivery, arguments: Any) -> str:
        return str(delivery.remaining_ms)

    worker.handlers = {**worker.handlers, "left": left}
    async with Client(store_url, namespace=namespace) as client:
        desk_of(client)._room = 1
        first = asyncio.create_task(client.call("cap.block"))
        await until(lambda: worker.fetched)
        for hand_in in (client.call, client.submit):
            with pytest.raises(errors.RequestTimeoutError, match="a place for the request") as caught:
                await hand_in("cap.echo", timeout=0.1)
            assert (caught.value.executed, caught.value.phase) == (Executed.NO, "queue")
        late = asyncio.create_task(client.call("cap.left", timeout=30))
        await until(lambda: desk_of(client)._queue)
        await asyncio.sleep(0.2)
        worker.gate.set()
        await first
        assert int((await late).text) < 29_900
        assert len(worker.fetched) == 2
        assert desk_of(client)._room == 1


async def test_a_place_that_is_given_as_its_takers_time_is_over_goes_to_the_next(
    store_url: str, namespace: str, worker: LoopWorker
) -> None:
    async with Client(store_url, namespace=namespace) as client:
        desk = desk_of(client)
        desk._room = 1
        await desk._enter()
        loop = asyncio.get_running_loop()
        late = asyncio.create_task(desk._enter(loop.time() + 0.05))
        await until(lambda: desk._queue)
        loop.call_later(0.01, desk._exit)
        time.sleep(0.06)  # noqa: ASYNC251  # so that both come in one turn of the loop
        with pytest.raises(errors.RequestTimeoutError):
            await late
        assert desk._room == 1


async def test_the_calls_of_one_turn_travel_together(private_redis: realredis.RedisServer) -> None:
    async with Client(private_redis.url, namespace="own") as client:
        link = Link.to(private_redis.url)
        await Store(link, "own").declare("cap", "inc")
        await client.submit("cap.x")
        with private_redis.client() as look:
            look.config_resetstat()
            await asyncio.gather(*(client.submit("cap.x", {"n": n}) for n in range(256)))
            figures: Any = look.info("commandstats")
            most = math.ceil(256 / BATCH) + 2  # and the heartbeat of the stream
            assert figures["cmdstat_evalsha"]["calls"] <= most
            look.flushall()
        await link.close()


async def test_the_fabric_is_found_by_the_environment_or_a_configuration(
    store_url: str, namespace: str, worker: LoopWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config.model_validate({"namespace": namespace, "call": {"outstanding": 3}})
    async with Client(store_url, config=config) as client:
        assert desk_of(client)._room == 3
        assert (await client.call("cap.echo", {"text": "config"})).text == "config"
    monkeypatch.setenv("MCPWEFT_URL", store_url)
    monkeypatch.setenv("MCPWEFT_NAMESPACE", namespace)
    async with Client() as client:
        assert (await client.call("cap.echo", {"text": "found"})).text == "found"


async def test_a_client_belongs_to_one_loop(store_url: str, namespace: str, worker: LoopWorker) -> None:
    async with Client(store_url, namespace=namespace) as client:
        with pytest.raises(errors.InvalidConfigError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, client.call("cap.echo"))
        with pytest.raises(errors.InvalidConfigError, match="open already"):
            await client.open()


async def test_a_reply_that_nobody_waits_for_is_dropped_and_counted(
    client: Client, worker: LoopWorker
) -> None:
    reader = desk_of(client).reader
    handle = await client.submit("cap.block")
    task = asyncio.create_task(handle.result())
    await until(lambda: waited_for(client, handle.id))
    reader._waits.pop("cap", handle.id)  # as if it had been forgotten here
    worker.gate.set()
    await until(lambda: reader.dropped == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_handle_whose_request_vanished_lately_says_that_the_store_lost_it(
    client: Client, worker: LoopWorker, store_url: str, namespace: str
) -> None:
    handle = await client.submit("cap.echo", {"text": "x"})
    await handle.wait()
    async with Link.to(store_url) as link:
        await link.run("DEL", Store(link, namespace).keys("cap").record(handle.id))
    with pytest.raises(errors.StoreLostError):
        await handle.result()
    with pytest.raises(errors.StoreLostError):
        await handle.wait()
    with pytest.raises(errors.ResultExpiredError):  # whoever has only the id cannot know
        await client.result(handle.id)
