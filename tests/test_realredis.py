"""The test stores keep what the other tests rely on."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING, cast

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import leak
import realredis
from waiting import until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def any_client(store_url: str) -> Iterator[redis.Redis | redis.RedisCluster]:
    with contextlib.closing(realredis.connect(store_url)) as client:
        yield client


@realredis.every_store
def test_each_kind_answers_and_runs_scripts(
    any_client: redis.Redis | redis.RedisCluster, namespace: str
) -> None:
    key = f"mcpweft:{namespace}:{{cap}}:r:1"
    answer = any_client.eval("return redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000)", 1, key, "v")
    assert answer in (b"OK", "OK")
    assert any_client.get(key) == b"v"


def test_a_key_without_ttl_or_owner_is_named_and_deleted(store_url: str) -> None:
    with contextlib.closing(realredis.connect(store_url)) as client:
        space = "tleak"
        client.set(f"mcpweft:{space}:{{a}}:r:1", "forgotten")
        client.set(f"mcpweft:{space}:{{a}}:r:2", "ends", px=60_000)
        client.set(f"mcpweft:{space}:{{a}}:q:high", "owned")
        client.set(f"mcpweft:{space}:{{_}}:pools", "owned")
        client.set(f"mcpweft:{space}:{{a}}:r:3", "lives: expiry knows it")
        client.zadd(f"mcpweft:{space}:{{a}}:expiry", {"3": 1})
        assert leak.delete_keys(client, space) == [f"mcpweft:{space}:{{a}}:r:1"]
        assert list(client.scan_iter(match=f"mcpweft:{space}:*")) == []


def test_a_killed_server_comes_back_with_its_data_and_address(private_redis: realredis.RedisServer) -> None:
    with contextlib.closing(private_redis.client()) as client:
        client.set("k", "v")
    url = private_redis.url
    private_redis.kill()
    assert not private_redis.running
    private_redis.start()
    assert private_redis.url == url
    with contextlib.closing(private_redis.client()) as client:
        assert client.get("k") == b"v"


def test_a_paused_server_answers_after_it_is_resumed(private_redis: realredis.RedisServer) -> None:
    once = Retry(NoBackoff(), 0)  # newer clients would try again for seconds
    impatient = redis.Redis(port=private_redis.port, socket_timeout=0.1, retry=once)
    with contextlib.closing(impatient) as client:
        private_redis.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        private_redis.resume()
        assert until_sync(client.ping)


def test_a_server_on_a_unix_socket_leaves_no_file() -> None:
    with realredis.RedisServer(_valkey(), unixsocket=True) as server:
        with contextlib.closing(server.client()) as client:
            assert cast("dict[str, str]", client.info("server"))["server_name"] == "valkey"
        folder = server.folder
    assert not folder.exists()


def test_a_server_that_cannot_start_says_why_and_leaves_no_file() -> None:
    broken = realredis.RedisServer(_valkey(), extra=("--no-such-option", "1"))
    with pytest.raises(AssertionError, match="ended at its start"), broken:
        pass
    assert not broken.folder.exists()


def test_an_orphan_is_found_by_its_mark_and_ended(tmp_path: Path) -> None:
    mark = f"mark-of-{tmp_path.name}"
    pid = subprocess.run(
        ["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"],
        env={"PATH": f"/usr/bin:/bin:/{mark}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert leak.end_processes(lambda: leak.marked(mark), within=0) == [f"{pid}: sleep 60"]
    until_sync(lambda: not leak.marked(mark))


def _valkey() -> str:
    binary = realredis.find("valkey")
    assert binary is not None
    return binary
