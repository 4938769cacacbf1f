"""A process that has loaded a worker's libraries, and waits to be told which worker it is.

    none → loading → waiting → a worker

Most of what a worker takes to start is the loading of its libraries, a second or two. One that has done so
beforehand serves that much sooner where another has died, or where a sleeping server gets its first request.
It hears its command line on its standard input (`mcpweft_workers.spare`), and ends when that closes: with its
launcher, therefore, however that dies.

Above stands `launcher`. Below is `child`. It must never be more than a quicker way to start: whatever is
wrong with it, a process is started as ever.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING

from mcpweft_coordinator.child import spawn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcpweft_coordinator.child import Leash

LOG = logging.getLogger("mcpweft.launcher")
_WORKER = [sys.executable, "-m", "mcpweft_workers"]
_MOST = 32_768
"""Bytes that a pipe takes at once even where its reader still loads."""


class Spare:
    """One such process, or none."""

    def __init__(self, environ: Mapping[str, str], leash: Leash) -> None:
        self._environ = dict(environ)
        self._leash = leash
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Start one where there is none."""
        if self._process is not None and self._process.poll() is None:
            return
        self.dismiss()
        try:
            self._process = spawn([*_WORKER, "--spare"], self._environ, self._leash, subprocess.PIPE)
        except OSError as error:
            LOG.debug("no spare process", extra={"fields": {"error": str(error)}})

    def become(self, argv: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
        """Have it become the worker of a command line and an environment; None where it cannot."""
        process, count = self._process, len(_WORKER)
        if process is None or process.poll() is not None or list(argv[:count]) != _WORKER:
            return None
        changed = {name: value for name, value in environ.items() if self._environ.get(name) != value}
        order = json.dumps({"argv": list(argv[count:]), "environ": changed}).encode()
        if self._environ.keys() - environ.keys() or len(order) > _MOST:
            return None
        assert process.stdin is not None  # noqa: S101  # it was asked for
        try:
            process.stdin.write(order)
            process.stdin.close()
        except OSError:  # it has ended meanwhile
            self.dismiss()
            return None
        self._process = None
        return process

    def dismiss(self) -> None:
        """End it, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
