"""`mcpweft up`: a whole fabric in one terminal, found from another, and gone without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import leak
from cli.conftest import running_fabric
from cli.shell import ECHO, Shell, Terminal, write_mcp_json
from waiting import until_sync

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from cli.conftest import Fabric
    from realredis import RedisServer


def living(shell: Shell) -> set[int]:
    """The processes that were started from this shell and its fabric."""
    return leak.marked(str(shell.home))


def test_a_call_reaches_a_fabric_in_another_folder_and_terminal(shell: Shell, tmp_path: Path) -> None:
    servers, elsewhere = tmp_path / "servers", tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_mcp_json(servers, {"echo": (str(ECHO),)})
    with Terminal(shell, "up", "mcp.json", cwd=servers) as terminal:
        terminal.until("mcpweft call echo.")
        terminal.until("up ")
        with Terminal(shell, "call", "echo.echo", "text=across", cwd=elsewhere) as other:
            assert other.wait() == 0
            assert other.text.strip() == "across"
        terminal.press(b"\x03")
        assert terminal.wait() == 0
        assert "stopped" in terminal.text
    assert shell.announcements == []
    until_sync(lambda: not living(shell))


def test_a_second_ctrl_c_ends_it_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "home")
    write_mcp_json(tmp_path, {"echo": (str(ECHO),)})
    with Terminal(shell, "up", cwd=tmp_path) as terminal:
        terminal.until("mcpweft call echo.")
        call = shell.start("call", "echo.sleep", "ms=60000")
        until_sync(lambda: shell.run("status", "echo", "--json").json["running"] == 1, 20)
        terminal.press(b"\x03")
        terminal.until("stopping")
        terminal.press(b"\x03")
        assert terminal.wait() == 130
    assert shell.announcements == []
    call.kill()
    call.communicate()
    until_sync(lambda: not living(shell), 20)


def test_the_table_on_a_terminal_names_state_tools_and_reasons(shell: Shell, tmp_path: Path) -> None:
    path = write_mcp_json(
        tmp_path, {"echo": (str(ECHO),), "bad": ("-c", "import sys; sys.exit('out of luck')")}
    )
    table = json.loads(path.read_text(encoding="utf-8"))
    table["mcpServers"]["unset"] = {"command": "${NO_SUCH_VARIABLE}"}
    path.write_text(json.dumps(table), encoding="utf-8")
    with Terminal(shell, "up", "mcp.json", cwd=tmp_path) as terminal:
        terminal.until("exited with code 1")
        terminal.until("mcpweft call echo.")
        for text in ("server", "state", "tools", "reason", "NO_SUCH_VARIABLE", "1/1", " 7 "):
            terminal.until(text)
        terminal.press(b"\x03")
        assert terminal.wait() == 0


def test_a_name_is_announced_once(fabric: Fabric, tmp_path: Path) -> None:
    write_mcp_json(tmp_path, {"echo": (str(ECHO),)})
    done = fabric.shell.run("up", cwd=tmp_path)
    assert done.code == 2
    assert "A fabric named 'default' already runs (process" in done.err
    assert "--name" in done.err
    assert done.out == ""


def test_sigterm_stops_everything_and_lets_a_running_call_finish(tmp_path: Path) -> None:
    with running_fabric(tmp_path) as fabric:
        call = fabric.shell.start("call", "echo.sleep", "ms=1500")
        until_sync(lambda: len(fabric.calls()) == 1, 20)
        fabric.process.terminate()
        assert call.communicate(timeout=20) == ("done\n", "")
        until_sync(lambda: not living(fabric.shell), 20)
        assert fabric.shell.announcements == []


def test_a_fabric_that_is_killed_leaves_no_process_and_is_not_found(tmp_path: Path) -> None:
    with running_fabric(tmp_path) as fabric:
        fabric.process.kill()
        fabric.process.wait()
        until_sync(lambda: not living(fabric.shell), 20)
        assert fabric.shell.run("tools").code == 3
        for stale in fabric.shell.announcements:
            stale.unlink()


def test_a_given_store_and_a_toml_are_used(shell: Shell, tmp_path: Path, private_redis: RedisServer) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "mcpweft.toml").write_text(
        f'namespace = "shop"\n[redis]\nurl = "{private_redis.url}"\n'
        f'[servers.echo]\ncommand = "{sys.executable}"\nargs = ["{ECHO}"]\n'
        'capabilities = ["said"]\nworkers = 2\n',
        encoding="utf-8",
    )
    process = shell.start("up", "--name", "other", cwd=folder)
    assert process.stdout is not None
    try:
        heard = ""
        while "2 of 2 workers" not in heard:
            line = process.stdout.readline()
            assert line, heard
            heard += line
        assert f"store: {private_redis.url}" in heard
        assert "fabric 'other' is open, namespace 'shop'" in heard
        assert shell.run("call", "said.echo", "text=hi", "--name", "other").out == "hi\n"
        assert shell.run("call", "said.echo", "text=hi").code == 3
        assert shell.run("call", "said.echo", "text=hi", cwd=folder).out == "hi\n"
    finally:
        process.terminate()
        process.communicate(timeout=20)
    with private_redis.client() as client:
        keys = [key.decode() for key in client.scan_iter(match="mcpweft:*")]
    assert {key.split(":")[1] for key in keys} == {"shop"}


def test_data_that_is_kept_is_there_the_next_time(shell: Shell, tmp_path: Path) -> None:
    write_mcp_json(tmp_path, {"echo": (str(ECHO),)})
    with _kept(shell, tmp_path):
        request = shell.run("submit", "echo.echo", "text=kept").out.strip()
        assert shell.run("result", request).out == "kept\n"
    with _kept(shell, tmp_path):
        assert shell.run("result", request, "--timeout", "5s").out == "kept\n"


@contextlib.contextmanager
def _kept(shell: Shell, folder: Path) -> Generator[None]:
    """Run a fabric that keeps its data."""
    process = shell.start("up", "--data", folder / "data", cwd=folder)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("echo: up"):
                break
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_nothing_to_run_is_said_and_nothing_is_started(shell: Shell, tmp_path: Path) -> None:
    nothing = shell.run("up", cwd=tmp_path)
    assert nothing.code == 2
    assert "There is no server that can be run" in nothing.err
    missing = shell.run("up", "nope.json", cwd=tmp_path)
    assert missing.code == 2
    assert "nope.json" in missing.err
    assert not living(shell)


def test_a_store_that_may_evict_is_refused(shell: Shell, tmp_path: Path, private_redis: RedisServer) -> None:
    with private_redis.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    write_mcp_json(tmp_path, {"echo": (str(ECHO),)})
    done = shell.run("up", "--store", private_redis.url, cwd=tmp_path)
    assert done.code == 2
    assert "maxmemory-policy is allkeys-lru" in done.err
    assert shell.announcements == []


def test_the_own_store_ending_ends_the_fabric_and_says_so(shell: Shell, tmp_path: Path) -> None:
    write_mcp_json(tmp_path, {"echo": (str(ECHO),)})
    process = shell.start("up", cwd=tmp_path)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("echo: up"):
                break
        stores = subprocess.run(
            ["pgrep", "-P", str(process.pid), "-f", "(valkey|redis)-server"],
            capture_output=True,
            text=True,
            check=True,
        )
        os.kill(int(stores.stdout.split()[0]), signal.SIGKILL)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 5
    assert "The fabric's own store ended by itself" in said
    assert "Traceback" not in said
    until_sync(lambda: not living(shell), 20)
    assert shell.announcements == []


def test_a_pool_without_workers_ends_a_call_with_5_where_asked_not_to_wait(
    shell: Shell, tmp_path: Path
) -> None:
    write_mcp_json(tmp_path, {"bad": ("-c", "import sys; sys.exit('out of luck')")})
    process = shell.start("up", cwd=tmp_path)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("bad: not ready"):
                break
        done = shell.run("call", "bad.tool", "--when-unavailable", "raise")
        assert done.code == 5
        assert "no worker serves 'bad' at the moment" in done.err
        reasons = [worker["reason"] for worker in shell.run("status", "bad", "--json").json["workers"]]
        assert any("exited with code 1" in reason for reason in reasons)
    finally:
        process.terminate()
        process.communicate(timeout=20)
