"""Simulated servers that nobody but the benchmark owns: processes that serve HTTP, and what they wrote down.

    async with Host(folder, {"s0": 50, "s1": 50}, holed="s0") as host:
        host.url("s0"); host.hole.passes.clear(); host.kill("s1"); await host.revive("s1"); host.ledgers

Above stand the experiments; below is sleeper.py. It must never know who calls them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self

from benchmarks.rig.hole import Hole

if TYPE_CHECKING:
    from collections.abc import Mapping

_SLEEPER = Path(__file__).parent / "sleeper.py"


def sleeper(ms: float, ledger: Path, *words: object) -> list[str]:
    """Return the command of a simulated server."""
    told = ["--ms", f"{ms:g}", "--ledger", str(ledger), *map(str, words)]
    return [sys.executable, "-P", str(_SLEEPER), *told]


def read(ledger: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a server's ledger."""
    if not ledger.exists():
        return []
    whole, _, _ = ledger.read_bytes().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]


def begun(ledgers: Mapping[str, Path]) -> dict[str, list[str]]:
    """Return nonce → the servers that began it, one for each time."""
    found: dict[str, list[str]] = {}
    for name, ledger in ledgers.items():
        for line in read(ledger):
            if "began" in line:
                found.setdefault(line["nonce"], []).append(name)
    return found


def service_s(ledger: Path) -> float:
    """Return the median of what calls took, by the server's own account; 0 where it ended none."""
    took = [line["took"] for line in read(ledger) if "took" in line]
    return median(took) if took else 0.0


class Host:
    """The servers."""

    def __init__(self, folder: Path, ms: Mapping[str, float], *, holed: str = "") -> None:
        """Describe them, by name with their service times; the way to `holed` leads through `hole`."""
        self.hole = Hole()
        self.ledgers = {name: folder / f"ledger-{name}" for name in ms}
        self.hangs = {name: folder / f"hang-{name}" for name in ms}
        """A server swallows calls while its file exists."""
        self._folder = folder
        self._ms = ms
        self._holed = holed
        self._ports: dict[str, int] = {}
        self._ways: dict[str, int] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            for name in self._ms:
                await self.revive(name)
                self._ways[name] = self._ports[name]
                if name == self._holed:
                    self._ways[name] = await self.hole.before(self._ports[name])
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hole.passes.set()
        self.hole.close()
        for name, process in self._processes.items():
            self.kill(name)
            await process.wait()

    def url(self, name: str) -> str:
        """Return where a server is."""
        return f"http://127.0.0.1:{self._ways[name]}/mcp"

    def kill(self, name: str) -> None:
        """End a server as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            self._processes[name].kill()

    async def revive(self, name: str) -> None:
        """Start a server, at its address of before where it had one."""
        words = ("--port", self._ports.get(name, 0), "--hang", self.hangs[name])
        process = await asyncio.create_subprocess_exec(
            *sleeper(self._ms[name], self.ledgers[name], *words), stdout=subprocess.PIPE
        )
        self._processes[name] = process
        assert process.stdout is not None, "a pipe"  # noqa: S101  # it was told so
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"{name} did not start")
        self._ports[name] = int(line.split()[1])
