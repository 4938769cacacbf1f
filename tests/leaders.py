"""Coordinators as processes of their own, and what they log.

Above stand the coordinator's tests; below is the command line.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from mcpweft_schemas.store import Store


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
async def coordinator(store: Store, folder: Path, *words: str) -> AsyncGenerator[Process]:
    process = Process(
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mcpweft.cli.main", "coordinator",
            "--store", store.link.url, "--namespace", store.namespace, *words,
            cwd=folder, stderr=asyncio.subprocess.PIPE,
        )
    )  # fmt: skip
    try:
        yield process
    finally:
        await process.stop()
