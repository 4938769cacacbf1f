"""A request that the fake desk has accepted: where it stands, who waits, and how it ended.

Above stands the fake desk, whose task moves it. This module must never know what is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

from mcpweft.testing.reply import reply_of
from mcpweft_schemas.life import State
from mcpweft_schemas.outcome import Code

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from mcpweft.result import Progress
    from mcpweft.terms import Listener
    from mcpweft.testing.answer import Answer
    from mcpweft.testing.reply import Said
    from mcpweft_schemas.wire import Reply, Submission

_log = logging.getLogger("mcpweft")

_STATES = {
    Code.CANCELLED: State.CANCELLED,
    Code.TIMEOUT: State.EXPIRED,
    Code.OUTCOME_UNKNOWN: State.DEAD,
    Code.FAILOVER_EXHAUSTED: State.DEAD,
}


class Request:
    """One accepted request."""

    def __init__(
        self,
        capability: str,
        submission: Submission,
        arguments: Mapping[str, Any],
        answer: Answer | None,
    ) -> None:
        self.id = submission.id
        self.capability = capability
        self.submission = submission
        self.arguments = arguments
        self.answer = answer
        """None: its server has no such tool."""
        self.accepted_ms = now_ms()
        self.started_ms = 0
        self.began = 0.0
        self.waiters = 0
        self.reply: Reply | None = None
        self.error: BaseException | None = None
        """What is raised in the place of the words for its code."""
        self.note = ""
        """A hint for whoever reads the test's failure."""
        self.task: asyncio.Task[None] | None = None
        self.listeners: list[Listener] = []
        self._newest: Progress | None = None
        self._over: list[asyncio.Future[None]] = []

    @property
    def state(self) -> State:
        """Where it stands."""
        if self.reply is not None:
            return _STATES.get(self.reply.code, State.DONE)
        return State.RUNNING if self.started_ms else State.DELAYED

    @property
    def over(self) -> asyncio.Future[None]:
        """Resolved when it has ended; one for each event loop that waits for it."""
        loop = asyncio.get_running_loop()
        mine = next((future for future in self._over if future.get_loop() is loop), None)
        if mine is None:
            mine = loop.create_future()
            self._over.append(mine)
        return mine

    @property
    def under_way(self) -> bool:
        """Whether a task is at it, in a loop that runs."""
        return self.task is not None and not self.task.done() and self.task.get_loop().is_running()

    def stop(self) -> None:
        """Stop its task, if it has one that runs, from whatever loop."""
        if self.task is not None and not self.task.done() and not self.task.get_loop().is_closed():
            self.task.get_loop().call_soon_threadsafe(self.task.cancel)

    def begin(self) -> None:
        """Count it as taken by the worker."""
        self.started_ms, self.began = now_ms(), time.perf_counter()

    def end(self, said: Said) -> None:
        """End it, unless it has ended, and tell all that wait, in their own loops."""
        if self.reply is not None:
            return
        took = (time.perf_counter() - self.began) * 1000 if self.started_ms else None
        self.error = said.error
        times = self.accepted_ms, self.started_ms, now_ms()
        self.reply = reply_of(self.id, said, times, took)
        for future in self._over:
            if not future.get_loop().is_closed():
                future.get_loop().call_soon_threadsafe(_resolve, future)

    def tell(self, progress: Progress) -> None:
        """Tell all that listen how far it is."""
        self._newest = progress
        for listener in list(self.listeners):
            _pass_on(listener, progress)

    @contextlib.contextmanager
    def heard_by(self, listener: Listener | None) -> Generator[None]:
        """Have a listener told of the newest progress and of all that comes, while the block lasts."""
        if listener is None:
            yield
            return
        self.listeners.append(listener)
        try:
            if self._newest is not None:
                _pass_on(listener, self._newest)
            yield
        finally:
            self.listeners.remove(listener)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _pass_on(listener: Listener, progress: Progress) -> None:
    """Tell one listener; what it raises is logged and dropped, as the real client does."""
    try:
        listener(progress)
    except Exception:  # noqa: BLE001  # the user's own code; the request goes on
        _log.exception("an on_progress callback failed")


def now_ms() -> int:
    """Return the time, ms since the epoch."""
    return time.time_ns() // 1_000_000
