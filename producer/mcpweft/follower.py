"""Follows the fleet's events: those that are kept, then, if asked to, each as it comes.

A cut connection is made anew, and reading goes on behind the last event that was read: none is missed, none
comes twice. Where that place is gone, because the stream was trimmed past it or wiped, an event of kind `gap`
says so: how many are missing nobody can know.

Above stand the client and its iterator. Below is the store's `events`; a wait on the stream only wakes. This
module must never write.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from typing import TYPE_CHECKING

from mcpweft.terms import span
from mcpweft_schemas.connect import StoreUnreachableError
from mcpweft_schemas.event import Event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from mcpweft.terms import Duration
    from mcpweft_schemas.connect import Waiter
    from mcpweft_schemas.event import EventPage
    from mcpweft_schemas.store import Store

_log = logging.getLogger("mcpweft")

START = "0-0"
PAGE = 200
PLACE = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")
"""An event's id: its place on the stream."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0


def behind(page: EventPage, position: str) -> bool:
    """Whether the stream ends before a position: it was wiped, or its clock went back."""
    return _order(page.newest) < _order(position)


def _order(entry: str) -> tuple[int, int]:
    ms, _, number = entry.partition("-")
    return int(ms), int(number)


class Follower:
    """One reading of the event stream."""

    def __init__(
        self,
        store: Store,
        command: Callable[[], AbstractAsyncContextManager[Store]],
        check: Callable[[], object],
    ) -> None:
        """`command` lends the store for one command; `check` raises once the reading has to end."""
        self._key = store.fleet.events
        self._store = store
        self._command = command
        self._check = check
        self._waiter: Waiter | None = None
        self._begun: tuple[str, bool] | None = None  # what to read behind, and whether it is an entry's own

    async def begin(self, since: Duration | None, *, follow: bool) -> str:
        """Find where to begin, and return it: the place to read behind. Raises as the store does."""
        self._begun = await self._begin(since, follow=follow)
        return self._begun[0]

    async def run(self, since: Duration | None, *, follow: bool) -> AsyncGenerator[Event]:
        """Yield events, oldest first: those kept, and with `follow` each that comes, until closed."""
        position, marked = self._begun or await self._begin(since, follow=follow)
        try:
            while True:
                page = await (self._patiently(position) if follow else self._page(position))
                if marked and behind(page, position):
                    yield Event.gap(position)
                    position, marked = START, False
                    continue
                if marked and not page.whole and page.position != position:
                    yield Event.gap(position)
                for event in page.events:
                    yield event
                if page.position != position:
                    position, marked = page.position, True
                elif not follow:
                    return
                else:
                    await self._wait(position)
        finally:
            await self._hang_up()

    async def _begin(self, since: Duration | None, *, follow: bool) -> tuple[str, bool]:
        """Return the position to read behind, and whether it is an entry's own."""
        if isinstance(since, str) and PLACE.fullmatch(since):
            return since, True
        if since is None and not follow:
            return START, False
        page = await self._page(START, 1)
        if since is None:
            return page.newest, page.newest != START
        return f"{max(0, page.now_ms - round(span('since', since, 0.0) * 1000))}-0", False

    async def _page(self, position: str, most: int = PAGE) -> EventPage:
        self._check()
        async with self._command() as store:
            return await store.events(position, most)

    async def _patiently(self, position: str) -> EventPage:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return await self._page(position)
            except StoreUnreachableError as error:
                _log.debug("events: %s", error.what)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _wait(self, position: str) -> None:
        """Wait until there is something behind a position, for a while at most."""
        if self._waiter is None:
            self._waiter = self._store.link.waiter(self._key)
        try:
            await self._store.wait_entries(self._waiter, {self._key: position})
        except StoreUnreachableError:
            await self._hang_up()  # the next page is asked for patiently

    async def _hang_up(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            with contextlib.suppress(Exception):  # it is broken or on its way out: nothing to learn from it
                await waiter.close()
