"""One coordinator put together: a candidate to lead, the pools' registrar, and what else was asked for.

    sweeper      always: leads, or waits to
    registrar    always: declares the configured pools
    dealer       always: what each worker may take of each pool
    scaler       always: how many workers servers with `min` or `max` should have
    steward      where it was told what this process was given to read: follows the fleet's configuration
    duties       where arq has a store that it can use
    herald       always: tells the fleet what happens
    launcher     where this host runs workers too
    endpoint     where a port is configured

At the end the launcher goes first, while somebody still leads; then everything else together.

Above stand `entry` and `mcpweft up`. This module must never read a flag or a file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from mcpweft_coordinator.clerk import Clerk
from mcpweft_coordinator.dealer import Dealer
from mcpweft_coordinator.duties import Duties, control_of
from mcpweft_coordinator.endpoint import Endpoint
from mcpweft_coordinator.gauges import Gauges
from mcpweft_coordinator.registrar import Registrar
from mcpweft_coordinator.scaler import Scaler, ScalingEvent
from mcpweft_coordinator.steward import Steward
from mcpweft_schemas import ident
from mcpweft_schemas.errors import FabricError
from mcpweft_schemas.event import Event as News
from mcpweft_schemas.event import Kind, Who
from mcpweft_schemas.herald import Herald
from mcpweft_schemas.sweeper import COORDINATOR, Event, Policy, Sweeper
from mcpweft_schemas.sweeplog import news

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from mcpweft_coordinator.endpoint import Pages
    from mcpweft_coordinator.launcher import Launcher
    from mcpweft_coordinator.view import ServerView
    from mcpweft_coordinator.wanted import Wanted
    from mcpweft_schemas.config import Base, Config
    from mcpweft_schemas.store import Store

LOG = logging.getLogger("mcpweft.coordinator")
_PAGES = "mcpweft.pages"  # the client's side of what the port says; loaded where there is a port
_LAST_WORDS_S = 1.0
_FIRST_LOOK_S = 2.0
_SCALING = {ScalingEvent.NEEDED: Kind.SCALE_NEEDED, ScalingEvent.DONE: Kind.SCALE_DONE}
_LOUD = {Event.CUT, Event.DOUBT, Event.FAULT, Event.RECLAIMED, Event.RETIRED}


def coordinator_id() -> str:
    """Return a new id: `coordinator.<host>.<pid>.<8 hex>`."""
    return COORDINATOR + ident.producer_id(socket.gethostname(), os.getpid())


class Coordinator:
    """One coordinator; `run` it in a task that somebody owns."""

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        holder: str,
        clock: Callable[[], float],
        rng: random.Random,
        launcher: Launcher | None = None,
        herald: Herald | None = None,
        base: Base | None = None,
    ) -> None:
        """Make one.

        Args:
            store: The namespace to look after.
            config: Times, pools and ports.
            holder: Its id, as `coordinator_id` makes it.
            clock: Seconds that never run backwards.
            rng: Chance.
            launcher: The launcher of this host, if it runs workers.
            herald: The one that the launcher tells its events to; None: one of its own.
            base: What `config` was made of; None: the fleet's configuration is not followed here.

        """
        self.launcher = launcher
        self.holder = holder
        self.herald = herald or Herald(store, config.events.keep, clock)
        self._config = config
        self.steward: Steward | None = None
        if base is not None:
            self.steward = Steward(
                store, base, config, self._apply, clock=clock, rng=rng, tell=self.herald.tell
            )
        self.registrar = Registrar(store, config, rng, self.herald.tell)
        self.sweeper = Sweeper(
            store, holder, Policy.of(config), clock=clock, rng=rng, on_event=self._log_event
        )
        self.scaler = Scaler(
            store,
            config,
            lambda: self.sweeper.term,
            clock=clock,
            rng=rng,
            on_event=self._tell_scaling,
        )
        self.dealer = Dealer(
            store,
            lambda: self.config.strategy,
            lambda: self.sweeper.term,
            clock=clock,
            rng=rng,
            tell=self.herald.tell,
        )
        self.duties: Duties | None = None
        if (control := control_of(store.link.url, config.coordinator.control_url)) is not None:
            clerk = Clerk(store, lambda: self.config, self.herald.tell, self.steward)
            self.duties = Duties(store, control, holder, rng, commands=clerk.commands())
        self.endpoint = self._make_endpoint(store, config)

    def _make_endpoint(self, store: Store, config: Config) -> Endpoint | None:
        host, port = config.coordinator.host, config.coordinator.port
        if port is None:
            return None
        pages = cast("Pages", import_module(_PAGES).Pages(store.link.url, store.namespace))

        def wanted() -> Mapping[str, Wanted]:
            return self.scaler.wanted

        gauges = Gauges(self.sweeper, self.views, wanted, self.herald)
        return Endpoint(gauges, wanted, lambda: self.sweeper.connected, pages, host, port)

    @property
    def config(self) -> Config:
        """The configuration in force here."""
        return self._config

    def _apply(self, config: Config) -> None:
        """Have every part go by another configuration."""
        self._config = config
        self.herald.keep = config.events.keep
        self.sweeper.apply(Policy.of(config))
        self.registrar.apply(config)
        self.scaler.apply(config)
        if self.launcher is not None:
            self.launcher.apply(config)

    def views(self) -> tuple[ServerView, ...]:
        """Return how the servers of this host are; empty where it launches none."""
        return () if self.launcher is None else self.launcher.views()

    async def run(self) -> None:
        """Coordinate until cancelled."""
        if self.duties is None:
            LOG.warning("duties are off: arq needs a plain Redis, and no coordinator.control_url names one")
        try:
            await self._run()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self.herald.last_words()

    async def _run(self) -> None:
        if self.steward is not None:
            with suppress(TimeoutError, FabricError):
                async with asyncio.timeout(_FIRST_LOOK_S):
                    await self.steward.catch_up()  # before anything is started that would be stopped at once
        parts = (
            self.steward,
            self.sweeper,
            self.registrar,
            self.dealer,
            self.scaler,
            self.duties,
            self.endpoint,
            self.herald,
        )
        async with asyncio.TaskGroup() as tasks:
            lasting = [
                tasks.create_task(part.run(), name=type(part).__name__) for part in parts if part is not None
            ]
            try:
                if self.launcher is None:
                    await asyncio.Event().wait()
                else:
                    await self.launcher.run()
            finally:
                for task in lasting:
                    task.cancel()

    def _log_event(self, event: Event, values: Mapping[str, Any]) -> None:
        LOG.log(
            logging.WARNING if event in _LOUD else logging.INFO, event.value, extra={"fields": dict(values)}
        )
        if (told := news(event, values, Who.COORDINATOR, self.holder)) is not None:
            self.herald.tell(told)

    def _tell_scaling(self, event: ScalingEvent, values: Mapping[str, Any]) -> None:
        LOG.info("workers %s", event.value, extra={"fields": dict(values)})
        rest = dict(values)
        server, reason = str(rest.pop("server", "")), str(rest.pop("reason", ""))
        self.herald.tell(News(_SCALING[event], Who.COORDINATOR, "", server, "", reason, rest))
