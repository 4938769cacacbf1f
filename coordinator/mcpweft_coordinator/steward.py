"""The steward: keeps this process's configuration as the fleet has set it, and has it applied.

    the store has another edition ─▶ lay it into what this process was given ─▶ validate the whole ─▶ apply
                                                     └─ wrong here: keep the last good one, and tell so once

Every coordinator has one. It looks twice a second at the edition's version. Two processes may be given
different files, so an edition that fits one may be wrong for another; that one goes on with its last good
configuration, and an event says so.

A server that is on trial must be ready in time. Who added it sees to that; if that coordinator is gone, the
others take the server out again, whoever is first.

Above stands `coordinator`. Below are the store's moves and the configuration's own doers. This module must
never know what is done with a configuration.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from mcpweft_schemas.config import overlay
from mcpweft_schemas.edition import Edition
from mcpweft_schemas.errors import FabricError, InvalidConfigError
from mcpweft_schemas.event import Event, Kind, Who
from mcpweft_schemas.pulse import MoveError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from mcpweft_schemas.config import Base, Config
    from mcpweft_schemas.edition import Trial
    from mcpweft_schemas.store import Store

LOG = logging.getLogger("mcpweft.coordinator")
LOOK_S = 0.5
"""Seconds between two looks at the version."""
_MARGIN_S = 10.0  # what a trial's own coordinator may be late


class Steward:
    """The configuration of one process; `run` it in a task that somebody owns."""

    def __init__(
        self,
        store: Store,
        base: Base,
        config: Config,
        apply: Callable[[Config], None],
        *,
        clock: Callable[[], float],
        rng: random.Random,
        tell: Callable[[Event], None],
    ) -> None:
        """Make one.

        Args:
            store: Where the editions are.
            base: What this process was given to read.
            config: What it came to without the fleet's settings.
            apply: Has a configuration applied; called with each new one, never waits and never raises.
            clock: Seconds that never run backwards.
            rng: Chance, for pauses.
            tell: Has the fleet told of an event; never waits.

        """
        self.base = base
        self.config = config
        """The configuration in force here."""
        self.edition = Edition()
        """The edition that it was made with."""
        self._store = store
        self._apply = apply
        self._clock = clock
        self._rng = rng
        self._tell = tell
        self._seen = 0  # the last version that was looked at, right or wrong
        self._trials: dict[Trial, float] = {}  # when each is over

    async def run(self) -> None:
        """Follow the fleet's settings until cancelled."""
        while True:
            try:
                await self.catch_up()
            except (FabricError, MoveError) as error:
                LOG.debug("no look at the configuration", extra={"fields": {"error": str(error)}})
            await asyncio.sleep(LOOK_S * self._rng.uniform(0.8, 1.0))

    async def catch_up(self) -> None:
        """Take the edition in force now, if it is another. Raises as the store does."""
        version, on_trial = await self._store.edition_version()
        if version != self._seen or on_trial or self._trials:
            await self._look()

    async def _look(self) -> None:
        try:
            edition = await self._store.edition()
        except ValueError as error:
            self._refuse(Edition(), f"what lies in the store is no configuration: {error}")
            return
        if edition.version != self._seen:
            self._seen = edition.version
            self._take(edition)
        await self._watch(edition)

    def _take(self, edition: Edition) -> None:
        try:
            config = self.base.config(edition.document)
        except InvalidConfigError as error:
            self._refuse(edition, str(error))
            return
        self.config, self.edition = config, edition
        LOG.info("configuration", extra={"fields": {"version": edition.version, "by": edition.by}})
        self._apply(config)

    def _refuse(self, edition: Edition, why: str) -> None:
        fields = {"version": edition.version, "error": why}
        LOG.error("configuration not applied", extra={"fields": fields})
        data = {"version": edition.version, "kept": self.edition.version}
        self._tell(Event(Kind.CONFIGURATION_REFUSED, Who.COORDINATOR, reason=why, data=data))

    async def _watch(self, edition: Edition) -> None:
        """Take a server out whose trial is long over."""
        now = self._clock()
        self._trials = {
            trial: self._trials.get(trial, now + trial.seconds + _MARGIN_S) for trial in edition.trials
        }
        for trial, over in self._trials.items():
            if now < over:
                continue
            why = f"{trial.server} was not ready in time, and the coordinator that added it is gone"
            left = tuple(each for each in edition.trials if each != trial)
            document = overlay.without(edition.document, ("servers", trial.server))
            without = replace(edition, document=document, by=trial.by, reason=why, trials=left)
            await self._store.amend(without, uuid.uuid4().hex)  # STALE: somebody else has seen to it
            return  # and what is left is looked at next time
