"""Servers over HTTP: one fault costs one call, a restart is survived, a black hole is timed out."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from mcpweft_schemas.outcome import Executed
from mcpweft_workers import wire
from mcpweft_workers.session import Cause, ServerSpec, Session, SessionState
from mcpweft_workers.wire import COURTESY
from servers.hold import failure, hold, listening, stdio, stop, text
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = [
    ("--era", "2025-06-18"),
    ("--era", "2025-11-25", "--stream"),
    ("--era", "2026-07-28"),
    ("--era", "2026-07-28", "--stream"),
]
MIB = 1 << 20


def at(port: int, *, kind: str = "http", path: str = "/mcp", max_result: int = MIB) -> ServerSpec:
    url = f"http://user:secret@127.0.0.1:{port}{path}?key=secret"
    return ServerSpec("web", "sse" if kind == "sse" else "http", url=url, max_result=max_result)


@pytest.fixture(params=KINDS, ids=" ".join)
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    with listening("web.py", *request.param) as (_, port):
        yield port


async def test_it_lists_answers_and_is_pinged(port: int) -> None:
    async with hold(at(port)) as session:
        assert "echo" in {tool.name for tool in session.tools}
        assert text(await session.call("add", {"a": 1, "b": 2}, timeout=5)) == "3"
        assert await session.ping(1)
        assert session.pids is None


@pytest.mark.parametrize("tool", ["drop", "cut", "unavailable"])
async def test_one_failed_post_costs_one_call(port: int, tool: str) -> None:
    async with hold(at(port)) as session:
        other = asyncio.create_task(session.call("sleep", {"ms": 300}, timeout=5))
        await asyncio.sleep(0)
        failed = await failure(session, tool, size=100)
        assert (failed.cause, failed.executed) == (Cause.CONNECTION_FAILED, Executed.MAYBE)
        assert "secret" not in failed.message
        await asyncio.wait_for(session.ready.wait(), 5)
        assert text(await session.call("echo", {"text": "x"}, timeout=5)) == "x"
        assert text(await other) == "done"
        assert session.connects == 1


async def test_an_answer_over_the_cap_fails_its_call_alone(port: int) -> None:
    async with hold(at(port)) as session:
        failed = await failure(session, "big", size=2 * MIB)
        assert (failed.cause, failed.executed) == (Cause.TOO_LARGE, Executed.YES)
        assert len(text(await session.call("big", {"size": MIB // 2}, timeout=5))) == MIB // 2
        assert session.connects == 1


async def test_a_call_that_asks_for_input_is_ended_even_among_others(port: int) -> None:
    async with hold(at(port)) as session:
        other = asyncio.create_task(session.call("sleep", {"ms": 300}, timeout=5))
        await asyncio.sleep(0)
        failed = await failure(session, "ask")
        assert failed.cause is Cause.INPUT_REQUIRED
        assert text(await other) == "done"


async def test_time_outs_and_cancels_do_not_wait(port: int) -> None:
    async with hold(at(port)) as session:
        failed = await failure(session, "sleep", timeout=0.2, ms=5000)
        assert (failed.cause, failed.executed) == (Cause.ATTEMPT_TIMEOUT, Executed.MAYBE)
        call = asyncio.create_task(session.call("sleep", {"ms": 5000}, timeout=60))
        await session.call("echo", {"text": "x"}, timeout=5)
        began = time.monotonic()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert time.monotonic() - began < 0.05
        assert text(await session.call("echo", {"text": "x"}, timeout=5)) == "x"


@pytest.mark.parametrize("tool", ["sleep", "mute"])
async def test_calls_that_were_given_up_hold_no_connection(
    port: int, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "COURTESY", 0.1)

    def connections() -> int:
        found = psutil.Process().net_connections("tcp4")
        ports = [each.raddr.port for each in found if each.raddr and each.status == "ESTABLISHED"]
        return ports.count(port)

    async with hold(at(port)) as session:
        await session.call("echo", {"text": "x"}, timeout=5)
        before = connections()
        for _ in range(5):
            await failure(session, tool, timeout=0.1, ms=20_000)
        await until(lambda: connections() <= before + 1)
        assert text(await session.call("echo", {"text": "x"}, timeout=5)) == "x"
        assert session.connects == 1


async def test_a_server_that_does_not_let_a_session_end_holds_nobody_up() -> None:
    with listening("web.py", "--drip") as (_, port):
        began = time.monotonic()
        async with hold(at(port)) as session:
            await session.call("echo", {"text": "x"}, timeout=5)
        assert time.monotonic() - began < COURTESY + 3


@pytest.mark.parametrize("options", KINDS, ids=" ".join)
async def test_a_restart_on_the_same_port_is_recovered_from(options: tuple[str, ...]) -> None:
    with listening("web.py", *options) as (process, port):
        async with hold(at(port)) as session:
            await session.call("echo", {"text": "x"}, timeout=5)
            call = asyncio.create_task(failure(session, "sleep", ms=5000))
            await session.call("echo", {"text": "x"}, timeout=5)
            process.kill()
            failed = await call
            assert (failed.cause, failed.executed) == (Cause.CONNECTION_FAILED, Executed.MAYBE)
            process.wait()
            await until(lambda: session.state is SessionState.DOWN)
            assert "cannot be reached" in session.reason
            failed = await failure(session, "echo", text="x")
            assert (failed.cause, failed.executed) == (Cause.CONNECTION_FAILED, Executed.NO)
            with listening("web.py", *options, "--port", str(port)):
                await asyncio.wait_for(session.ready.wait(), 5)
                assert text(await session.call("echo", {"text": "y"}, timeout=5)) == "y"


async def test_a_refused_connection_proves_that_the_tool_did_not_run() -> None:
    with listening("web.py", "--era", "2026-07-28") as (process, port):
        async with hold(at(port)) as session:
            process.kill()
            process.wait()
            failed = await failure(session, "echo", text="x")
            assert (failed.cause, failed.executed) == (Cause.CONNECTION_FAILED, Executed.NO)


async def test_a_forgotten_session_is_opened_anew() -> None:
    with listening("web.py", "--era", "2025-06-18") as (_, port):
        async with hold(at(port)) as session:
            await session.call("forget", {}, timeout=5)
            failed = await failure(session, "echo", text="x")
            assert failed.cause is Cause.SESSION_LOST
            await asyncio.wait_for(session.ready.wait(), 5)
            assert text(await session.call("echo", {"text": "x"}, timeout=5)) == "x"
            assert session.connects == 2


async def test_a_server_that_falls_silent_is_timed_out_and_not_pinged_alive() -> None:
    with listening("web.py", "--era", "2025-06-18") as (process, silent):
        async with hold(at(silent)) as session:
            await stop(process.pid)
            failed = await failure(session, "echo", timeout=0.2, text="x")
            assert (failed.cause, failed.executed) == (Cause.ATTEMPT_TIMEOUT, Executed.MAYBE)
            assert not await session.ping(0.1)
            process.send_signal(signal.SIGCONT)
            assert text(await session.call("echo", {"text": "y"}, timeout=5)) == "y"


async def test_a_black_hole_is_given_up_at_the_connect_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:  # accepts, never answers
        spec = ServerSpec(
            "hole", "http", url=f"http://127.0.0.1:{hole.getsockname()[1]}/", connect_timeout=0.5
        )
        async with hold(spec, ready=False) as session:
            await until(lambda: session.state is SessionState.DOWN)
            assert "did not answer within 0.5 s" in session.reason


@pytest.mark.parametrize(("kind", "path"), [("http", "/mcp"), ("sse", "/sse")])
async def test_a_server_of_the_sdk_answers_and_recovers(kind: str, path: str) -> None:
    with listening("sdk.py", kind) as (process, port):
        async with hold(at(port, kind=kind, path=path)) as session:
            steps: list[float] = []
            await session.call(
                "nap", {"ms": 1}, timeout=5, on_progress=lambda step, _total, _text: steps.append(step)
            )
            assert steps == [1]
            await _grow(session)
            call = asyncio.create_task(failure(session, "nap", ms=5000))
            await session.call("greet", {"name": "you"}, timeout=5)
            process.kill()
            assert (await call).executed is Executed.MAYBE
            process.wait()
            with listening("sdk.py", kind, "--port", str(port)):
                await asyncio.wait_for(session.ready.wait(), 10)
                assert text(await session.call("greet", {"name": "me"}, timeout=5)) == "hello me"


async def test_a_stdio_server_of_the_sdk_tells_of_a_changed_list() -> None:
    async with hold(stdio("sdk.py", "stdio")) as session:
        await _grow(session)


async def _grow(session: Session) -> None:
    async def grown() -> bool:
        return "grown" in {tool.name for tool in session.tools}

    assert text(await session.call("grow", {}, timeout=5)) == "ok"
    await until(grown)
