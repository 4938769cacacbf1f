"""The processes of a benchmark: those that obey orders, and those that merely run.

Above stand the benchmarks, which decide what is run when; below is load.py, at the other end of the pipe.
Nothing started here outlives its `with`, and no answer is waited for without a bound.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

START_WITHIN = 60.0
"""Seconds that a process has to start."""
STOP_WITHIN = 15.0
"""Seconds that it has to stop by itself."""


def module(name: str, *arguments: object, python: str = sys.executable) -> list[str]:
    """Return the command that runs a module of this package."""
    return [python, "-P", "-m", f"benchmarks.{name}", *map(str, arguments)]


def server(kind: str, *arguments: object) -> list[str]:
    """Return the command of an MCP server, see server.py: by its path, for servers get a bare environment."""
    return [sys.executable, "-P", str(Path(__file__).parent / "server.py"), kind, *map(str, arguments)]


def worker(store: str, command: Sequence[str], concurrency: int) -> list[str]:
    """Return the command of a real worker of `bench`, bound to the stdio server of that command."""
    program = str(Path(sys.executable).parent / "mcpweft")
    where = ["--store", store, "--capability", "bench", "--log-level", "warning"]
    return [program, "worker", "--command", shlex.join(command), "--concurrency", str(concurrency), *where]


@contextlib.contextmanager
def pair(store: str) -> Generator[tuple[Background, Party]]:
    """Have a worker whose handler does nothing, and a producer under orders that calls it, on a store."""
    with (
        Background(module("rig.noop_worker", store)) as worker,
        Party(module("rig.producer", store, "noop.noop")) as producer,
    ):
        yield worker, producer


class Background:
    """A process that runs until the benchmark is done with it: a worker, a coordinator."""

    def __init__(self, command: Sequence[str], *, log: IO[bytes] | None = None) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
        )

    def kill(self) -> None:
        """End it at once, by SIGKILL."""
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Party:
    """A process that obeys orders; see load.py."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self._answer(START_WITHIN)
        except BaseException:
            self._end()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, do: str, *, within: float = 120.0, **order: Any) -> dict[str, Any]:
        """Give one order and return its answer; a process that is silent for `within` seconds is killed.

        Raises RuntimeError where it ended without an answer.
        """
        assert self._process.stdin is not None, "a pipe"  # noqa: S101  # Popen was told so
        self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self._process.stdin.flush()
        return self._answer(within)

    def _answer(self, within: float) -> dict[str, Any]:
        assert self._process.stdout is not None, "a pipe"  # noqa: S101  # Popen was told so
        patience = threading.Timer(within, self._process.kill)
        patience.start()
        try:
            line = self._process.stdout.readline()
        finally:
            patience.cancel()
        if not line:
            raise RuntimeError(f"no answer from {' '.join(self._command)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        assert self._process.stdin is not None, "a pipe"  # noqa: S101  # Popen was told so
        try:
            self._process.stdin.close()
            self._process.wait(STOP_WITHIN)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
