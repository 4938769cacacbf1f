"""Watches for a server that has gone silent with calls in flight, and decides what to think of it.

    silent for 2 s ─▶ ping, 0.5 s ─▶ pong: all is well
                                  └▶ no pong: DEGRADED, nothing is pulled ─▶ pong: all is well again
                                            └▶ an attempt timed out as well, or `hung_after` is over: restart

A busy server is not a dead one: without a timed-out attempt it is left alone however long it is silent,
unless the operator gave `hung_after`.

Above stands the worker. Below: the runner's figures, the session, the gate. It must never end a call
itself.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mcpweft_schemas.event import Kind
from mcpweft_workers.log import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft_workers.gate import Gate
    from mcpweft_workers.runner import Runner
    from mcpweft_workers.session import Session

SILENCE = 2.0
"""Seconds without a sign of life after which the server is asked."""
PONG = 0.5
"""Seconds that it has to answer."""
_LOOK = 0.25
_WHO = "vigil"


class Vigil:
    """The watch over one server; `run` is its owner task."""

    def __init__(
        self,
        session: Session,
        runner: Runner,
        gate: Gate,
        *,
        hung_after: float | None,
        clock: Callable[[], float],
        tell: Callable[[Kind, str], None],
    ) -> None:
        self.hung = False
        """Whether the server is silent and answers no ping."""
        self._session = session
        self._runner = runner
        self._gate = gate
        self._hung_after = hung_after
        self._silence = SILENCE if hung_after is None else min(SILENCE, hung_after / 2)
        self._clock = clock
        self._tell = tell
        self._busy_since = clock()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(min(_LOOK, self._silence / 2))
            if not self._session.ready.is_set():
                self._busy_since = self._clock()
                self._clear()  # its owner is dealing with it
            elif not self.hung and self._runner.in_flight == 0:
                self._busy_since = self._clock()
            elif self.hung or self._silent_for() >= self._silence:
                await self._ask()

    def _silent_for(self) -> float:
        return self._clock() - max(self._runner.heard_at, self._busy_since)

    async def _ask(self) -> None:
        if await self._session.ping(PONG):
            self._runner.heard_at = self._clock()
            self._clear()
            return
        if not self._session.ready.is_set():
            return
        silent = self._silent_for()
        if not self.hung:
            self.hung = True
            reason = f"the server has been silent for {silent:.1f} s with calls in flight"
            self._gate.close(_WHO, reason)
            self._tell(Kind.SERVER_DEGRADED, reason)
            event(logging.WARNING, "server silent", seconds=round(silent, 1), calls=self._runner.in_flight)
        since = self._clock() - silent
        timed_out = self._runner.timed_out_at > since
        if timed_out or (self._hung_after is not None and silent >= self._hung_after):
            why = "an attempt has timed out" if timed_out else f"hung_after is {self._hung_after:g} s"
            event(logging.WARNING, "server restarted", seconds=round(silent, 1), reason=why)
            self._tell(Kind.SERVER_RESTARTED, f"silent for {silent:.1f} s, and {why}")
            await self._session.restart(f"silent for {silent:.1f} s, and {why}")
            self._runner.heard_at = self._clock()
            self._clear()

    def _clear(self) -> None:
        if self.hung:
            self.hung = False
            self._gate.open(_WHO)
            event(logging.INFO, "server answers again")
            if self._session.ready.is_set():
                self._tell(Kind.SERVER_READY, "it answers again")
