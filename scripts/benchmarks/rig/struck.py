"""A fabric to be struck: two servers of one pool, their workers, three coordinators, and steady calls.

    async with Struck(folder, store_url, settings, http=False) as fabric:
        nonce, pid = await fabric.in_flight_on("a")     a call whose server has just written that it began it
        fabric.signal(pid, SIGKILL)

The servers write each call into a log of their own before they act: that is the ground truth. Above stands
failover.py. It must never judge.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from benchmarks.rig.hole import Hole
from mcpweft import Client, McpweftError
from mcpweft_schemas.connect import Link
from mcpweft_schemas.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcpweft_schemas.outcome import Attempt

SERVICE_MS, EVERY_S, CONCURRENCY = 50, 0.05, 4
_SERVERS = Path(__file__).resolve().parents[3] / "tests" / "servers"
_PROGRAM = str(Path(sys.executable).parent / "mcpweft")
_START_S = 30.0


@dataclass(slots=True)
class Call:
    """One call of the steady load; times in seconds since 1970."""

    sent: float
    answered: float | None = None
    attempts: Sequence[Attempt] = ()
    error: str = ""


@dataclass(slots=True)
class Ledger:
    """What one server wrote down."""

    path: Path
    lines: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _offset: int = 0

    def read(self) -> list[dict[str, Any]]:
        """Return all whole lines, those that have come meanwhile too."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
            self._offset += len(whole + newline)
            self.lines += [json.loads(line) for line in whole.splitlines()]
        return self.lines


class Struck:
    """The fabric."""

    def __init__(self, folder: Path, url: str, settings: str, *, http: bool) -> None:
        self.calls: dict[str, Call] = {}
        self.storm = folder / "storm"
        self.hole = Hole()
        self._folder = folder
        self._url = url
        self._settings = settings
        self.http = http
        self.ledgers = {name: Ledger(folder / f"ledger-{name}") for name in ("a", "b")}
        self._stack = contextlib.AsyncExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._config = folder / "mcpweft.toml"
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._write()
        for name in ("c1", "c2"):
            self.start_coordinator(name)
        self._client = await self._stack.enter_async_context(Client(self._url))
        link = await self._stack.enter_async_context(Link.to(self._url))
        self._store = Store(link, "default")
        self._run("launcher", "coordinator", "--launch", "--id", "coordinator.launcher")
        await self._until_served({"a", "b"}, _START_S)
        self._load = asyncio.create_task(self._call_on())
        await self.both_serve(time.time(), _START_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._load.cancel()
        await asyncio.wait({self._load, *self._open}, timeout=25)
        await self._stack.aclose()
        for process in reversed(self._processes.values()):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        self.hole.close()

    # --- its parts

    async def _write(self) -> None:
        parts = [self._settings, f'[redis]\nurl = "{self._url}"\n']
        for name, ledger in self.ledgers.items():
            common = f'capabilities = ["bench"]\nconcurrency = {CONCURRENCY}\nidempotent = ["*"]\n'
            if self.http:
                port = await self._web(name, ledger.path)
                if name == "a":
                    port = await self.hole.before(port)
                parts.append(f'[servers.{name}]\nurl = "http://127.0.0.1:{port}/mcp"\n{common}')
            else:
                args = ["-P", str(_SERVERS / "echo.py"), "--ledger", str(ledger.path)]
                if name == "a":
                    args += ["--storm", str(self.storm)]
                command = f"command = {json.dumps(sys.executable)}\nargs = {json.dumps(args)}\n"
                parts.append(f'[servers.{name}]\n{command}mode = "legacy"\n{common}')
        self._config.write_text("\n".join(parts))

    async def _web(self, name: str, ledger: Path) -> int:
        words = [sys.executable, "-P", str(_SERVERS / "web.py"), "--ledger", str(ledger)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE)  # noqa: ASYNC220  # once, at the start
        self._processes[f"web {name}"] = process
        assert process.stdout is not None, "a pipe"  # noqa: S101  # Popen was told so
        return int((await asyncio.to_thread(process.stdout.readline)).split()[1])

    def _run(self, name: str, *words: str) -> None:
        log = (self._folder / f"{name}.log").open("ab")
        command = [_PROGRAM, *words, "--config", str(self._config)]
        self._processes[name] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
        )

    def start_coordinator(self, name: str) -> None:
        """Start a coordinator that launches nothing, anew where it ran before."""
        self._run(name, "coordinator", "--id", f"coordinator.{name}")

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """Return a process that was started here."""
        return self._processes[name]

    # --- the load

    async def _call_on(self) -> None:
        number = 0
        while True:
            nonce = f"{time.time():.3f}.{number}"
            number += 1
            self.calls[nonce] = Call(time.time())
            task = asyncio.create_task(self._call(nonce))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            await asyncio.sleep(EVERY_S)

    async def _call(self, nonce: str) -> None:
        call = self.calls[nonce]
        arguments = {"ms": SERVICE_MS, "_nonce": nonce}
        try:
            result = await self._client.call("bench.sleep", arguments, timeout=20, idempotent=True)
        except McpweftError as error:
            call.error = f"{error.code}: {error}"
            call.attempts = error.attempts
        else:
            call.attempts = result.attempts
        call.answered = time.time()

    async def _until_served(self, names: set[str], within: float) -> None:
        end = time.monotonic() + within
        while time.monotonic() < end:
            status = await self._client.status()
            usable = {w.server for pool in status.pools for w in pool.workers if w.usable}
            if names <= usable:
                return
            await asyncio.sleep(0.1)
        raise RuntimeError(f"{sorted(names)} did not come up: see {self._folder}")

    # --- what is seen

    async def in_flight_on(self, name: str) -> tuple[str, int]:
        """Return the nonce of a call that a server has just begun, and the server's process id."""
        ledger = self.ledgers[name]
        seen = len(ledger.read())
        while True:
            if fresh := ledger.read()[seen:]:
                return str(fresh[-1]["nonce"]), int(fresh[-1]["pid"])
            await asyncio.sleep(0.001)

    async def answered(self, nonce: str, within: float = 25.0) -> Call:
        """Wait for a call's end."""
        end = time.monotonic() + within
        while self.calls[nonce].answered is None and time.monotonic() < end:  # noqa: ASYNC110  # a mark in time
            await asyncio.sleep(0.002)
        return self.calls[nonce]

    async def served_again(self, name: str, since: float, within: float) -> float | None:
        """Return when a server first took a call after a moment and answered it; None where not in time."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            starts = [
                each.started_ms / 1000
                for call in reversed(self.calls.values())
                if call.sent > since - 25
                for each in call.attempts
                if each.server == name and each.cause == "OK" and each.started_ms > since * 1000
            ]
            if starts:
                return min(starts)
            await asyncio.sleep(0.01)
        return None

    async def both_serve(self, since: float, within: float) -> None:
        """Wait until both servers have begun calls."""
        for name in self.ledgers:
            if await self.served_again(name, since, within) is None:
                raise RuntimeError(f"{name} does not serve: see {self._folder}")

    async def leader(self) -> str:
        """Return the id of the coordinator that leads; empty where none does."""
        raw = await self._store.link.run("HGET", self._store.fleet.lease("lead"), "holder")
        return "" if raw is None else str(raw.decode())

    def worker_of(self, server_pid: int) -> int:
        """Return the process of the worker that a stdio server belongs to."""
        for parent in psutil.Process(server_pid).parents():
            with contextlib.suppress(psutil.Error):
                if "mcpweft_workers" in parent.cmdline():
                    return parent.pid
        raise RuntimeError(f"process {server_pid} has no worker")

    @staticmethod
    def signal(pid: int, what: signal.Signals) -> None:
        """Send a signal to a process that may be gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)
