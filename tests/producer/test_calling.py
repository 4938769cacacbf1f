from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import realredis
from loopworker import desk_of
from mcpweft import Client, Code, Config, Executed, Progress, TextBlock, errors
from mcpweft_schemas.connect import Link
from mcpweft_schemas.life import State
from mcpweft_schemas.store import Store
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopworker import LoopWorker

    Start = Callable[..., Awaitable[LoopWorker]]


@realredis.every_store
async def test_a_call_returns_what_the_tool_answered(
    store_url: str, client: Client, worker: LoopWorker
) -> None:
    result = await client.call("cap.echo", {"text": "hi", "n": [1, None, 2.5]})
    assert result.data == {"text": "hi", "n": [1, None, 2.5]}
    assert result.structured == {"result": result.data}
    assert (result.text, result.is_error, result.server) == ("hi", False, "loop")
    assert isinstance(result.content[0], TextBlock)
    assert result.worker == worker.id
    assert result.executed is Executed.YES
    assert [attempt.cause for attempt in result.attempts] == ["OK"]
    assert result.queued_ms is not None
    assert result.service_ms == pytest.approx(0.1)
    assert result.request_id.startswith("cap~")


@realredis.every_store
async def test_several_capabilities_are_heard_at_once(store_url: str, client: Client, start: Start) -> None:
    names = [f"cap{n}" for n in range(6)]
    for name in names:
        await start(name)
    for _ in range(3):
        got = await asyncio.gather(*(client.call(f"{name}.echo", {"text": name}) for name in names))
        assert [result.text for result in got] == names


async def test_a_stream_added_while_another_is_waited_on_is_heard_at_once(
    client: Client, start: Start
) -> None:
    await start("one")
    await start("two")
    await client.call("one.echo")
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)  # the listener blocks on `one` alone
    before = loop.time()
    await client.call("two.echo")
    assert loop.time() - before < 1.0  # 2 s without the wake-up


async def test_the_tool_may_be_named_apart_or_be_the_only_one(client: Client, start: Start) -> None:
    worker = await start()
    single = {"echo": worker.handlers["echo"]}
    await start("single", handlers=single)
    await start("twin", handlers={"twin": single["echo"], "other": single["echo"]})
    assert (await client.call("cap", {"text": "a"}, tool="echo")).text == "a"
    assert (await client.call("single", {"text": "b"})).text == "b"
    assert (await client.call("twin", {"text": "c"})).text == "c"
    with pytest.raises(errors.UnknownToolError, match="with one of block, echo"):
        await client.call("cap")
    with pytest.raises(errors.InvalidConfigError, match="given twice"):
        await client.call("cap.echo", tool="echo")


async def test_an_unknown_capability_is_answered_with_near_names(client: Client, worker: LoopWorker) -> None:
    with pytest.raises(errors.UnknownCapabilityError, match=r"'capp'.*Did you mean cap\?"):
        await client.call("capp.echo")
    with pytest.raises(errors.UnknownCapabilityError, match="did not run"):
        await client.submit("capp.echo")


async def test_arguments_that_cannot_travel_are_refused_here(client: Client) -> None:
    with pytest.raises(errors.InvalidArgumentsError, match=r"\$\.arguments\.a\[1\] is of type set"):
        await client.call("cap.echo", {"a": [1, {2}]})


async def test_a_tools_own_error_is_raised_unless_asked_not_to(client: Client, worker: LoopWorker) -> None:
    with pytest.raises(errors.ToolError, match="no such row") as caught:
        await client.call("cap.fail")
    assert caught.value.executed is Executed.YES
    assert "The tool ran." in str(caught.value)
    result = await client.call("cap.fail", raise_on_tool_error=False)
    assert result.is_error
    handle = await client.submit("cap.fail")
    with pytest.raises(errors.ToolError):
        await handle.result()


@pytest.mark.parametrize(
    "code",
    [code for code in Code if code not in {Code.OK, Code.TOOL_ERROR, Code.INVALID_CONFIG}],
)
async def test_each_code_is_its_own_error_with_the_workers_words(
    client: Client, worker: LoopWorker, code: Code
) -> None:
    said = {"code": code.value, "executed": "maybe", "what": "it went wrong", "advice": "Mend it."}
    with pytest.raises(errors.BY_CODE[code]) as caught:
        await client.call("cap.end", said)
    error = caught.value
    assert (error.code, error.executed) == (code, Executed.MAYBE)
    assert "it went wrong" in str(error)
    assert "The tool may have run. Mend it." in str(error)
    assert error.request_id is not None
    assert error.attempts[0].worker == worker.id


async def test_all_attempts_failed_says_so_with_each(client: Client, worker: LoopWorker) -> None:
    said = {"how": "retry", "code": "SERVER_DIED", "what": "the server died"}
    with pytest.raises(errors.FailoverExhaustedError, match="failed in 2 attempts") as caught:
        await client.call("cap.end", said, max_attempts=2, idempotent=True)
    assert [attempt.cause for attempt in caught.value.attempts] == ["SERVER_DIED"] * 2
    assert "The last attempt: the server died" in str(caught.value)


async def test_an_unsafe_call_cut_off_is_unknown_and_a_safe_one_is_retried(
    client: Client, worker: LoopWorker
) -> None:
    said = {"how": "retry", "code": "SERVER_DIED", "executed": "maybe"}
    with pytest.raises(errors.OutcomeUnknownError, match="pass idempotent=True"):
        await client.call("cap.end", said)
    with pytest.raises(errors.FailoverExhaustedError):
        await client.call("cap.end", said, idempotent=True)


async def test_a_call_without_a_worker_times_out_in_the_queue(client: Client, worker: LoopWorker) -> None:
    worker.paused = True
    with pytest.raises(errors.RequestTimeoutError, match="was not started in time") as caught:
        await client.call("cap.echo", timeout="300ms")
    assert (caught.value.phase, caught.value.executed) == ("queue", Executed.NO)
    with pytest.raises(errors.RequestTimeoutError) as late:
        await client.call("cap.echo", start_within=0.1, timeout=0.2)
    assert late.value.phase == "queue"


async def test_a_call_that_takes_too_long_is_stopped_on_its_server(
    client: Client, worker: LoopWorker
) -> None:
    with pytest.raises(errors.RequestTimeoutError) as caught:
        await client.call("cap.block", timeout="300ms", idempotent=True)
    assert (caught.value.phase, caught.value.executed) == ("attempt", Executed.MAYBE)
    assert worker.cancelled == {caught.value.request_id}


async def test_nobody_to_serve_it_is_an_error_where_asked(client: Client, start: Start) -> None:
    worker = await start()
    worker.usable = False
    await until(lambda: worker.said == 0)
    with pytest.raises(errors.NoServersError, match="no worker serves 'cap'") as caught:
        await client.call("cap.echo", when_unavailable="raise")
    assert caught.value.retryable


async def test_a_full_queue_is_waited_for_or_raised(client: Client, start: Start) -> None:
    worker = await start(settings={"bound": 10}, slots=2)
    worker.paused = True
    for n in range(8):
        await client.submit("cap.echo", {"n": n})
    with pytest.raises(errors.QueueFullError) as caught:
        await client.call("cap.echo", when_full="raise")
    assert caught.value.retry_after is not None
    assert caught.value.http_status == 429
    with pytest.raises(errors.QueueFullError):
        await client.call("cap.echo", timeout="200ms")
    patient = [asyncio.create_task(client.call("cap.echo", {"n": n})) for n in range(20)]
    await until(lambda: len(desk_of(client)._enqueuer._lanes["cap"].parked) == 1)
    worker.paused = False
    got = await asyncio.gather(*patient)
    assert [result.data["n"] for result in got] == list(range(20))
    mine = [result.request_id for result in got]
    assert [request for request in worker.fetched if request in mine] == mine  # in the order of asking


async def test_better_classes_go_first(client: Client, start: Start) -> None:
    worker = await start(slots=1)
    worker.paused = True
    await until(lambda: worker.idle)
    order: list[Any] = [0, 5, "low", "critical", 7, 10]
    ids = {p: (await client.submit("cap.echo", priority=p)).id for p in order}
    worker.paused = False
    await until(lambda: len(worker.fetched) == len(order))
    assert worker.fetched == [ids[p] for p in ["critical", 10, 7, 5, 0, "low"]]
    with pytest.raises(errors.InvalidConfigError, match="priority is 11"):
        await client.call("cap.echo", priority=11)


async def test_a_delayed_call_starts_after_its_delay(client: Client, worker: LoopWorker) -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    await client.call("cap.echo", delay="300ms", timeout="20s")
    assert 0.3 <= loop.time() - before < 5


async def test_progress_is_told_until_the_end(client: Client, worker: LoopWorker) -> None:
    heard: list[Progress] = []

    def note(progress: Progress) -> None:
        heard.append(progress)
        if progress.progress == 2:
            worker.gate.set()
            raise ValueError("a caller's own mistake ends nothing")

    await client.call("cap.steps", {"n": 3}, on_progress=note)
    assert [(p.progress, p.total, p.message) for p in heard] == [(n, 3, f"step {n}") for n in range(3)]


async def test_a_handle_tells_progress_and_ends_with_the_request(client: Client, worker: LoopWorker) -> None:
    attached, seen = asyncio.Event(), asyncio.Event()

    async def tell(worker: LoopWorker, delivery: Any, arguments: dict[str, Any]) -> Any:
        await attached.wait()
        result = worker.handlers["steps"](worker, delivery, {"n": 3})
        told = asyncio.ensure_future(result)
        await seen.wait()
        worker.gate.set()
        return await told

    worker.handlers = {**worker.handlers, "tell": tell}
    handle = await client.submit("cap.tell")
    last: list[float] = []

    async def follow() -> None:
        async for progress in handle.progress():
            last[:] = [progress.progress]
            if progress.progress == 2:
                seen.set()

    task = asyncio.create_task(follow())
    await until(lambda: _waited_for(client, handle.id))
    attached.set()
    await asyncio.wait_for(task, 5)
    assert last == [2]
    assert await handle.wait()
    assert (await handle.result()).text == "done"


async def _waited_for(client: Client, request: str) -> bool:
    return (await client.inspect(request)).waiters == 1


async def test_an_outcome_too_large_to_travel_whole_is_put_together(
    client: Client, worker: LoopWorker
) -> None:
    result = await client.call("cap.large", {"size": 3_000_000})
    assert len(result.text) == 3_000_000
    handle = await client.submit("cap.large", {"size": 1_500_000})
    assert len((await handle.result()).text) == 1_500_000


async def test_an_outcome_is_fetched_from_another_process(
    client: Client, worker: LoopWorker, store_url: str, namespace: str
) -> None:
    handle = await client.submit("cap.echo", {"text": "over there"})
    script = (
        "import asyncio, sys, mcpweft\n"
        "async def main():\n"
        "    async with mcpweft.Client(sys.argv[1], namespace=sys.argv[2]) as client:\n"
        "        print((await client.result(sys.argv[3], timeout=10)).text)\n"
        "asyncio.run(main())\n"
    )
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", script, store_url, namespace, handle.id,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(other.communicate(), 20)
    assert (out.decode(), err.decode()) == ("over there\n", "")
    assert (await handle.result()).text == "over there"  # and again, here


async def test_waiting_for_a_result_has_its_own_limit(client: Client, worker: LoopWorker) -> None:
    handle = await client.submit("cap.block")
    assert not await handle.wait(timeout=0.1)
    with pytest.raises(errors.RequestTimeoutError, match="goes on") as caught:
        await handle.result(timeout="50ms")
    assert caught.value.phase == "wait"
    worker.gate.set()
    both = await asyncio.gather(handle.result(), client.result(handle.id))
    assert [result.text for result in both] == ["free", "free"]


async def test_an_unknown_id_is_said_to_be_so(client: Client, worker: LoopWorker) -> None:
    unknown = "cap~00000000-0000-7000-8000-000000000000"
    for ask in (client.result, client.cancel, client.inspect):
        for request in (unknown, "nonsense", "Cap~x"):
            with pytest.raises(errors.ResultExpiredError):
                await ask(request)
    done = await client.call("cap.echo")
    with pytest.raises(errors.ResultExpiredError, match="told to its caller"):
        await client.result(done.request_id)


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


async def test_the_calls_of_one_turn_travel_together(private_redis: realredis.RedisServer) -> None:
    async with Client(private_redis.url, namespace="own") as client:
        link = Link.to(private_redis.url)
        await Store(link, "own").declare("cap", "inc")
        await client.submit("cap.x")
        with private_redis.client() as look:
            look.config_resetstat()
            await asyncio.gather(*(client.submit("cap.x", {"n": n}) for n in range(256)))
            figures: Any = look.info("commandstats")
            assert figures["cmdstat_evalsha"]["calls"] <= 4  # two batches, and the heartbeat of the stream
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
    await until(lambda: _waited_for(client, handle.id))
    reader._waits.pop("cap", handle.id)  # as if it had been forgotten here
    worker.gate.set()
    await until(lambda: reader.dropped == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
