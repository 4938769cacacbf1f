"""The top level and `[redis]`: which store, which fabric on it, which servers."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft import Client
from mcpweft.errors import ConnectionFailedError, UnknownCapabilityError
from mcpweft_coordinator.command import Where as CoordinatorWhere
from mcpweft_coordinator.command import resolve
from mcpweft_coordinator.table import display
from mcpweft_coordinator.up import Where as UpWhere
from mcpweft_coordinator.up import _audit, plan
from mcpweft_schemas.config import Config
from mcpweft_schemas.connect import Link
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_workers.command import Where as WorkerWhere
from mcpweft_workers.command import Which, settle
from workbench import POOL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from realredis import RedisServer
    from workbench import Bench


async def test_a_client_calls_on_the_store_that_the_file_names(
    bench: Bench, write: Callable[[str], Path]
) -> None:
    write("")
    async with bench.worker(), Client() as client:
        assert (await client.call(f"{POOL}.echo", {"text": "found"})).text == "found"


def test_worker_coordinator_and_up_run_on_the_store_that_the_file_names(
    bench: Bench, write: Callable[[str], Path]
) -> None:
    write('[servers.echo]\ncommand = "echo"')
    config, url, server = settle(Which(), WorkerWhere(), {})
    assert (url, config.namespace, server) == (bench.url, bench.namespace, "echo")
    place = resolve(CoordinatorWhere()).place
    assert (place.url, place.namespace) == (bench.url, bench.namespace)
    asked = plan((), UpWhere())
    assert (asked.url, asked.config.namespace) == (bench.url, bench.namespace)


async def test_two_namespaces_never_meet(bench: Bench, write: Callable[[str], Path], tmp_path: Path) -> None:
    write("")
    text = (tmp_path / "mcpweft.toml").read_text()
    async with bench.worker():
        async with Client() as client:
            assert await client.pools() == [POOL]
        (tmp_path / "mcpweft.toml").write_text(text.replace(bench.namespace, f"{bench.namespace}-2"))
        async with Client() as client:
            assert await client.pools() == []
            with pytest.raises(UnknownCapabilityError):
                await client.call(f"{POOL}.echo", {"text": "x"})


async def test_a_worker_runs_a_server_of_an_included_file(
    bench: Bench, write: Callable[[str], Path], tmp_path: Path
) -> None:
    echo = bench.config().servers["echo"]
    entry = {"command": echo.command, "args": list(echo.args)}
    (tmp_path / "tools.json").write_text(json.dumps({"mcpServers": {"echo": entry}}))
    text = write("").read_text()
    (tmp_path / "mcpweft.toml").write_text(f'include = ["tools.json"]\n{text}')
    config, url, server = settle(Which(), WorkerWhere(), {})
    assert server == "echo"
    async with bench.worker(config, url=url):
        assert (await bench.outcome(await bench.enqueue("echo", {"text": "x"}))).server == "echo"


@asynccontextmanager
async def audited(server: RedisServer, setting: str, value: str) -> AsyncGenerator[Callable[..., Any]]:
    """What `mcpweft up` does about a store with this setting, before it runs on it."""
    async with Link.to(server.url) as link:
        await link.run("CONFIG", "SET", setting, value)

        async def check(**redis: str) -> None:
            with display() as shown:
                await _audit(Config.model_validate({"redis": redis}), link, shown, own=False)

        yield check


async def test_a_store_that_may_evict_is_refused_unless_accepted(private_redis: RedisServer) -> None:
    async with audited(private_redis, "maxmemory-policy", "volatile-lru") as check:
        with pytest.raises(InvalidConfigError, match="volatile-lru"):
            await check(eviction="refuse")
        await check(eviction="accept-volatile")


async def test_a_store_that_promises_less_than_is_asked_for_is_refused(private_redis: RedisServer) -> None:
    async with audited(private_redis, "appendonly", "no") as check:
        await check(durability="fast")
        with pytest.raises(InvalidConfigError, match="append-only"):
            await check(durability="fsync")
        with pytest.raises(InvalidConfigError, match="replica"):
            await check(durability="replicated")


async def test_a_file_without_a_store_leaves_the_search_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MCPWEFT_URL", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mcpweft.toml").write_text('namespace = "shop"\n')
    with pytest.raises(ConnectionFailedError, match=r"has no redis\.url"):
        await Client().open()
