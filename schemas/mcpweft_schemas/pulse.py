"""The own link to the store, felt: how long it has been up without a break, and asking over it with a bound.

After an outage every worker's last beat is old, whoever was cut off: the fleet, the store or this process.
So whoever judges by silence must know for how long it could have heard anything. An answer that took long
counts as a break (the beats were held up like it), and so does a sleep that took longer than asked (this
process was stopped). A store that takes no writes is not up: it answers questions, and hears no beat.

Above stand the sweeper's doers. Below is the link's trouble, in its own errors. This module must never know
a move.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from redis.exceptions import ResponseError

from mcpweft_schemas.connect import StoreUnwritableError
from mcpweft_schemas.errors import FabricError
from mcpweft_schemas.sweeplog import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcpweft_schemas.sweeplog import SweepLog

_PATIENT_S = 1.0  # for an answer, where a lost one may be asked for again
_T = TypeVar("_T")

MoveError = ResponseError
"""What a script itself answers where it cannot go on, such as a key of the wrong type in one pool."""


class Pulse:
    """The state of one link, by the own clock."""

    def __init__(self, clock: Callable[[], float], slow_s: float, log: SweepLog) -> None:
        self.clock = clock
        self.slow_s = slow_s
        """An answer that takes longer counts as a break."""
        self._log = log
        self._since: float | None = None
        self._asked = False
        self._takes_writes = True

    @property
    def up(self) -> bool:
        """Whether the last thing asked was answered."""
        return self._since is not None

    @property
    def up_ms(self) -> int:
        """How long it has been up; 0 while it is not."""
        return 0 if self._since is None else int((self.clock() - self._since) * 1000)

    def answered(self, sent: float, *, written: bool = False) -> None:
        """Book an answer to what was sent at `sent`, and whether it shows that the store takes writes."""
        self._takes_writes |= written
        if not self._takes_writes:
            return
        now = self.clock()
        if self._since is None and self._asked:
            self._log.tell(Event.BACK)
        self._asked = True
        if self._since is None or now - sent > self.slow_s:
            self._since = now

    def broken(self, error: Exception) -> None:
        """Book that something was not answered."""
        if self._since is not None or not self._asked:
            self._log.figures.cuts += 1
            self._log.tell(Event.CUT, error=str(error) or type(error).__name__)
        self._since, self._asked = None, True
        self._takes_writes &= not isinstance(error, StoreUnwritableError)

    async def nap(self, seconds: float) -> None:
        """Sleep."""
        began = self.clock()
        await asyncio.sleep(seconds)
        if self._since is not None and self.clock() - began > seconds + self.slow_s:
            self._since = self.clock()

    async def ask(self, capability: str, asked: Awaitable[_T]) -> _T | None:
        """Return an answer, or None where there was none in time; only for what may be repeated freely."""
        sent = self.clock()
        try:
            async with asyncio.timeout(_PATIENT_S):
                answer = await asked
        except (TimeoutError, FabricError) as error:
            self.broken(error)
            return None
        except MoveError as error:  # one spoilt pool must not stop the others
            self._log.figures.faults += 1
            self._log.tell(Event.FAULT, capability=capability, error=str(error))
            return None
        self.answered(sent)
        return answer
