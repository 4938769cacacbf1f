"""A client goes by the rules in force: how soon it knows of new ones, what that costs, what if it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

import realredis
from loopworker import HANDLERS, LoopWorker
from mcpweft import Client, Ruling, errors
from mcpweft.rulebook import FRESH_S
from mcpweft_schemas.connect import Link
from mcpweft_schemas.store import Store
from rules.conftest import put
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Start = Callable[..., Awaitable[LoopWorker]]

REJECT: dict[str, Any] = {"name": "closed", "then": {"reject": "closed"}}


def stale(client: Client) -> bool:
    """Whether a client's rules are so old that the next call asks for them first."""
    assert client._opened is not None
    return asyncio.get_running_loop().time() - client._opened.rulebook._looked_at > FRESH_S


async def ruled(client: Client) -> Ruling | None:
    return (await client.call("cap.echo")).rules


@realredis.every_store
async def test_a_client_that_calls_all_the_time_goes_by_new_rules_within_a_second(
    client: Client, start: Start, store: Store
) -> None:
    await start("cap")
    assert await ruled(client) is None
    for version in (1, 2):
        await put(store, {"name": f"r{version}"})
        set_at = time.monotonic()
        while (seen := await ruled(client)) is None or seen.version != version:
            assert time.monotonic() - set_at < 5
        assert time.monotonic() - set_at < 2 * FRESH_S


async def test_the_first_call_after_a_pause_goes_by_what_is_in_force_then(
    client: Client, start: Start, store: Store
) -> None:
    await start("cap")
    assert await ruled(client) is None
    await put(store, REJECT)
    await until(lambda: stale(client))
    with pytest.raises(errors.RejectedError):
        await client.call("cap.echo")


@pytest.fixture
async def alone(private_redis: realredis.RedisServer, namespace: str) -> AsyncIterator[Store]:
    """A store that nobody else sends commands to."""
    link = Link.to(private_redis.url)
    yield Store(link, namespace)
    await link.close()


def moves(server: realredis.RedisServer) -> int:
    """How many moves a server has carried out."""
    with contextlib.closing(server.client()) as admin:
        stats = cast("dict[str, dict[str, int]]", admin.info("commandstats"))
    return stats["cmdstat_evalsha"]["calls"]


async def test_rules_cost_a_busy_client_two_commands_a_second_and_an_idle_one_none(
    alone: Store, private_redis: realredis.RedisServer
) -> None:
    await alone.declare("cap", "i")
    await put(alone, {"name": "no", "when": {"tool": "no"}, "then": {"reject": "no"}})
    async with Client(private_redis.url, namespace=alone.namespace) as client:
        looks = _counted(client)
        began, calls = time.monotonic(), 0
        while time.monotonic() - began < 1.6:
            calls += 1
            with pytest.raises(errors.RejectedError):
                await client.call("cap.no")
            await asyncio.sleep(0)  # calls that never wait must let others run
        assert 2 <= len(looks) <= 5
        assert calls > 4 * len(looks)
        waiting = asyncio.create_task(client.call("cap.echo"))
        await until(lambda: stale(client))
        so_far, beats = len(looks), moves(private_redis)
        await until(lambda: moves(private_redis) >= beats + 2)
        assert len(looks) == so_far, "its heartbeat went on, and asked for no rules"
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


def _counted(client: Client) -> list[float]:
    """Note each look of a client at the rules' version."""
    assert client._opened is not None
    store, looks = client._opened.store, list[float]()
    ask = store.rules_version

    async def asked() -> int:
        looks.append(time.monotonic())
        return await ask()

    store.rules_version = asked  # type: ignore[method-assign]  # counted, and asked all the same
    return looks


async def test_what_is_no_json_at_all_is_told_once_and_lets_nothing_through(
    client: Client, start: Start, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await start("cap")
    await store.link.run("HSET", store.fleet.rules, "version", 9, "document", "{")
    for _ in range(3):
        with pytest.raises(errors.InvalidConfigError, match="version 9, cannot be read here"):
            await client.call("cap.echo")
    assert (worker.fetched, caplog.text.count("cannot be read here")) == ([], 1)


@pytest.mark.parametrize("first", [True, False])
async def test_rules_that_cannot_be_read_here_let_nothing_through_unless_earlier_ones_can(
    client: Client, start: Start, store: Store, caplog: pytest.LogCaptureFixture, *, first: bool
) -> None:
    worker = await start("cap")
    if not first:
        await put(store, {"name": "good"})
        assert await ruled(client) == Ruling(1, ("good",))
    later = '{"rules":[{"name":"a","then":{"colour":"red"}}]}'
    await store.link.run("HSET", store.fleet.rules, "version", 9, "document", later)
    if first:
        for _ in range(2):
            with pytest.raises(errors.InvalidConfigError, match=r"version 9, cannot be read here: .*colour"):
                await client.call("cap.echo")
        assert worker.fetched == []
    else:
        while "cannot be read here" not in caplog.text:
            await ruled(client)
        assert await ruled(client) == Ruling(1, ("good",))
    assert caplog.text.count("cannot be read here") == 1, "told once"
    await put(store, {"name": "mended"})
    while (seen := await _ruled_or_none(client)) is None or "mended" not in seen.names:
        pass


async def _ruled_or_none(client: Client) -> Ruling | None:
    try:
        return await ruled(client)
    except errors.InvalidConfigError:
        return None


async def test_before_any_rules_were_read_a_call_waits_for_the_store(
    alone: Store, private_redis: realredis.RedisServer
) -> None:
    await put(alone, REJECT)
    async with Client(private_redis.url, namespace=alone.namespace) as client:
        private_redis.pause()
        calls = [asyncio.create_task(client.call("cap.echo")) for _ in range(3)]
        calls[0].cancel()  # who gives up takes nobody along
        await asyncio.gather(calls[0], return_exceptions=True)
        assert not any(call.done() for call in calls[1:])
        private_redis.resume()
        for call in calls[1:]:
            with pytest.raises(errors.RejectedError):
                await call


async def test_where_the_store_is_never_there_the_call_says_that_it_was_not_sent() -> None:
    port = realredis.free_port()
    async with Client(f"redis://127.0.0.1:{port}", namespace="none") as client:
        with pytest.raises(
            errors.ConnectionFailedError, match="rules could not be read, and the request was not sent"
        ):
            await client.call("cap.echo", timeout="300ms")


async def test_while_the_store_is_away_the_rules_that_were_read_last_stand(
    alone: Store, private_redis: realredis.RedisServer
) -> None:
    async with LoopWorker(private_redis.url, alone.namespace, "cap", HANDLERS) as worker:
        await put(alone, {"name": "no-fail", "when": {"tool": "fail"}, "then": {"reject": "no"}})
        async with Client(private_redis.url, namespace=alone.namespace) as client:
            assert await ruled(client) is None
            private_redis.stop()
            await until(lambda: stale(client))
            with pytest.raises(errors.RejectedError):
                await client.call("cap.fail")
            waiting = asyncio.create_task(client.call("cap.echo", {"text": "hi"}))
            private_redis.start()
            assert (await waiting).text == "hi"
    assert len(worker.fetched) >= 2


async def test_a_client_that_is_closed_meanwhile_ends_its_calls(private_redis: realredis.RedisServer) -> None:
    client = await Client(private_redis.url, namespace="none").open()
    private_redis.pause()
    call = asyncio.create_task(client.call("cap.echo"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    closing = asyncio.create_task(client.close())
    with pytest.raises(errors.ShuttingDownError):
        await call
    private_redis.resume()
    await closing


def test_a_client_without_rules_loads_no_expressions_and_no_models() -> None:
    code = "import sys, mcpweft.client; print(sorted({'re2', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
