"""Launchers of plain workers, run and ended by a test.

Above stand the coordinator's tests; below is `mcpweft_coordinator.launcher` and `coordinator/plainworker.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcpweft_coordinator.launcher import Launcher, Pace, worker_environment
from mcpweft_schemas.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mcpweft_coordinator.view import ServerView
    from mcpweft_schemas.event import Event
    from mcpweft_schemas.store import Store

PLAIN = str(Path(__file__).parent / "coordinator" / "plainworker.py")
POOL = "echo"


def config_of(server: dict[str, Any] | None = None, **sections: Any) -> Config:
    """A configuration of one server, `echo`, whose workers are plain; no spare process is kept."""
    servers = {"echo": {"command": "never-run", "capabilities": [POOL], **(server or {})}}
    coordinator = {"spare": False, **sections.pop("coordinator", {})}
    return Config.model_validate(
        {"servers": servers, "worker": {"grace": 2.0}, "coordinator": coordinator, **sections}
    )


@dataclass
class Running:
    """A launcher that runs in a task."""

    launcher: Launcher
    task: asyncio.Task[None]

    @property
    def view(self) -> ServerView:
        return self.launcher.views()[0]

    @property
    def pids(self) -> dict[str, int]:
        return self.launcher.pids()

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


class Launchers:
    """Starts launchers of plain workers, and ends them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.all: list[Running] = []

    def start(
        self, config: Config, *, mode: str = "well", holder: str = "coordinator.a", lease: float = 1.5,
        command: Sequence[str] = (sys.executable, PLAIN),
        argv: Callable[[str, str], Sequence[str]] | None = None,
        tell: Callable[[Event], None] = lambda _: None,
    ) -> Running:  # fmt: skip
        launcher = Launcher(
            self.store, config, holder,
            argv=argv or (lambda server, worker: [*command, server, worker, POOL, mode]),
            environ=worker_environment(self.store.link.url, self.store.namespace),
            clock=time.monotonic, rng=random.Random(3),
            pace=Pace(tend=0.02, look=0.1, look_asleep=0.05, lease=lease),
            tell=tell,
        )  # fmt: skip
        self.all.append(Running(launcher, asyncio.create_task(launcher.run())))
        return self.all[-1]
