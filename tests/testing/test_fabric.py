"""What a fabric in the test's own process does."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from mcp.server import MCPServer

from mcpweft import Client, Result, SyncClient, errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcpweft.testing import Fabric

server = MCPServer("adder", log_level="ERROR")
ran = threading.Event()


@server.tool()
def add(a: int, b: int) -> int:
    return a + b


@server.tool()
async def hang() -> None:
    ran.set()
    await asyncio.sleep(3600)


def workers_here() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mcpweft worker")]


async def test_a_server_object_is_called_through_a_real_worker(mcpweft_fabric: Fabric) -> None:
    async with mcpweft_fabric(server, capability="math") as client:
        assert type(client) is Client
        result = await client.call("math.add", {"a": 1, "b": 2})
        assert result.data == 3
        assert result.server == "math"
        assert len(workers_here()) == 1
    assert workers_here() == []


def test_a_sync_test_is_given_a_sync_client(mcpweft_fabric: Fabric) -> None:
    with mcpweft_fabric(server, capability="math") as client:
        assert type(client) is SyncClient
        sums = [out.data for out in client.map("math.add", [{"a": n, "b": n} for n in range(20)])
                if isinstance(out, Result)]  # fmt: skip
        assert sums == [2 * n for n in range(20)]
    assert workers_here() == []


async def test_a_sync_block_may_stand_in_an_async_test(mcpweft_fabric: Fabric) -> None:
    with mcpweft_fabric(server, capability="math") as client:
        assert client.call("math.add", {"a": 1, "b": 2}).data == 3


async def test_the_code_under_test_finds_it_by_itself(mcpweft_fabric: Fabric) -> None:
    async with mcpweft_fabric(server, capability="math"), Client() as found:
        assert (await found.call("math.add", {"a": 1, "b": 2})).data == 3


async def test_each_test_has_a_namespace_of_its_own(mcpweft_fabric: Fabric) -> None:
    async with mcpweft_fabric(server, capability="other") as client:
        assert await client.pools() == ["other"]


async def test_workers_of_one_test_share_its_fabric(mcpweft_fabric: Fabric) -> None:
    async with (
        mcpweft_fabric(server, capability="math") as client,
        mcpweft_fabric(server, capability="math") as other,
        mcpweft_fabric(f"{__name__}:server", capability="sums"),
    ):
        assert await client.pools() == await other.pools() == ["math", "sums"]
        assert [worker.usable for worker in (await client.pool("math")).workers] == [True, True]
        assert (await client.call("sums.add", {"a": 1, "b": 2})).data == 3


async def test_the_server_and_the_fabric_are_set_as_in_mcpweft_toml(mcpweft_fabric: Fabric) -> None:
    serving = mcpweft_fabric(
        server,
        capability="math",
        concurrency=3,
        idempotent=["hang"],
        config={"call": {"attempt_timeout": 0.05, "backoff": 0.01, "backoff_max": 0.01}},
    )
    async with serving as client:
        assert (await client.pool("math")).workers[0].slots == 3
        with pytest.raises(errors.FailoverExhaustedError) as caught:
            await client.call("math.hang", max_attempts=2)
        assert [attempt.cause for attempt in caught.value.attempts] == ["ATTEMPT_TIMEOUT"] * 2


async def test_a_call_that_is_left_behind_does_not_hold_the_end_up(mcpweft_fabric: Fabric) -> None:
    ran.clear()
    async with mcpweft_fabric(server, capability="math") as client:
        await client.submit("math.hang")
        assert await asyncio.to_thread(ran.wait, 10)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert workers_here() == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (object(), "a object cannot be served: .* is a object, not an MCPServer"),
        ("no_such_module:server", "no_such_module:server cannot be served: No module named 'no_such_module'"),
    ],
)
async def test_what_is_no_server_is_refused(mcpweft_fabric: Fabric, given: Any, said: str) -> None:
    with pytest.raises(errors.InvalidConfigError, match=said):
        async with mcpweft_fabric(given, capability="math"):
            pass
    assert workers_here() == []


async def test_a_wrong_setting_is_named(mcpweft_fabric: Fabric) -> None:
    with pytest.raises(
        errors.InvalidConfigError, match=r"servers\.math\.concurency.*Did you mean servers\.math\.concurrency"
    ):
        async with mcpweft_fabric(server, capability="math", concurency=3):
            pass


async def test_a_block_is_entered_once_at_a_time(mcpweft_fabric: Fabric) -> None:
    serving = mcpweft_fabric(server, capability="math")
    async with serving as client:
        with pytest.raises(errors.InvalidConfigError, match="runs already"):
            async with serving:
                pass
        assert (await client.call("math.add", {"a": 1, "b": 2})).data == 3
    async with serving as client:
        assert (await client.call("math.add", {"a": 1, "b": 2})).data == 3


async def test_a_store_that_is_not_there_is_told_of() -> None:
    from mcpweft.testing.fabric import Fabric  # noqa: PLC0415  # as the fixture does

    with Fabric("redis://127.0.0.1:1/0") as fabric, pytest.raises(errors.ConnectionFailedError):
        async with fabric(server, capability="math"):
            pass
    assert workers_here() == []


async def test_a_server_that_cannot_begin_is_told_of(
    mcpweft_fabric: Fabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def lifespan(_: object) -> AsyncGenerator[None]:
        raise ZeroDivisionError("no database")
        yield

    monkeypatch.setattr("mcpweft.testing.fabric._UP_WITHIN_S", 0.5)
    broken: MCPServer[None] = MCPServer("broken", lifespan=lifespan, log_level="ERROR")
    with pytest.raises(errors.NoServersError, match=r"the worker of 'math' takes no work: .*no database"):
        async with mcpweft_fabric(broken, capability="math"):
            pass
    assert workers_here() == []


async def test_what_a_test_did_not_leave_is_ended_with_it(mcpweft_store_url: str) -> None:
    from mcpweft.testing.fabric import Fabric  # noqa: PLC0415  # as the fixture does

    with Fabric(mcpweft_store_url) as fabric:
        fabric(server, capability="math").__enter__()  # a block that is never left
        assert len(workers_here()) == 1
    assert workers_here() == []
    assert not [name for name in sys.modules if name.startswith("mcpweft_workers.lodger_")]


async def test_to_start_and_to_end_takes_a_moment(mcpweft_fabric: Fabric) -> None:
    took: list[float] = []
    for _ in range(4):
        began = time.monotonic()
        async with mcpweft_fabric(server, capability="math") as client:
            await client.call("math.add", {"a": 1, "b": 2})
        took.append(time.monotonic() - began)
    assert min(took) < 5, took  # a moment by itself; a busy machine takes its time
