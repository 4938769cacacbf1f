"""The link: which addresses it knows, what each failure is called, and that it never sends anything twice."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis
from redis.asyncio.connection import SSLConnection
from redis.exceptions import ResponseError

import realredis
from mcpweft_schemas import connect
from mcpweft_schemas.connect import Link, StoreRefusedError, StoreUnreachableError
from mcpweft_schemas.errors import InvalidConfigError
from proxy import Proxy
from waiting import until, until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SOON = 4.0
"""Seconds that no command takes which does not wait for a silent connection's time (5 s) to be over."""


# -- addresses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "redis+mesh://h:1", ""])
def test_a_url_of_an_unknown_scheme_is_refused_with_those_that_are_known(url: str) -> None:
    with pytest.raises(InvalidConfigError, match="no scheme that is known") as caught:
        Link.to(url)
    assert "redis+sentinel://" in str(caught.value)


def test_a_sentinel_url_without_a_service_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match="names no service"):
        Link.to("redis+sentinel://localhost:26379")


def test_the_tls_of_a_sentinel_url_is_that_of_the_sentinels_too() -> None:
    said = "rediss+sentinel://u:p%40ss@one:1,two:2/main/3?sentinel_password=w%26d&ssl_ca_certs=/ca.pem"
    link = Link.to(said)
    master = link._client.connection_pool.connection_kwargs
    assert [master[name] for name in ("username", "password", "db", "ssl_ca_certs")] == [
        "u",
        "p@ss",
        3,
        "/ca.pem",
    ]
    for guide, host in zip(link._guides, ("one", "two"), strict=True):
        pool = guide.connection_pool
        assert pool.connection_kwargs["host"] == host
        assert issubclass(pool.connection_class, SSLConnection)
        assert [pool.connection_kwargs[name] for name in ("password", "ssl_ca_certs")] == ["w&d", "/ca.pem"]


@realredis.every_store
async def test_a_link_runs_commands_on_every_kind_of_store(store_url: str, namespace: str) -> None:
    key = f"mcpweft:{namespace}:{{x}}:reply:one"
    async with Link.to(store_url) as link:
        assert link.is_cluster == store_url.startswith(realredis.CLUSTER_SCHEME)
        await link.run("SET", key, b"\x00\xff", "EX", 60)
        assert await link.run("GET", key) == b"\x00\xff"
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await link.run("LPUSH", key, "x")


async def test_a_link_goes_through_a_unix_socket(tmp_path: Path) -> None:
    binary = realredis.find(realredis.default_kind())
    assert binary is not None
    with realredis.RedisServer(binary, unixsocket=True) as server:
        assert server.url.startswith("unix://")
        async with Link.to(server.url) as link:
            assert await link.run("ECHO", "hello") == b"hello"
            waiter = link.waiter("x")
            assert await waiter.run("BLPOP", "x", 0.01) is None
            await waiter.close()


@pytest.fixture
def sentinel(private_redis: realredis.RedisServer, tmp_path: Path) -> Iterator[str]:
    """A Sentinel that watches the private server as `mymaster`; its address."""
    port = realredis.free_port()
    config = tmp_path / "sentinel.conf"
    master = f"127.0.0.1 {private_redis.port} 1"
    config.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor mymaster {master}\n", encoding="utf-8")
    binary = realredis.find(realredis.default_kind())
    assert binary is not None
    process = subprocess.Popen(
        [binary, str(config), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def answers() -> bool:
        with redis.Redis(port=port) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    try:
        until_sync(answers, within=10)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


async def test_a_link_finds_the_master_that_sentinels_know(
    sentinel: str, private_redis: realredis.RedisServer
) -> None:
    url = f"redis+sentinel://127.0.0.1:1,{sentinel}/mymaster/0"
    async with Link.to(url) as link:
        assert await link.run("CONFIG", "GET", "port") is not None
        info = await link.run("INFO", "server")
        assert info["process_id"] == private_redis.pid
        waiter = link.waiter("x")
        assert await waiter.run("BLPOP", "x", 0.01) is None
        await waiter.close()
    async with Link.to(f"redis+sentinel://{sentinel}/nobody") as link:
        with pytest.raises(StoreUnreachableError):
            await link.run("PING")


# -- what failures are called ------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
async def test_a_store_that_is_not_there_is_unreachable(scheme: str) -> None:
    async with Link.to(f"{scheme}://127.0.0.1:{realredis.free_port()}") as link:
        with pytest.raises(StoreUnreachableError, match="could not be reached") as caught:
            await link.run("PING")
        assert caught.value.retryable
        waiter = link.waiter("x")
        with pytest.raises(StoreUnreachableError):
            await waiter.run("BLPOP", "x", 1)
        await waiter.close()


async def test_a_wrong_password_and_a_command_that_is_not_allowed_are_refusals(
    private_redis: realredis.RedisServer,
) -> None:
    async with Link.to(private_redis.url) as link:
        await link.run("ACL", "SETUSER", "weak", "on", ">right", "~*", "+get", "+client")
    host = f"127.0.0.1:{private_redis.port}"
    async with Link.to(f"redis://weak:wrong@{host}") as link:
        with pytest.raises(StoreRefusedError, match="refused"):
            await link.run("GET", "x")
    async with Link.to(f"redis://weak:right@{host}") as link:
        assert await link.run("GET", "x") is None
        with pytest.raises(StoreRefusedError) as caught:
            await link.run("SET", "x", "y")
        assert not caught.value.retryable


async def test_a_replica_that_takes_no_writes_is_a_store_that_is_away(
    private_redis: realredis.RedisServer,
) -> None:
    async with Link.to(private_redis.url) as link:
        await link.run("REPLICAOF", "127.0.0.1", realredis.free_port())
        with pytest.raises(StoreUnreachableError):
            await link.run("SET", "x", "y")


async def test_a_wait_on_a_store_that_becomes_a_replica_is_on_one_that_is_away(
    private_redis: realredis.RedisServer,
) -> None:
    async with Link.to(private_redis.url) as link:
        waiter = link.waiter("x")
        wait = asyncio.create_task(waiter.run("BLPOP", "x", 2))
        await until(lambda: waiter.id)
        await asyncio.sleep(0.05)
        await link.run("REPLICAOF", "127.0.0.1", realredis.free_port())  # which unblocks whoever waits
        with pytest.raises(StoreUnreachableError, match="UNBLOCKED"):
            await wait
        await link.run("REPLICAOF", "NO", "ONE")
        assert await waiter.run("BLPOP", "x", 0.01) is None
        await waiter.close()


async def test_a_wait_for_a_key_whose_slot_moves_is_told_and_finds_its_new_node() -> None:
    binary = realredis.find("cluster")
    assert binary is not None
    with realredis.RedisCluster(binary) as cluster, ExitStack() as clients:
        async with Link.to(cluster.url) as link:
            waiter = link.waiter("x")
            nodes = [clients.enter_context(closing(node.client())) for node in cluster.nodes]
            slot = nodes[0].cluster("KEYSLOT", "x")
            wait = asyncio.create_task(waiter.run("BLPOP", "x", 5))
            await until(lambda: waiter.id)
            await asyncio.sleep(0.05)
            owner = next(node for node in nodes if cast("Any", node.info("clients"))["blocked_clients"])
            other = next(node for node in nodes if node is not owner)
            new = other.cluster("MYID")
            for node in (other, owner, *nodes):
                node.cluster("SETSLOT", slot, "NODE", new)
            with pytest.raises(StoreUnreachableError, match="MOVED"):
                await wait

            async def found() -> bool:
                try:
                    await link.run("LPUSH", "x", "1")
                    return bool(await waiter.run("BLPOP", "x", 0.5))
                except StoreUnreachableError:
                    return False

            assert await until(found)
            await waiter.close()


async def test_a_password_may_have_any_characters_in_a_url(
    private_redis: realredis.RedisServer, sentinel: str
) -> None:
    async with Link.to(private_redis.url) as link:
        await link.run("ACL", "SETUSER", "odd", "on", ">p@ss/w:rd", "~*", "+@all")
    host = f"127.0.0.1:{private_redis.port}"
    for url in (
        f"redis://odd:p%40ss%2Fw%3Ard@{host}",
        f"redis+sentinel://odd:p%40ss%2Fw%3Ard@{sentinel}/mymaster",
    ):
        async with Link.to(url) as link:
            assert await link.run("GET", "x") is None
            waiter = link.waiter("x")
            assert await waiter.run("BLPOP", "x", 0.01) is None
            await waiter.close()


async def test_a_password_may_have_any_characters_in_the_url_of_a_cluster() -> None:
    binary = realredis.find("cluster")
    assert binary is not None
    with realredis.RedisCluster(binary) as cluster:
        for node in cluster.nodes:
            with closing(node.client()) as client:
                client.acl_setuser(
                    "odd", enabled=True, passwords=["+p@ss/w:rd"], keys=["*"], categories=["+@all"]
                )
        address = cluster.url.partition("://")[2]
        async with Link.to(f"redis+cluster://odd:p%40ss%2Fw%3Ard@{address}") as link:
            assert await link.run("GET", "x") is None
            waiter = link.waiter("x")
            assert await waiter.run("BLPOP", "x", 0.01) is None
            await waiter.close()


async def test_a_link_outlives_its_store_and_finds_it_again(private_redis: realredis.RedisServer) -> None:
    async with Link.to(private_redis.url) as link:
        await link.run("SET", "x", "1")
        private_redis.kill()
        with pytest.raises(StoreUnreachableError):
            await link.run("GET", "x")
        private_redis.start()

        async def again() -> Any:
            try:
                return await link.run("PING")
            except StoreUnreachableError:
                return None

        assert await until(again)


async def test_a_wait_on_a_store_that_is_killed_ends_at_once(private_redis: realredis.RedisServer) -> None:
    async with Link.to(private_redis.url) as link:
        waiter = link.waiter("x")
        await waiter.run("PING")
        assert waiter.id is not None
        private_redis.kill()
        with pytest.raises(StoreUnreachableError):
            await waiter.run("BLPOP", "x", 2)
        assert waiter.id is None
        await waiter.close()


@pytest.fixture
def collector() -> Iterator[None]:
    """Let garbage be collected only when asked."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("collector")
async def test_nothing_is_said_on_stderr_of_a_connection_that_broke_as_it_was_written_to(
    private_redis: realredis.RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    begin = asyncio.streams.FlowControlMixin.__init__

    def aged(protocol: Any, *args: Any, **named: Any) -> None:
        begin(protocol, *args, **named)
        gc.collect(
            0
        )  # a generation older than the future of its end, it is looked at after that by the last one

    monkeypatch.setattr(asyncio.streams.FlowControlMixin, "__init__", aged)
    async with Link.to(private_redis.url) as link:
        waiter = link.waiter("key")
        await waiter.run("PING")
        connection: Any = waiter._client.connection
        private_redis.kill()
        await connection.send_command("PING")  # to which the store's host answers that nobody listens
        with pytest.raises(StoreUnreachableError, match="while writing"):
            await waiter.run("PING")
        del connection
        await waiter.close()
    await asyncio.sleep(0)
    gc.collect()
    assert not said


async def test_a_link_and_its_waiters_outlive_a_cluster_and_find_it_again() -> None:
    binary = realredis.find("cluster")
    assert binary is not None
    with realredis.RedisCluster(binary) as cluster:
        async with Link.to(cluster.url) as link:
            waiter = link.waiter("x")
            await waiter.run("PING")
            for node in cluster.nodes:
                node.kill()
            for _ in range(4):
                with pytest.raises(StoreUnreachableError):
                    await link.run("GET", "x")
                with pytest.raises(StoreUnreachableError):
                    await waiter.run("BLPOP", "x", 0.01)
            for node in cluster.nodes:
                node.start()

            async def again() -> bool:
                try:
                    return (await link.run("GET", "x"), await waiter.run("BLPOP", "x", 0.01)) == (None, None)
                except StoreUnreachableError:
                    return False

            assert await until(again, within=20)
            await waiter.close()


# -- half-open connections ---------------------------------------------------------------------------------


async def test_of_many_connections_that_fell_silent_one_costs_its_time_and_the_others_nothing(
    private_redis: realredis.RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 8
    async with Proxy(private_redis.url) as proxy, Link.to(proxy.url) as link:
        await asyncio.gather(*(link.run("BLPOP", "x", 0.2) for _ in range(many)))
        assert proxy.freeze() == many
        monkeypatch.setattr(connect, "_COMMAND_TIMEOUT_S", 0.3)
        with pytest.raises(StoreUnreachableError):
            await link.run("PING")
        monkeypatch.undo()
        async with asyncio.timeout(_SOON):
            await asyncio.gather(*(link.run("BLPOP", "x", 0.2) for _ in range(many)))


async def test_a_wait_on_a_connection_that_fell_silent_ends_and_the_next_is_answered(
    private_redis: realredis.RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Proxy(private_redis.url) as proxy, Link.to(proxy.url) as link:
        waiter = link.waiter("x")
        await waiter.run("PING")
        proxy.freeze()
        monkeypatch.setattr(connect, "_BLOCKING_TIMEOUT_S", 0.3)
        with pytest.raises(StoreUnreachableError):
            await waiter.run("BLPOP", "x", 0.01)
        monkeypatch.undo()
        async with asyncio.timeout(_SOON):
            assert await waiter.run("BLPOP", "x", 0.01) is None
        await waiter.close()


# -- nothing twice -----------------------------------------------------------------------------------------


@realredis.every_store
async def test_a_command_whose_answer_does_not_come_in_time_is_not_sent_again(
    store_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store stands still while the command arrives, and carries it out when nobody listens any more."""
    key = f"mcpweft:{namespace}:{{x}}:q:count"
    async with Link.to(store_url) as link:
        await link.run("XADD", key, "*", "n", 0)
        owner = link.waiter(key)
        pid = (await owner.run("INFO", "server"))["process_id"]
        monkeypatch.setattr(connect, "_COMMAND_TIMEOUT_S", 0.3)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnreachableError):
                await link.run("XADD", key, "*", "n", 1)
        finally:
            os.kill(pid, signal.SIGCONT)
        monkeypatch.undo()

        async def length() -> Any:
            return await owner.run("XLEN", key) == 2

        await until(length)
        await owner.close()
    async with Link.to(store_url) as link:
        assert await link.run("XLEN", key) == 2


@realredis.stores("cluster")
@pytest.mark.parametrize("_turn", range(8))
async def test_several_first_commands_at_once_find_a_clusters_nodes_together(
    store_url: str, namespace: str, _turn: int
) -> None:
    async with Link.to(store_url) as link:
        key = f"mcpweft:{namespace}:{{_}}:pools"
        assert await asyncio.gather(*(link.run("HLEN", key) for _ in range(8))) == [0] * 8
