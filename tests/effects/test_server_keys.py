"""`[servers.<name>]`: what a worker, or a launcher, does with a server that is written so."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from mcp.server import MCPServer

from launching import Launchers, config_of
from mcpweft_coordinator.registrar import Registrar
from mcpweft_schemas.config import Config
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_schemas.outcome import Code
from mcpweft_workers.command import pick
from mcpweft_workers.entry import WorkerOptions, plan_of
from servers.hold import hold, listening, text
from waiting import until
from workbench import SERVERS, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from mcpweft_workers.spec import ServerSpec
    from workbench import Bench

app = MCPServer("here")


@app.tool()
async def greet(name: str) -> str:
    return f"hello {name}"


def spec_of(**server: Any) -> ServerSpec:
    """What a worker's session is told of a server that is written so."""
    config = Config.model_validate({"servers": {"one": server}})
    return plan_of(WorkerOptions(config=config, store_url="redis://x", server="one")).spec


# -- what it is --------------------------------------------------------------------------------------------


async def noted(tmp_path: Path, **more: Any) -> list[str]:
    """What a stdio server found itself started with: program, arguments, a variable, directory."""
    program, note = tmp_path / "program", tmp_path / "note"
    echo = f"exec {sys.executable} {SERVERS / 'echo.py'}"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$0" "$*" "$TOKEN" "$PWD" > {note}\n{echo}\n')
    program.chmod(0o700)
    async with hold(spec_of(command=str(program), mode="legacy", **more)) as session:
        assert text(await session.call("echo", {"text": "x"}, timeout=5)) == "x"
    return note.read_text().splitlines()


async def test_its_command_is_run(tmp_path: Path) -> None:
    assert (await noted(tmp_path))[0] == str(tmp_path / "program")


async def test_its_command_gets_its_arguments(tmp_path: Path) -> None:
    assert (await noted(tmp_path, args=["--deep", "a b"]))[1] == "--deep a b"


async def test_it_gets_its_variables_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "somebody else's")
    assert (await noted(tmp_path))[2] == ""
    assert (await noted(tmp_path, env={"TOKEN": "its own"}))[2] == "its own"


async def test_it_starts_in_its_directory(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    assert (await noted(tmp_path, cwd=str(tmp_path / "home")))[3] == str(tmp_path / "home")


async def test_its_url_is_called() -> None:
    with listening("web.py") as (_, port):
        async with hold(spec_of(url=f"http://127.0.0.1:{port}/mcp", mode="legacy")) as session:
            assert text(await session.call("add", {"a": 1, "b": 2}, timeout=5)) == "3"


@asynccontextmanager
async def heard(**server: Any) -> AsyncGenerator[list[str]]:
    """The head of the first request that an HTTP server gets."""
    heads: list[str] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().splitlines()
        if not heads:
            heads.extend(head)
        writer.close()

    listener = await asyncio.start_server(hear, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, hold(spec_of(url=f"http://127.0.0.1:{port}/way", **server), ready=False):
        await until(lambda: heads)
        yield heads


async def test_its_headers_go_with_each_request() -> None:
    async with heard(headers={"Authorization": "Bearer abc"}) as head:
        assert "authorization: bearer abc" in head


async def test_its_transport_says_how_it_is_spoken_to() -> None:
    async with heard() as head:
        assert head[0] == "post /way http/1.1"
    async with heard(transport="sse") as head:
        assert head[0] == "get /way http/1.1"


async def test_its_app_is_run_in_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shop", sys.modules[__name__])
    async with hold(spec_of(app="shop:app")) as session:
        assert text(await session.call("greet", {"name": "you"}, timeout=5)) == "hello you"
        assert session.pids is None


@pytest.mark.parametrize(
    ("mode", "era", "first"),
    [
        ("auto", "2025-06-18", ["server/discover", "initialize"]),
        ("auto", "2026-07-28", ["server/discover", "tools/list"]),
        ("legacy", "2025-06-18", ["initialize", "notifications/initialized"]),
        ("2026-07-28", "2026-07-28", ["tools/list"]),
    ],
)
async def test_its_mode_says_how_it_is_greeted(tmp_path: Path, mode: str, era: str, first: list[str]) -> None:
    wire = f"tee {tmp_path / 'wire'} | {sys.executable} {SERVERS / 'echo.py'} --era {era}"
    async with hold(spec_of(command="sh", args=["-c", wire], mode=mode)) as session:
        assert text(await session.call("echo", {"text": "x"}, timeout=5)) == "x"
    said = [json.loads(line).get("method") for line in (tmp_path / "wire").read_text().splitlines()]
    assert said[: len(first)] == first


# -- what it offers and takes ------------------------------------------------------------------------------


async def test_it_serves_its_capabilities(bench: Bench) -> None:
    async with bench.worker(bench.config({"capabilities": ["maps", "routes"]})):
        for pool in ("maps", "routes"):
            request_id = await bench.enqueue("echo", {"text": pool}, pool=pool)
            assert text_of(await bench.outcome(request_id)) == pool
        assert await bench.store.pools() == ("maps", "routes")


@pytest.mark.parametrize("concurrency", [2, 5])
async def test_it_runs_so_many_calls_at_once(bench: Bench, concurrency: int) -> None:
    async with bench.worker(bench.config({"concurrency": concurrency})) as worker:
        ids = await bench.enqueue_many([("sleep", {"ms": 150})] * 7)
        await until(lambda: worker.runner.in_flight == concurrency)
        most = 0
        while worker.runner.in_flight:
            most = max(most, worker.runner.in_flight)
            await asyncio.sleep(0)
        for request_id in ids:
            assert (await bench.outcome(request_id)).code is Code.OK
    assert most == concurrency


async def test_its_tools_may_run_twice_where_it_is_said(bench: Bench) -> None:
    for idempotent, code in ((["cra*"], Code.FAILOVER_EXHAUSTED), (["echo"], Code.OUTCOME_UNKNOWN)):
        async with bench.worker(bench.config({"idempotent": idempotent})):
            reply = await bench.outcome(await bench.enqueue("crash", max_attempts=2))
        assert reply.code is code


async def test_its_own_word_counts_where_it_is_trusted(bench: Bench) -> None:
    for trusted, code in ((True, Code.FAILOVER_EXHAUSTED), (False, Code.OUTCOME_UNKNOWN)):
        async with bench.worker(bench.config({"trust_annotations": trusted})):
            request_id = await bench.enqueue("sleep", {"ms": 9000}, attempt_timeout_ms=80, max_attempts=1)
            assert (await bench.outcome(request_id)).code is code  # it says that `sleep` only reads


async def test_an_attempt_on_it_has_its_time(bench: Bench) -> None:
    await timed_out(bench, {"attempt_timeout": 0.1})


async def test_an_attempt_of_a_tool_has_its_time(bench: Bench) -> None:
    await timed_out(bench, {"attempt_timeout": 5, "tool_timeouts": {"echo": 5, "sl*": 0.1}})


async def timed_out(bench: Bench, server: dict[str, Any]) -> None:
    async with bench.worker(bench.config(server)):
        reply = await bench.outcome(await bench.enqueue("sleep", {"ms": 9000}, max_attempts=1), within=3)
    assert reply.cause == "ATTEMPT_TIMEOUT"


async def test_a_disabled_one_is_left_out(bench: Bench) -> None:
    config = config_of({"disabled": True})
    launchers = Launchers(bench.store)
    running = launchers.start(config)
    assert running.launcher.views() == ()
    await running.stop()
    await Registrar(bench.store, config, random.Random(1)).declare()
    assert await bench.store.pools() == ()
    with pytest.raises(InvalidConfigError, match="disabled"):
        pick(config, "echo")
