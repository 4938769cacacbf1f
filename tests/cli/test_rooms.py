"""`mcpweft worker` and `mcpweft coordinator`, each a process of its own, as on several machines."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from cli.shell import ECHO, write_mcp_json
from waiting import until_sync

if TYPE_CHECKING:
    from pathlib import Path

    from cli.shell import Shell
    from realredis import RedisServer


def test_a_worker_and_a_coordinator_serve_a_call_and_end_with_0(
    shell: Shell, private_redis: RedisServer, tmp_path: Path
) -> None:
    shell.env["MCPWEFT_URL"] = private_redis.url
    coordinator = shell.start("coordinator", "--namespace", "apart")
    command = f"{sys.executable} {ECHO}"
    worker = shell.start("worker", "--command", command, "--capability", "said", "--namespace", "apart")
    try:
        call = ("call", "said.echo", "text=hi", "--namespace", "apart")
        until_sync(lambda: shell.run(*call, cwd=tmp_path).out == "hi\n", 30)
    finally:
        for process in (worker, coordinator):
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
    assert (worker.returncode, coordinator.returncode) == (0, 0)


def test_a_worker_that_cannot_run_says_why_before_anything_is_started(shell: Shell) -> None:
    write_mcp_json(shell.home, {"echo": (str(ECHO),), "other": (str(ECHO),)})
    misspelt = shell.run("worker", "--server", "ecko")
    several = shell.run("worker")
    both = shell.run("worker", "--command", "true", "--url", "http://x", "--store", "redis://127.0.0.1:1")
    nowhere = shell.run("worker", "--server", "echo")
    assert [done.code for done in (misspelt, several, both, nowhere)] == [2, 2, 2, 3]
    assert "Did you mean 'echo'?" in misspelt.err
    assert "2 are configured (echo, other)" in several.err
    assert "command and url" in both.err
