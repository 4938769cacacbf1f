"""From options to a running coordinator, and its orderly end at SIGTERM or Ctrl-C.

Above stands `command`. Below is `coordinator`. Here the real clock, chance and signals enter.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcpweft_coordinator.coordinator import Coordinator, coordinator_id
from mcpweft_coordinator.fitness import check_fitness
from mcpweft_coordinator.launcher import Launcher, worker_argv, worker_environment
from mcpweft_schemas.connect import Link, StoreUnreachableError
from mcpweft_schemas.herald import Herald
from mcpweft_schemas.logline import to_stream
from mcpweft_schemas.store import Store
from mcpweft_schemas.sweeper import COORDINATOR

if TYPE_CHECKING:
    from mcpweft_schemas.config import Base, Config
    from mcpweft_schemas.locate import Place

LOG = logging.getLogger("mcpweft.coordinator")


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorOptions:
    """What one coordinator is to do."""

    config: Config
    place: Place
    base: Base | None = None
    """What `config` was made of, where the fleet's configuration is to be followed."""
    id: str | None = None
    """Its id among the coordinators; None: it makes one."""


def run_coordinator(options: CoordinatorOptions, *, launch: bool = False) -> int:
    """Run one coordinator until SIGTERM or SIGINT; return the exit code.

    With `launch` it runs the configured servers' workers on this host as well.
    """
    holder = _holder(options.id)
    to_stream(sys.stderr, os.environ.get("MCPWEFT_LOG_LEVEL", "INFO"), "mcpweft", coordinator=holder)
    return asyncio.run(_run(options, holder, launch=launch))


def _holder(said: str | None) -> str:
    if said is None:
        return coordinator_id()
    return said if said.startswith(COORDINATOR) else COORDINATOR + said


async def _run(options: CoordinatorOptions, holder: str, *, launch: bool) -> int:
    config, place = options.config, options.place
    rng = random.Random()  # noqa: S311  # chance for pauses, not for secrets
    async with Link.to(place.url) as link:
        await _tell_fitness(link, config)
        store = Store(link, place.namespace)
        herald = Herald(store, config.events.keep, time.monotonic)
        launcher = None
        if launch:
            launcher = Launcher(
                store, config, holder, argv=worker_argv(config.path),
                environ=worker_environment(place.url, place.namespace), clock=time.monotonic, rng=rng,
                tell=herald.tell,
            )  # fmt: skip
        coordinator = Coordinator(
            store, config, holder=holder, clock=time.monotonic, rng=rng, launcher=launcher,
            herald=herald, base=options.base,
        )  # fmt: skip
        await _until_told(coordinator)
    return 0


async def _tell_fitness(link: Link, config: Config) -> None:
    """Refuse an unfit store; one that is away for now is waited for, as always."""
    try:
        for finding in await check_fitness(link, config.redis):
            LOG.warning("store: %s. %s", finding.message, finding.advice)
    except StoreUnreachableError as error:
        LOG.warning("the store was not checked: %s", error)


async def _until_told(coordinator: Coordinator) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(coordinator.run())
        stopped = tasks.create_task(stop.wait())
        running.add_done_callback(lambda _: stop.set())
        await stopped
        running.cancel()
