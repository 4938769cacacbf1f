"""Asks an idle server whether it is there: its calls say so while there are any.

    idle for `every` ─▶ ping ─▶ pong: its time is noted, all is well
                             └▶ none: a failed check ─▶ so many in a row: no pulling, it is connected anew

Nothing is in flight then, so nothing is lost. Above stands the worker. Below: the runner's figures, the
session, the gate. A server that is silent with calls in flight is the vigil's matter.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mcpweft_workers.log import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft_workers.gate import Gate
    from mcpweft_workers.runner import Runner
    from mcpweft_workers.session import Session

PATIENCE = 2.0
"""Seconds that a pong may take at most."""
_WHO = "check"


class Check:
    """The checks of one server; `run` is its owner task."""

    def __init__(
        self,
        session: Session,
        runner: Runner,
        gate: Gate,
        *,
        every: float,
        unhealthy_after: int,
        clock: Callable[[], float],
    ) -> None:
        self.failed = 0
        """Checks that failed, in a row, up to now."""
        self.ping_ms: float | None = None
        """What the last pong took; None where there was none yet."""
        self.unhealthy_after = unhealthy_after
        self._session = session
        self._runner = runner
        self._gate = gate
        self._every = every
        self._clock = clock

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(self._every)
            idle = self._runner.in_flight == 0 and self._clock() - self._runner.heard_at >= self._every
            if self._session.ready.is_set() and idle:
                await self._ask()
            elif self._session.ready.is_set() and self._clock() - self._runner.heard_at < self._every:
                self._well()

    async def _ask(self) -> None:
        began = self._clock()
        if await self._session.ping(min(PATIENCE, self._every)):
            self.ping_ms = (self._clock() - began) * 1000
            self._well()
            return
        if not self._session.ready.is_set() or self._runner.in_flight:
            return  # others deal with it
        self.failed += 1
        event(logging.WARNING, "check failed", in_a_row=self.failed)
        if self.failed >= self.unhealthy_after:
            reason = f"{self.failed} checks of the idle server failed"
            self._gate.close(_WHO, reason)
            await self._session.restart(reason)
            self._well()

    def _well(self) -> None:
        self.failed = 0
        self._gate.open(_WHO)
