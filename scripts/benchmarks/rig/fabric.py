"""A fabric from a configuration: a launcher with its workers, a client, and an administrator.

    async with Fabric(folder, store_url, "w2", settings, usable=4) as fabric:
        await fabric.client.call(…)

`settings` is TOML without the namespace and the store. It is ready once so many places of workers in pools
take work. Above stand staffed.py and the experiments. It must never judge.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Self

from mcpweft import Client
from mcpweft_coordinator.admin import Admin
from mcpweft_schemas.connect import Link
from mcpweft_schemas.store import Store
from waiting import until

_PROGRAM = str(Path(sys.executable).parent / "mcpweft")
START_S, _STOP_S = 60.0, 15.0


class Fabric:
    """The fabric, in a namespace of its own."""

    client: Client
    admin: Admin

    def __init__(
        self, folder: Path, url: str, namespace: str, settings: str, *, usable: int, first: str = ""
    ) -> None:
        """Describe it; with `first`, a coordinator of that name leads before the launcher comes."""
        self._folder = folder
        self._url = url
        self._namespace = namespace
        self._settings = settings
        self._usable = usable
        self._first = first
        self._stack = contextlib.AsyncExitStack()
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "mcpweft.toml"
        config.write_text(
            f'namespace = "{self._namespace}"\n[redis]\nurl = "{self._url}"\n{self._settings}\n'
        )
        try:
            await self._start(config)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _start(self, config: Path) -> None:
        link = await self._stack.enter_async_context(Link.to(self._url))
        self._store = Store(link, self._namespace)
        if self._first:
            await self._run(self._first, config, "--id", f"coordinator.{self._first}")
            await until(self.leader, START_S)
        await self._run("launcher", config, "--launch")
        self.client = await self._stack.enter_async_context(Client(self._url, namespace=self._namespace))
        self.admin = await self._stack.enter_async_context(Admin(self._url, self._namespace))
        await until(self._all_usable, START_S)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _run(self, name: str, config: Path, *words: str) -> None:
        log = self._stack.enter_context((self._folder / f"{name}.log").open("wb"))
        process = await asyncio.create_subprocess_exec(
            *(_PROGRAM, "coordinator", *words, "--config", str(config)),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
        )  # fmt: skip
        self.processes[name] = process
        self._stack.push_async_callback(_end, process)

    async def _all_usable(self) -> bool:
        status = await self.client.status()
        return sum(worker.usable for pool in status.pools for worker in pool.workers) == self._usable

    async def leader(self) -> str:
        """Return the id of the coordinator that leads; empty where none does."""
        raw = await self._store.link.run("HGET", self._store.fleet.lease("lead"), "holder")
        return "" if raw is None else str(raw.decode())


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()
