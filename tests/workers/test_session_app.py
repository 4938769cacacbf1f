"""A server that lives in this process."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from typing import Literal

import pytest
from mcp.server import MCPServer
from mcp.server.mcpserver import Context  # noqa: TC002  # the SDK reads the annotation at run time
from mcp.server.mcpserver.exceptions import ToolError

from mcpweft_schemas.outcome import Executed
from mcpweft_workers.session import CallFailed, Cause, ServerSpec, SessionState
from servers.hold import failure, hold, text
from waiting import until

server = MCPServer("here")
begun = asyncio.Event()
stopped = asyncio.Event()


@server.tool()
async def greet(name: str) -> str:
    return f"hello {name}"


@server.tool()
async def count(to: int, context: Context) -> int:
    for step in range(1, to + 1):
        await context.report_progress(step, to)
    return to


@server.tool()
async def refuse() -> str:
    raise ToolError("no")


@server.tool()
async def linger() -> None:
    begun.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        stopped.set()
        raise


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> ServerSpec:
    monkeypatch.setitem(sys.modules, "an_app", sys.modules[__name__])
    return ServerSpec("here", "app", app="an_app:server")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_app_answers_reports_and_fails(app: ServerSpec, mode: Literal["auto", "legacy"]) -> None:
    async with hold(replace(app, mode=mode)) as session:
        assert text(await session.call("greet", {"name": "you"}, timeout=5)) == "hello you"
        assert (await session.call("refuse", {}, timeout=5)).is_error
        steps: list[float] = []
        await session.call(
            "count", {"to": 3}, timeout=5, on_progress=lambda step, _total, _text: steps.append(step)
        )
        assert steps == [1, 2, 3]
        assert session.pids is None


async def test_a_call_to_an_app_times_out_and_is_cancelled_there(app: ServerSpec) -> None:
    stopped.clear()
    async with hold(app) as session:
        failed = await failure(session, "linger", timeout=0.1)
        assert failed.cause is Cause.ATTEMPT_TIMEOUT
        assert failed.executed is Executed.MAYBE
        await until(stopped.is_set)


async def test_a_call_that_an_app_has_and_that_is_cut_off_may_have_run(app: ServerSpec) -> None:
    begun.clear()
    async with hold(app) as session:
        call = asyncio.create_task(session.call("linger", {}, timeout=5))
        await until(begun.is_set)
    with pytest.raises(CallFailed) as caught:
        await call
    assert caught.value.executed is Executed.MAYBE


@pytest.mark.parametrize(
    ("name", "said"), [("an_app:nothing", "nothing"), ("an_app:count", "not an MCPServer")]
)
async def test_an_app_that_is_none_is_named(app: ServerSpec, name: str, said: str) -> None:
    async with hold(ServerSpec("here", "app", app=name), ready=False) as session:
        await until(lambda: session.state is SessionState.DOWN)
        assert said in session.reason
