"""The way of one question: through the fabric, round it, or both, and what is remembered of that.

    fabric there    the fabric; the fallback too once it has failed, or has taken `after` seconds
    away            the fallback; the fabric too once that has failed, or has taken so long
    away, its pause over    both at once

The first answer counts: searching changes nothing, so asking twice does no harm. Above stands the client,
which has chosen the capability. Below are the two that answer, and a `Detour` for each capability. This
module must never read an answer.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from mcpweft.rag.detour import Detour, Way
from mcpweft_schemas import duration
from mcpweft_schemas.errors import (
    FabricError,
    FailoverExhaustedError,
    McpweftError,
    RequestTimeoutError,
    ShuttingDownError,
    UnknownCapabilityError,
)
from mcpweft_schemas.outcome import Attempt, Executed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mcpweft.rag.fallback import Fallback
    from mcpweft.rag.query import Query
    from mcpweft.result import Result

Ask: TypeAlias = "Callable[[float], Coroutine[Any, Any, Result]]"
"""Asks the fabric, within so many seconds."""
_CLOSE_S = 2.0
_LEAST_S = 0.001


@dataclass(frozen=True, slots=True)
class Routed:
    """An answer, and why the fallback gave it; empty where the fabric did."""

    result: Result
    detour: str = ""


class Route:
    """Whom to ask; one for each client."""

    def __init__(self, fallback: Fallback | None, after: float) -> None:
        self._fallback = fallback
        self._after = after
        self._clock = asyncio.get_running_loop().time
        self._detours: defaultdict[str, Detour] = defaultdict(Detour)
        self._left: set[asyncio.Task[Result]] = set()

    async def go(self, capability: str, query: Query, ask: Ask, within: float) -> Routed:
        """Return the first answer there is, within so many seconds.

        Raises what the fabric says, where there is no fallback or the question itself is at fault, and
        FailoverExhaustedError where the fallback failed as well.
        """
        if self._fallback is None:
            return Routed(await ask(within))
        detour = self._detours[capability]
        way = detour.way(self._clock())
        race = _Race(self._fallback, query, lambda left: self._told(detour, ask(left)), within)
        try:
            match way:
                case Way.FABRIC:
                    await race.run(fabric_first=True, head_start=self._after)
                case Way.BOTH:
                    await race.run(fabric_first=True, head_start=0.0)
                case Way.FALLBACK:
                    await race.run(fabric_first=False, head_start=self._after)
        except BaseException:
            race.stop()
            raise
        if race.fabric_won:
            race.stop()
            return Routed(race.result)
        late = f"it gave no answer within {duration.spoken(self._after)}"
        reason = race.failure or detour.reason or late
        if (trying := race.stop_fallback()) is not None:
            self._leave(trying, detour, late, 0.0 if way is Way.FABRIC else self._after)
        return Routed(race.result, reason)

    async def _told(self, detour: Detour, asking: Coroutine[Any, Any, Result]) -> Result:
        """Ask the fabric, and tell the detour what came of it."""
        try:
            result = await asking
        except McpweftError as error:
            if _is_away(error):
                detour.failed(self._clock(), error.what, after=error.retry_after or 0.0)
            else:
                detour.served()  # it is there: the question, the tool or a server is at fault
            raise
        except BaseException:
            detour.dropped()
            raise
        detour.served()
        return result

    def _leave(self, trying: asyncio.Task[Result], detour: Detour, late: str, more: float) -> None:
        """Give the fabric so much more time to show that it is there; its answer is not wanted any more."""
        self._left.add(trying)
        trying.add_done_callback(self._over)

        def give_up() -> None:
            if not trying.done():
                trying.cancel()
                detour.failed(self._clock(), late)

        if more:
            asyncio.get_running_loop().call_later(more, give_up)
        else:
            give_up()

    def _over(self, task: asyncio.Task[Result]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # the detour has heard of it

    async def close(self) -> None:
        """Cancel what nobody waits for, and end the fallback."""
        for task in self._left:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await asyncio.gather(*self._left, return_exceptions=True)
        if self._fallback is not None:
            await self._fallback.close()


class _Race:
    """Two that may answer one question; the second begins when the first has failed or is late."""

    def __init__(self, fallback: Fallback, query: Query, ask: Ask, within: float) -> None:
        self._fallback = fallback
        self._query = query
        self._ask = ask
        self._clock = asyncio.get_running_loop().time
        self._until = self._clock() + within
        self._fabric: asyncio.Task[Result] | None = None
        self._direct: asyncio.Task[Result] | None = None
        self._began_ms = 0

    @property
    def fabric_won(self) -> bool:
        """Whether the fabric has answered."""
        return _good(self._fabric)

    @property
    def result(self) -> Result:
        """The answer, once there is one."""
        winner = self._fabric if self.fabric_won else self._direct
        assert winner is not None, "run has returned"  # noqa: S101  # nothing else asks
        return winner.result()

    @property
    def failure(self) -> str:
        """What the fabric failed of, in its words; empty where it has not."""
        error = _error(self._fabric)
        return "" if error is None else error.what if isinstance(error, McpweftError) else str(error)

    async def run(self, *, fabric_first: bool, head_start: float) -> None:
        """Return once one has answered. Raises where neither will."""
        self._begin(fabric=fabric_first)
        pause: float | None = head_start
        while True:
            running = {task for task in (self._fabric, self._direct) if task is not None and not task.done()}
            if running:
                await asyncio.wait(running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if _good(self._fabric) or _good(self._direct):
                return
            error = _error(self._fabric)
            if error is not None and not _may_divert(error):
                raise error
            if self._fabric is None or self._direct is None:
                self._begin(fabric=self._fabric is None)
                pause = None
            elif self._fabric.done() and self._direct.done():
                raise self._both()

    def _begin(self, *, fabric: bool) -> None:
        left = max(_LEAST_S, self._until - self._clock())
        if fabric:
            self._fabric = asyncio.create_task(self._ask(left))
        else:
            self._began_ms = round(time.time() * 1000)
            self._direct = asyncio.create_task(self._fallback.ask(self._query, left))

    def stop(self) -> None:
        """End both."""
        for task in (self._fabric, self._direct):
            if task is not None:
                task.cancel()

    def stop_fallback(self) -> asyncio.Task[Result] | None:
        """End the fallback's part; return the fabric's, where that goes on."""
        if self._direct is not None:
            self._direct.cancel()
        return self._fabric if self._fabric is not None and not self._fabric.done() else None

    def _both(self) -> FailoverExhaustedError:
        """Return the error for a question that neither answered, with every attempt that was made."""
        fabric, direct = _error(self._fabric), _error(self._direct)
        assert fabric is not None, "both have failed"  # noqa: S101  # run has seen it
        assert direct is not None, "both have failed"  # noqa: S101  # likewise
        attempts = list(fabric.attempts) if isinstance(fabric, McpweftError) else []
        if isinstance(direct, McpweftError):
            took = round(time.time() * 1000) - self._began_ms
            attempts.append(
                Attempt(self._fallback.name, "", direct.code.value, direct.executed, self._began_ms, took)
            )
        both = FailoverExhaustedError(
            f"neither the fabric ({_said(fabric)}) nor the fallback server {self._fallback.name!r} "
            f"({_said(direct)}) answered",
            advice="Look at `mcpweft status`, and at the fallback server with `mcpweft doctor`.",
            executed=max(_ran(fabric), _ran(direct), key=list(Executed).index),
            attempts=attempts,
        )
        both.__cause__ = direct
        direct.__cause__ = direct.__cause__ or fabric
        return both


def _good(task: asyncio.Task[Result] | None) -> bool:
    return task is not None and task.done() and not task.cancelled() and task.exception() is None


def _error(task: asyncio.Task[Result] | None) -> BaseException | None:
    if task is None or not task.done():
        return None
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def _ran(error: BaseException) -> Executed:
    return error.executed if isinstance(error, McpweftError) else Executed.MAYBE


def _said(error: BaseException) -> str:
    return f"{error.code.value}: {error.what}" if isinstance(error, McpweftError) else repr(error)


def _may_divert(error: BaseException) -> bool:
    """Whether another way may lead to an answer."""
    fabric = isinstance(error, FabricError) and not isinstance(error, ShuttingDownError)
    return fabric or isinstance(error, UnknownCapabilityError)


def _is_away(error: McpweftError) -> bool:
    """Whether the next question would fare no better.

    Attempts that failed say so only where the pool's retry budget is spent: the error is retryable then.
    """
    if isinstance(error, FailoverExhaustedError):
        return error.retryable
    if isinstance(error, RequestTimeoutError):
        return error.phase == "queue"
    return _may_divert(error)
