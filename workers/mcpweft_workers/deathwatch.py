"""The process between a worker and its stdio server: starts it, and ends it when the worker is gone.

    python -I -S deathwatch.py LEASH STATUS COMMAND [ARGUMENT ...]

The worker starts this file in a session and process group of its own. LEASH is the read end of a pipe that
only the worker holds open; its end means that the worker is dead, however it died, and then the whole group
is ended: the server and every descendant that stayed in the group. STATUS is the write end of a pipe on
which lines are told: `pid N`, then `exit N` (negative: the signal) or `error TEXT`. The server has stdin,
stdout and stderr to itself and hears its parent's death in no other way, so it may close or ignore whatever
it likes.

Above stands process.py. This file imports the standard library only, starts in about 15 ms, and must never
know MCP.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

GRACE = 0.25
"""Seconds between SIGTERM and SIGKILL for the group of a dead worker: time to end a browser, no more."""
CANNOT_RUN = 127


def _deaf(_signum: int, _frame: FrameType | None) -> None:
    """Outlive the group's SIGTERM. A handler, not SIG_IGN: exec gives the server the default back."""


def _tell(status: int, line: str) -> None:
    try:
        os.write(status, line.encode(errors="replace") + b"\n")
    except OSError:
        return  # the worker is dead: the leash says so


def _run(command: list[str], status: int) -> None:
    """Become the server. Never returns."""
    try:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, servers rely on it
        os.execvp(command[0], command)  # noqa: S606  # the operator's own command, no shell on purpose
    except OSError as exc:
        _tell(status, f"error cannot run {command[0]!r}: {exc.strerror}")
    finally:
        os._exit(CANNOT_RUN)


def _let_go_of_stdio() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _end_group(*, gently: bool) -> None:
    if gently:
        os.killpg(0, signal.SIGTERM)
        time.sleep(GRACE)
    os.killpg(0, signal.SIGKILL)  # and with the group, this process


def main(leash: int, status: int, command: list[str]) -> None:
    """Run the server until it ends or the worker does."""
    for fd in (leash, status):
        os.set_inheritable(fd, False)  # noqa: FBT003  # its only signature
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(signum, _deaf)
    pid = os.fork()
    if pid == 0:
        _run(command, status)
    _let_go_of_stdio()
    _tell(status, f"pid {pid}")
    while True:
        ready, _, _ = select.select([leash, woken], [], [])
        if leash in ready:
            _end_group(gently=True)
        os.read(woken, 64)
        ended, code = os.waitpid(pid, os.WNOHANG)
        if ended:
            _tell(status, f"exit {os.waitstatus_to_exitcode(code)}")
            _end_group(gently=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
