"""A coordinator that is killed while it adds a server: the command ends in time, another one clears up."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING

import pytest
import redis

from waiting import until_sync

if TYPE_CHECKING:
    from cli.shell import Shell
    from realredis import RedisServer

CONFIG = "mcpweft:default:{_}:config"
NEVER_READY = f"{sys.executable} -c 'import time; time.sleep(600)'"


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_server_that_was_being_added_when_its_coordinator_was_killed_is_taken_out_by_another(
    shell: Shell, private_redis: RedisServer
) -> None:
    shell.env["MCPWEFT_URL"] = private_redis.url
    with (
        contextlib.closing(redis.Redis.from_url(private_redis.url, decode_responses=True)) as store,
        contextlib.ExitStack() as stack,
    ):
        first = shell.start("coordinator", "--launch")
        stack.callback(first.kill)
        adding = shell.start("servers", "add", "late", "--command", NEVER_READY, "--ready-within", "4")
        stack.callback(adding.kill)
        until_sync(lambda: store.hget(CONFIG, "trials"), 30)
        first.kill()
        first.communicate()
        assert "late" in str(store.hget(CONFIG, "document"))
        second = shell.start("coordinator", "--launch")
        stack.callback(second.kill)
        until_sync(lambda: store.hget(CONFIG, "document") == "{}", 60)  # its time, and 10 s
        assert store.hget(CONFIG, "trials") == ""
        # Its worker leaves a moment after it.
        until_sync(lambda: "late" not in shell.run("servers", "list", "--json").out, 30)
        assert shell.run("events", "--kind", "server_added", "--json").out == ""
        _, said = adding.communicate(timeout=60)
        assert adding.returncode == 4
        assert "It may have been carried out" in said
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=30)
        assert second.returncode == 0
