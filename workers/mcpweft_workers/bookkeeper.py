"""Counts the attempts of one pool by tool and class, and books the counts every ten seconds.

Nothing is sent while nothing ends. What was counted is numbered and sent, a few series at a time, until the
store has answered: a repeat is known there by its number, so nothing is counted twice. While the store is
away, what ends meanwhile is counted on beside it; what it has not taken for `GIVE_UP` seconds is dropped,
because after an hour a repeat would no longer be known as one.

Above stands the runner, which tells each attempt as it ends. Below: the store. It must never hold up a run.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcpweft_schemas.errors import FabricError
from mcpweft_schemas.figure import ALL, Figure, Tally, Time, series
from mcpweft_schemas.outcome import Code
from mcpweft_schemas.spread import bucket_of
from mcpweft_schemas.store import SERIES
from mcpweft_schemas.word import Word
from mcpweft_workers.failure import Cause
from mcpweft_workers.judgement import SHUTTING_DOWN, TAKEN_OUT
from mcpweft_workers.log import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft_schemas.life import Class
    from mcpweft_workers.backoff import Patience
    from mcpweft_workers.binding import Binding

EVERY = 10.0
"""Seconds from the first attempt that ends to the booking of all that ended by then."""
GIVE_UP = 3000.0
"""Seconds for which the same counts are sent again."""
MOST = 256
"""Tools and classes that are counted one by one between two bookings; further tools are counted together."""
_LONGEST = 128  # characters of a tool's name
_NEAR_PART = 0.8

# Plain numbers and texts: a member of an enumeration takes ten times as long to look up, for each attempt.
(
    _OK, _TOOL_ERROR, _FAILED, _TIMED_OUT, _REFUSED, _STOPPED, _AGAIN, _NEAR, _BUSY_MS, _TIMED_OUT_MS,
    _SERVICE_MS, _QUEUE_MS, _RESPONSE_MS,
) = map(int, Figure)  # fmt: skip
_SERVICE, _QUEUE, _RESPONSE = map(int, Time)
_TIMEOUT, _UNKNOWN = str(Cause.ATTEMPT_TIMEOUT), str(Code.UNKNOWN_TOOL)
_KINDS: dict[str, int] = {
    str(outcome): kind
    for kind, outcomes in {
        _OK: (Code.OK,),
        _TOOL_ERROR: (Code.TOOL_ERROR,),
        _REFUSED: (Code.UNKNOWN_TOOL, Code.INVALID_ARGUMENTS, Code.INPUT_REQUIRED, Code.RESULT_TOO_LARGE),
        _STOPPED: (Code.CANCELLED, SHUTTING_DOWN, TAKEN_OUT),
    }.items()
    for outcome in outcomes
}
"""What an attempt's outcome counts as; any other is a failure."""


@dataclass(slots=True)
class Ended:
    """One attempt that ended. Times are ms."""

    tool: str
    klass: Class
    attempt: int
    outcome: str
    took_ms: float
    waited_ms: float
    """From the request's acceptance to the attempt's coming here."""
    service_ms: float | None
    allowed_ms: float
    """The time that the attempt was given; 0 where it was not sent."""


@dataclass(frozen=True, slots=True)
class _Parcel:
    number: int
    told: list[tuple[str, bytes]]
    until: float


class Bookkeeper:
    """The bookkeeper of one pool."""

    def __init__(
        self, binding: Binding, *, number: int, patience: Patience, clock: Callable[[], float]
    ) -> None:
        """Make one; `number` is above that of every earlier process of this worker's id."""
        self.dropped = 0
        """Series whose counts the store did not take in time."""
        self._binding = binding
        self._number = number
        self._patience = patience
        self._clock = clock
        self._counted: dict[tuple[str, Class], Tally] = {}
        self._open: deque[_Parcel] = deque()
        self._news = asyncio.Event()

    def count(self, ended: Ended) -> None:
        """Count an attempt."""
        amounts = self._tally(ended).amounts
        kind = _KINDS.get(ended.outcome, _FAILED)
        amounts[kind] += 1
        amounts[_BUSY_MS] += ended.took_ms
        if ended.attempt > 1:
            amounts[_AGAIN] += 1
        else:
            amounts[_QUEUE_MS] += ended.waited_ms
            amounts[_QUEUE + bucket_of(ended.waited_ms)] += 1
        if kind <= _TOOL_ERROR:
            response = ended.waited_ms + ended.took_ms
            amounts[_RESPONSE_MS] += response
            amounts[_RESPONSE + bucket_of(response)] += 1
            if (service := ended.service_ms) is not None:
                amounts[_SERVICE_MS] += service
                amounts[_SERVICE + bucket_of(service)] += 1
            if ended.took_ms > _NEAR_PART * ended.allowed_ms > 0:
                amounts[_NEAR] += 1
        elif ended.outcome == _TIMEOUT:
            amounts[_TIMED_OUT] += 1
            amounts[_TIMED_OUT_MS] += ended.took_ms

    def _tally(self, ended: Ended) -> Tally:
        # What a caller made up is no tool: its name must not take a place.
        tool = ALL if ended.outcome == _UNKNOWN else ended.tool
        tally = self._counted.get((tool, ended.klass))
        if tally is None:
            if len(self._counted) >= MOST or len(tool) > _LONGEST:
                tool = ALL
            tally = self._counted.setdefault((tool, ended.klass), Tally())
            self._news.set()
        return tally

    async def run(self) -> None:
        """Book until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(EVERY)
            self._news.clear()
            await self.book()

    async def book(self) -> None:
        """Book all that was counted by now; it lasts until the store has answered."""
        if not self._open:
            self._take()
        while self._open:
            if await self._send(self._open[0]):
                self._open.popleft()
                self._patience.reset()
            else:
                await asyncio.sleep(self._patience.next())

    async def last_words(self) -> None:
        """Book what is left, as far as the store takes it at once. Bound it; call it once `run` has ended."""
        for _ in range(2):  # what was under way then, which it has perhaps taken already, and what came after
            if not self._open:
                self._take()
            while self._open and await self._send(self._open[0]):
                self._open.popleft()

    def _take(self) -> None:
        counted, self._counted = self._counted, {}
        server = self._binding.identity.server
        told = [(series(server, tool, klass.value), tally.told()) for (tool, klass), tally in counted.items()]
        until = self._clock() + GIVE_UP
        for at in range(0, len(told), SERIES):
            self._number += 1
            self._open.append(_Parcel(self._number, told[at : at + SERIES], until))

    async def _send(self, parcel: _Parcel) -> bool:
        """Send a parcel once; return whether it is done with."""
        binding = self._binding
        try:
            word = await binding.store.book(
                binding.capability, binding.identity.worker, parcel.number, parcel.told
            )
        except FabricError as error:  # away, or full
            said = str(error)
        except Exception as error:  # noqa: BLE001  # figures must never end a worker
            event(logging.ERROR, "figures not booked", pool=binding.capability, error=str(error))
            self.dropped += len(parcel.told)
            return True
        else:
            if word is not Word.UNKNOWN:
                return True
            said = "the pool is not there"
        if self._clock() < parcel.until:
            return False
        event(logging.WARNING, "figures dropped", pool=binding.capability, error=said)
        self.dropped += len(parcel.told)
        return True
