"""One child process: started on a leash, its exit told at once, its last words kept.

    running → exited

Above stand `crew`, which decides when one is started and stopped, and `spare`. Below is the operating system.
This module must never know what the process does, nor restart it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from typing import TYPE_CHECKING

from mcpweft_schemas import parent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LINES = 20
_LINE = 2000  # characters of one line
_CHUNK = 65536
_REAP_S = 2.0  # for the kernel to carry out a SIGKILL


class Leash:
    """A pipe whose write end only this process holds: its children notice when it closes."""

    def __init__(self) -> None:
        self.end, self._hold = os.pipe()

    def environment(self, grace_s: float) -> dict[str, str]:
        """Return what tells a child where the leash is."""
        return {parent.FD: str(self.end), parent.GRACE: f"{grace_s:g}"}

    def close(self) -> None:
        """Let go: children that are left end themselves."""
        os.close(self.end)
        os.close(self._hold)


def spawn(
    argv: Sequence[str], environ: Mapping[str, str], leash: Leash, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a process on a leash; both its outputs go into one pipe.

    Raises:
        OSError: it could not be started.

    """
    return subprocess.Popen(  # noqa: S603  # our own worker, or what a test says
        list(argv),
        env=dict(environ),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(leash.end,),
        start_new_session=True,  # Ctrl-C in the terminal reaches the launcher, which ends them in order
    )


class Child:
    """A running process. Make it inside a running event loop."""

    def __init__(
        self, process: subprocess.Popen[bytes], on_line: Callable[[str], None] | None = None
    ) -> None:
        """Watch over a process that has just been spawned; `on_line` hears each line that it writes."""
        self.exited = asyncio.Event()
        self.lines: deque[str] = deque(maxlen=_LINES)
        """The last lines that it wrote to stdout or stderr."""
        self._loop = asyncio.get_running_loop()
        self._on_line = on_line
        self._rest = b""
        self._popen = process
        out = self._popen.stdout
        assert out is not None  # noqa: S101  # it was asked for
        self._out: int | None = out.fileno()
        os.set_blocking(self._out, False)
        self._loop.add_reader(self._out, self._on_output)
        # A thread that waits tells an exit at once, on every platform, and never misses one.
        threading.Thread(target=self._await_exit, name=f"wait for {self.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._popen.pid

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.returncode

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        if not self.exited.is_set():
            with contextlib.suppress(ProcessLookupError):
                self._popen.send_signal(signal.SIGTERM)

    def drain(self) -> None:
        """Ask it to take nothing more and to end when it has nothing left (SIGUSR1)."""
        if not self.exited.is_set():
            with contextlib.suppress(ProcessLookupError):
                self._popen.send_signal(signal.SIGUSR1)

    def kill(self) -> None:
        """End it, and what is left of its group (SIGKILL)."""
        if not self.exited.is_set():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def stop(self, grace_s: float) -> None:
        """End it: SIGTERM, and after the grace SIGKILL; return when it is gone."""
        try:
            self.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self.exited.wait()
        finally:
            self.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REAP_S):
                    await self.exited.wait()
            self.close()

    def close(self) -> None:
        """Stop listening to it; a second time is harmless."""
        while self._out is not None and self._on_output():
            pass
        self._take(b"\n")
        self._let_go()

    def _await_exit(self) -> None:
        self._popen.wait()
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to be told
            self._loop.call_soon_threadsafe(self.exited.set)

    def _on_output(self) -> bool:
        """Read what is there; return whether there may be more."""
        if self._out is None:
            return False
        try:
            data = os.read(self._out, _CHUNK)
        except BlockingIOError:
            return False
        self._take(data)
        if not data:
            self._let_go()
        return bool(data)

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _CHUNK:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            if text := line[:_LINE].decode(errors="replace").strip():
                self.lines.append(text)
                if self._on_line is not None:
                    self._on_line(text)

    def _let_go(self) -> None:
        if self._out is not None and self._popen.stdout is not None:
            self._loop.remove_reader(self._out)
            self._out = None
            self._popen.stdout.close()
