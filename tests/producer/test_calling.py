from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import realredis
from loopworker import desk_of, waited_for
from mcpweft import Client, Code, Executed, Progress, TextBlock, errors
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
    await until(lambda: waited_for(client, handle.id))
    attached.set()
    await asyncio.wait_for(task, 5)
    assert last == [2]
    assert await handle.wait()
    assert (await handle.result()).text == "done"


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
