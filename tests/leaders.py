"""Coordinators as processes of their own, and what they log.

Above stand the coordinator's tests; below are the command line, and `coordinator/halting_coordinator.py`,
which runs the same command.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcpweft_schemas.store import Store

_HALTING = str(Path(__file__).parent / "coordinator" / "halting_coordinator.py")


class Process:
    """`mcpweft coordinator` as a process, and the events that it logged."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(json.loads(line))

    def told(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    def halted(self) -> bool:
        """Return whether it stands still, stopped by a signal."""
        return os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            async with asyncio.timeout(10):
                code = await self.process.wait()
        finally:
            if self.process.returncode is None:
                self.process.kill()
                await self.process.wait()
        await self.reading
        return code


@asynccontextmanager
async def coordinator(
    store: Store, folder: Path, *words: str, url: str = "", halt_at: str = ""
) -> AsyncGenerator[Process]:
    """A coordinator in that folder; with `halt_at`, one that stops itself there (halting_coordinator.py)."""
    command = [_HALTING, "--at", halt_at, "--"] if halt_at else ["-m", "mcpweft.cli.main"]
    process = Process(
        await asyncio.create_subprocess_exec(
            sys.executable, *command, "coordinator",
            "--store", url or store.link.url, "--namespace", store.namespace, *words,
            cwd=folder, stderr=asyncio.subprocess.PIPE,
        )
    )  # fmt: skip
    try:
        yield process
    finally:
        await process.stop()
