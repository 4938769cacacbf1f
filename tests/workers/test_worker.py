"""A worker from end to end: a real store above, a real MCP server below."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.packing import unpack
from mcpweft_schemas.word import Word
from waiting import until
from workbench import POOL, text_of, what_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from mcpweft_schemas.limits import Limits
    from mcpweft_schemas.store import Reader
    from workbench import Bench


async def test_a_worker_answers_calls(bench: Bench) -> None:
    async with bench.worker():
        reply = await bench.outcome(await bench.enqueue("echo", {"text": "hello"}))
    assert (reply.code, reply.executed, text_of(reply)) == (Code.OK, Executed.YES, "hello")
    assert reply.service_ms is not None
    assert reply.server == "echo"


async def test_a_python_object_is_served_without_a_process(bench: Bench) -> None:
    config = bench.config({"command": None, "args": [], "app": "servers.sdk:server", "mode": "auto"})
    async with bench.worker(config) as worker:
        reply = await bench.outcome(await bench.enqueue("greet", {"name": "you"}))
        assert worker.session.pids is None
    assert (reply.code, text_of(reply)) == (Code.OK, "hello you")


async def test_many_calls_get_their_own_answers(bench: Bench) -> None:
    async with bench.worker(concurrency=16):
        ids = await bench.enqueue_many([("echo", {"text": f"n{n}"}) for n in range(200)])
        replies = [await bench.outcome(request_id) for request_id in ids]
    assert [text_of(reply) for reply in replies] == [f"n{n}" for n in range(200)]
    assert len(bench.executed()) == 200


async def test_a_tools_own_error_is_an_answer(bench: Bench) -> None:
    async with bench.worker() as worker:
        reply = await bench.outcome(await bench.enqueue("fail", {"message": "no"}))
        assert worker.gate.breaker.snapshot(0.0).failures == 0
    assert (reply.code, reply.executed, text_of(reply)) == (Code.TOOL_ERROR, Executed.YES, "no")
    assert unpack(reply.body)["is_error"] is True


async def test_an_unknown_tool_is_refused_with_near_names(bench: Bench) -> None:
    async with bench.worker():
        reply = await bench.outcome(await bench.enqueue("ecko", {"text": "x"}))
    assert (reply.code, reply.executed) == (Code.UNKNOWN_TOOL, Executed.NO)
    assert "echo" in what_of(reply)
    assert not bench.executed()


async def test_arguments_that_do_not_fit_are_refused_unsent(bench: Bench) -> None:
    async with bench.worker():
        reply = await bench.outcome(await bench.enqueue("echo", {"text": 7}))
    assert (reply.code, reply.executed) == (Code.INVALID_ARGUMENTS, Executed.NO)
    assert "$.text" in what_of(reply)
    assert not bench.executed()


async def test_nothing_is_pulled_before_the_pool_knows_which_tools_are_safe(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = bench.make()
    register, told = worker.store.register, asyncio.Event()

    async def slow(
        capability: str, reader: Reader, info: bytes, tools: Iterable[Any], limits: Limits
    ) -> str | None:
        rows = list(tools)
        if rows:
            await told.wait()
        return await register(capability, reader, info, rows, limits)

    monkeypatch.setattr(worker.store, "register", slow)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await until(worker.session.ready.is_set)
        assert "tools" in worker.report.readiness()["reason"]
        told.set()
        reply = await bench.outcome(await bench.enqueue("echo", {"text": "hello"}))
        worker.stop()
    assert text_of(reply) == "hello"


async def test_no_more_calls_run_than_there_are_slots(bench: Bench) -> None:
    ids = await bench.enqueue_many([("sleep", {"ms": 60})] * 12)
    most = 0
    async with bench.worker(concurrency=3) as worker:
        end = asyncio.create_task(asyncio.wait([asyncio.create_task(bench.outcome(i)) for i in ids]))
        while not end.done():
            most = max(most, worker.runner.in_flight)
            await asyncio.sleep(0)
        await end
    assert most == 3


async def test_a_cancel_reaches_the_server(bench: Bench) -> None:
    async with bench.worker(bench.rogue()) as worker:
        request_id = await bench.enqueue("mute")
        await until(lambda: worker.runner.in_flight)
        assert await bench.store.cancel(POOL, request_id) is Word.SIGNALLED
        await until(bench.note.exists)
        reply = await bench.outcome(request_id)
        await until(lambda: worker.runner.in_flight == 0)
    assert bench.note.read_text() == "cancelled"
    assert (reply.code, reply.executed) == (Code.OUTCOME_UNKNOWN, Executed.MAYBE)  # `mute` may not run twice


async def test_a_cancelled_safe_call_ends_as_cancelled(bench: Bench) -> None:
    async with bench.worker() as worker:
        request_id = await bench.enqueue("sleep", {"ms": 20_000})
        await until(lambda: worker.runner.in_flight)
        await bench.store.cancel(POOL, request_id)
        reply = await bench.outcome(request_id, within=0.9)  # sooner than the grace's end
    assert (reply.code, reply.executed) == (Code.CANCELLED, Executed.MAYBE)


async def test_an_attempt_that_timed_out_is_cancelled_and_retried_on_another_worker_at_once(
    bench: Bench,
) -> None:
    # A tenth of the backoff is the other worker's head start.
    patient = {"backoff": 100.0, "backoff_max": 100.0, "timeout": 300.0}
    config = bench.rogue({"idempotent": ["*"], "attempt_timeout": 0.2}, call=patient)
    async with bench.worker(config, worker_id="one"), bench.worker(config, worker_id="two"):
        reply = await bench.outcome(await bench.enqueue("mute", max_attempts=2), within=9.0)
    assert reply.code is Code.FAILOVER_EXHAUSTED
    assert [attempt.cause for attempt in reply.attempts] == ["ATTEMPT_TIMEOUT"] * 2
    assert {attempt.worker for attempt in reply.attempts} == {"one", "two"}
    assert bench.note.read_text() == "cancelled"


async def test_a_request_may_ask_for_a_shorter_attempt(bench: Bench) -> None:
    async with bench.worker():
        request_id = await bench.enqueue("sleep", {"ms": 5000}, attempt_timeout_ms=100, max_attempts=1)
        reply = await bench.outcome(request_id, within=2.0)
    assert (reply.code, reply.cause) == (Code.FAILOVER_EXHAUSTED, "ATTEMPT_TIMEOUT")


async def test_an_attempt_never_outlives_the_deadline(bench: Bench) -> None:
    async with bench.worker():
        request_id = await bench.enqueue("sleep", {"ms": 5000}, timeout_ms=300)
        reply = await bench.outcome(request_id, within=3.0)
    assert reply.code is Code.TIMEOUT


async def test_a_safe_call_survives_its_servers_death(bench: Bench) -> None:
    async with bench.worker() as worker:
        request_id = await bench.enqueue("sleep", {"ms": 300})
        await until(lambda: len(bench.executed()) == 1)
        kill_server(worker.session.pids)
        reply = await bench.outcome(request_id)
    assert (reply.code, text_of(reply)) == (Code.OK, "done")
    assert [attempt.cause for attempt in reply.attempts] == ["SERVER_DIED", "OK"]
    assert len(bench.executed()) == 2


async def test_an_unsafe_call_whose_server_died_is_not_run_again(bench: Bench) -> None:
    async with bench.worker() as worker:
        request_id = await bench.enqueue("progress", {"steps": 1, "ms": 5000})
        await until(lambda: len(bench.executed()) == 1)
        kill_server(worker.session.pids)
        reply = await bench.outcome(request_id)
        await until(lambda: worker.report.usable)
    assert (reply.code, reply.executed, reply.cause) == (
        Code.OUTCOME_UNKNOWN,
        Executed.MAYBE,
        "SERVER_DIED",
    )
    assert len(bench.executed()) == 1


async def test_a_worker_serves_again_after_its_server_crashed(bench: Bench) -> None:
    async with bench.worker() as worker:
        crash = await bench.enqueue("crash", max_attempts=1)
        assert (await bench.outcome(crash)).code is Code.OUTCOME_UNKNOWN
        reply = await bench.outcome(await bench.enqueue("add", {"a": 1, "b": 2}))
        assert worker.session.connects == 2
    assert unpack(reply.body)["structured"] == {"sum": 3}


async def test_progress_is_passed_on_where_it_was_asked_for(bench: Bench) -> None:
    listener = "host.1.beef"
    await bench.store.declare(POOL, "x")
    await bench.store.hear(POOL, listener, 60_000)
    async with bench.worker():
        call = ("progress", {"steps": 30, "ms": 10})
        told = await bench.enqueue_many([call], flags="sp", waiter=listener)
        untold = await bench.enqueue_many([call], flags="s", waiter=listener)
        for request_id in (*told, *untold):
            await bench.outcome(request_id)
    key = bench.store.keys(POOL).reply(listener)
    waiter = bench.store.link.waiter(key)
    heard = await bench.store.wait_entries(waiter, {key: "0"})
    await waiter.close()
    progress = [word for _, word in heard[key] if word.get(b"kind") == b"progress"]
    assert {word[b"id"].decode() for word in progress} == set(told)
    steps = [unpack(word[b"body"])["progress"] for word in progress]
    assert steps == sorted(steps)
    assert 2 <= len(steps) <= 5  # 0.3 s at ten a second
    assert unpack(progress[0][b"body"])["total"] == 30


async def test_a_large_answer_is_laid_down_in_pieces(bench: Bench) -> None:
    async with bench.worker():
        reply = await bench.outcome(await bench.enqueue("blob", {"size": 3_000_000}))
        assert (reply.code, reply.chunks, reply.body) == (Code.OK, 6, b"")
        body = await bench.store.chunks(POOL, reply)
    assert body is not None
    assert unpack(body)["content"][0]["text"] == "x" * 3_000_000


async def test_an_answer_over_the_limit_is_too_large_and_says_that_the_tool_ran(bench: Bench) -> None:
    small = bench.config(worker={"max_result": 10_000, "inline_result": 10_000})
    async with bench.worker(small):
        reply = await bench.outcome(await bench.enqueue("blob", {"size": 20_000}))
    assert (reply.code, reply.executed) == (Code.RESULT_TOO_LARGE, Executed.YES)
    assert "10000" in what_of(reply)


async def test_a_request_of_a_newer_version_is_left_for_a_newer_worker(bench: Bench) -> None:
    async with bench.worker():
        newer = await bench.enqueue("echo", {"text": "new"}, version="2")
        known = await bench.enqueue("echo", {"text": "known"})
        assert text_of(await bench.outcome(known)) == "known"
        assert await bench.state(newer) == "delayed"
        assert (await bench.seen(newer)).attempts == ()


async def test_a_request_that_is_no_call_is_refused(bench: Bench) -> None:
    async with bench.worker():
        reply = await bench.outcome(
            await bench.enqueue("echo", {"text": "x"}, extra=("method", "prompts/get"))
        )
    assert (reply.code, reply.executed) == (Code.INVALID_ARGUMENTS, Executed.NO)
    assert "prompts/get" in what_of(reply)


async def test_several_pools_share_one_workers_slots(bench: Bench) -> None:
    config = bench.config({"capabilities": ["echo", "other"], "concurrency": 2})
    async with bench.worker(config) as worker:
        first = await bench.enqueue_many([("sleep", {"ms": 30})] * 10)
        second = await bench.enqueue_many([("sleep", {"ms": 30})] * 10, pool="other")
        most = 0
        pending = asyncio.gather(*(bench.outcome(i) for i in (*first, *second)))
        while not pending.done():
            most = max(most, worker.runner.in_flight)
            await asyncio.sleep(0)
        replies = await pending
    assert most == 2
    ends = sorted((reply.ended_ms, reply.id.partition("~")[0]) for reply in replies)
    assert {pool for _, pool in ends[:8]} == {"echo", "other"}  # neither waits for the other's end


def kill_server(pid: int | None) -> None:
    """Kill an MCP server the hard way."""
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
