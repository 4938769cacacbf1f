"""From options to a plan, and from a plan to an exit code."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft_schemas.config import Config
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_schemas.packing import unpack
from mcpweft_workers import log
from mcpweft_workers.entry import FAILED, WorkerOptions, plan_of, run_worker
from mcpweft_workers.tool import Tool

if TYPE_CHECKING:
    from collections.abc import Iterator

    import realredis
    from mcpweft_workers.plan import Plan

STORE = "redis://127.0.0.1:1/0"


def plan(config: dict[str, Any] | None = None, **options: Any) -> Plan:
    return plan_of(WorkerOptions(config=Config.model_validate(config or {}), store_url=STORE, **options))


@pytest.fixture
def quiet_log() -> Iterator[None]:
    """The process's logging as it was, once the test is over."""
    root = logging.getLogger()
    handlers, level, own = root.handlers[:], root.level, log.LOGGER.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    log.LOGGER.setLevel(own)


def test_a_server_of_the_configuration_brings_its_settings() -> None:
    server = {
        "command": "srv",
        "args": ["-x"],
        "concurrency": 3,
        "capabilities": ["a", "b"],
        "mode": "legacy",
    }
    found = plan({"servers": {"mine": server}}, server="mine")
    assert (found.capabilities, found.concurrency) == (("a", "b"), 3)
    assert (found.spec.command, found.spec.mode, found.spec.kind) == (("srv", "-x"), "legacy", "stdio")
    assert (found.exclusive, found.shares) == (False, False)


def test_options_stand_over_the_configuration() -> None:
    servers = {"servers": {"mine": {"command": "srv"}}, "worker": {"port": 1}}
    found = plan(servers, server="mine", capabilities=("x",), concurrency=2, worker_id="w.1", port=0)
    assert (found.capabilities, found.concurrency, found.port) == (("x",), 2, 0)
    assert (found.identity.worker, found.identity.instance) == ("w.1", "w.1")


@pytest.mark.parametrize(
    ("options", "name", "kind"),
    [
        ({"command": ("/opt/bin/srv", "a b")}, "srv", "stdio"),
        ({"command": ("uvx 'my srv' -x",)}, "uvx", "stdio"),
        ({"url": "https://mcp.example.com:8443/mcp"}, "mcp-example-com-8443", "http"),
        ({"url": "http://localhost/sse"}, "localhost", "sse"),
        ({"app": "shop.tools:server"}, "tools", "app"),
        ({"app": "shop.tools:server", "name": "My Shop"}, "my-shop", "app"),
    ],
)
def test_a_server_that_is_not_configured_gets_a_name_and_a_pool(
    options: dict[str, Any], name: str, kind: str
) -> None:
    found = plan(**options)
    assert (found.identity.server, found.capabilities, found.spec.kind) == (name, (name,), kind)
    assert found.shares is (kind in {"http", "sse"})


def test_a_command_in_one_piece_is_split_as_a_shell_would() -> None:
    assert plan(command=("uvx 'my srv' -x",)).spec.command == ("uvx", "my srv", "-x")
    assert plan(command=("srv", "a b")).spec.command == ("srv", "a b")


def test_a_worker_that_shares_its_server_counts_as_that_server() -> None:
    found = plan(url="http://localhost/mcp")
    assert found.identity.instance == found.identity.server
    assert unpack(found.identity.info)["kind"] == "http"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "none was given"),
        ({"command": ("a",), "url": "http://b"}, "command and url was given"),
        ({"server": "mone"}, "mine"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_starts(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfigError, match=said):
        plan({"servers": {"mine": {"command": "srv"}}}, **options)


def test_a_worker_id_is_fit_for_a_key() -> None:
    servers = {"servers": {"Größte Ümläut-Maschine / v2" * 5: {"command": "srv"}}}
    found = plan(servers, server="Größte Ümläut-Maschine / v2" * 5)
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,96}", found.identity.worker)
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", found.identity.server)


def test_a_tool_is_safe_where_the_operator_or_a_trusted_server_says_so() -> None:
    reads = Tool("read", "", {}, read_only=True)
    writes = Tool("write", "", {}, read_only=False)
    twice = Tool("get_x", "", {})
    local = plan({"servers": {"s": {"command": "c", "idempotent": ["get_*"]}}}, server="s")
    assert [local.is_safe(tool) for tool in (reads, writes, twice)] == [True, False, True]
    remote = plan({"servers": {"s": {"url": "http://x", "idempotent": ["get_*"]}}}, server="s")
    assert [remote.is_safe(tool) for tool in (reads, writes, twice)] == [False, False, True]


def test_the_queues_settings_are_told_only_where_they_are_said() -> None:
    assert plan(command=("srv",)).pool_settings == {}
    said = {"queue": {"bound": 5, "dead_ttl": "1h"}}
    assert plan(said, command=("srv",)).pool_settings == {"bound": 5, "dead_keep": 3_600_000}


def test_a_store_that_refuses_the_worker_ends_it(
    private_redis: realredis.RedisServer, quiet_log: None, capsys: pytest.CaptureFixture[str]
) -> None:
    url = private_redis.url.replace("redis://", "redis://nobody:wrong@")
    options = WorkerOptions(config=Config(), store_url=url, command=(sys.executable, "-c", "pass"), name="x")
    assert run_worker(options) == FAILED
    assert '"event": "refused"' in capsys.readouterr().err
