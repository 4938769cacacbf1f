"""One stdio server as a process: started through the deathwatch, watched, and ended with all of its group.

Above stands the stdio transport. Below: deathwatch.py, which runs as a process of its own. This module must
never know MCP: it moves no message, it only hands out the pipes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from mcpweft_workers import deathwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TAIL = 8192
"""Bytes of stderr that are kept for the error."""
HASTE = 0.25
"""Seconds between SIGTERM and SIGKILL for a server that is to go at once."""
REAP = 1.0
"""Seconds for the kernel to carry out a SIGKILL; only an unkillable process needs longer."""
_CHUNK = 65536
# What a server may need to start at all; everything else is the operator's to give, secrets above all.
_INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")


class Process:
    """A running server. `pid` and `returncode` are told by the deathwatch, so both come a moment later."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], cwd: str | None) -> None:
        """Start the server.

        Raises:
            OSError: no process could be started, or `cwd` does not exist.

        """
        self.pid: int | None = None
        self.returncode: int | None = None
        """The exit code, negative for a signal; None while the server runs, or when nobody saw it end."""
        self.error = ""
        """Why the command could not be run."""
        self.stderr_tail = ""
        self.gone = asyncio.Event()
        """Set once the server has ended and its group was swept."""
        self.on_exit: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._stderr = bytearray()
        self._told = b""
        self._exited = asyncio.Event()
        leash_end, self._leash = os.pipe()
        self._status, status_end = os.pipe()
        try:
            self._popen = self._start(command, env, cwd, leash_end, status_end)
        except BaseException:
            os.close(self._leash)
            os.close(self._status)
            raise
        finally:
            os.close(leash_end)
            os.close(status_end)
        self.stdin = _unblocked(self._popen.stdin)
        self.stdout = _unblocked(self._popen.stdout)
        self._errors = _unblocked(self._popen.stderr)
        os.set_blocking(self._status, False)
        self._loop.add_reader(self._status, self._on_status)
        self._loop.add_reader(self._errors, self._on_stderr)

    @staticmethod
    def _start(
        command: Sequence[str], env: Mapping[str, str], cwd: str | None, leash: int, status: int
    ) -> subprocess.Popen[bytes]:
        watched = [sys.executable, "-I", "-S", deathwatch.__file__, str(leash), str(status), *command]
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return subprocess.Popen(  # noqa: S603  # the operator's own command, no shell on purpose
            watched,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=cwd,
            env={**inherited, **env},
            pass_fds=(leash, status),
            start_new_session=True,  # its group is ours to kill, and no terminal can stop it
        )

    @property
    def exited(self) -> bool:
        """Whether the server has ended."""
        return self._exited.is_set()

    def obituary(self) -> str:
        """Say how the server ended, for an error."""
        if self.error:
            return self.error
        if self.returncode is None:
            return "its process is gone"
        if self.returncode < 0:
            with suppress(ValueError):
                return f"it was killed by {signal.Signals(-self.returncode).name}"
        return f"it exited with code {self.returncode}"

    def _on_status(self) -> None:
        try:
            data = os.read(self._status, _CHUNK)
        except BlockingIOError:
            return
        self._told += data
        while b"\n" in self._told:
            line, _, self._told = self._told.partition(b"\n")
            self._learn(line.decode(errors="replace"))
        if not data:
            self._loop.remove_reader(self._status)
            self._has_exited()
            self.gone.set()

    def _learn(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "pid":
            self.pid = int(rest)
        elif word == "error":
            self.error = rest
        elif word == "exit":
            self.returncode = int(rest)
            self._has_exited()

    def _has_exited(self) -> None:
        if self._exited.is_set():
            return
        self._on_stderr()  # what it said last is in the pipe already
        self._exited.set()
        if self.on_exit is not None:
            self.on_exit()

    def _on_stderr(self) -> None:
        try:
            data = os.read(self._errors, _CHUNK)
        except OSError:
            return
        if not data:
            self._loop.remove_reader(self._errors)
            return
        self._stderr += data
        del self._stderr[:-TAIL]
        self.stderr_tail = self._stderr.decode(errors="replace")

    def close_stdin(self) -> None:
        """Close the server's stdin, which asks it to exit."""
        if self._popen.stdin is not None:
            with suppress(OSError):
                self._popen.stdin.close()

    def send_signal(self, signum: signal.Signals) -> None:
        """Signal the server and every process of its group."""
        if self._popen.returncode is None:  # not reaped: the number is still ours
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signum)

    async def stop(self, *, gently: bool, grace: float) -> None:
        """End the server and its group, within 2 `grace` + 2 s; at once when it is cancelled meanwhile."""
        try:
            if gently and not await _within(self._exited, grace):
                self.send_signal(signal.SIGTERM)
                await _within(self._exited, grace)
            elif not self.exited:
                self.send_signal(signal.SIGTERM)
                await _within(self._exited, HASTE)
            if self.pid is not None and not self.exited:
                # The server alone first: its watch sees it end, sweeps the group and says so.
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(self.pid, signal.SIGKILL)
                await _within(self._exited, REAP)
            self.send_signal(signal.SIGKILL)
            await _within(self.gone, REAP)
        finally:
            self.send_signal(signal.SIGKILL)
            self._release()

    def _release(self) -> None:
        for fd in (self._status, self._errors):
            self._loop.remove_reader(fd)
        os.close(self._status)
        os.close(self._leash)
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        if self._popen.poll() is None:  # not carried out yet: whoever waits for it must not be the loop
            threading.Thread(target=self._popen.wait, name="reaper", daemon=True).start()
        self.gone.set()


def _unblocked(pipe: IO[bytes] | None) -> int:
    assert pipe is not None  # noqa: S101  # Popen was given PIPE
    fd = pipe.fileno()
    os.set_blocking(fd, False)
    return fd


async def _within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
