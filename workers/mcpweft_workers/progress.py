"""Tells a running request's waiters how far it is: the newest word only, at most ten times a second.

Above stands the runner. Below: the store. It must never hold a call up: what cannot be told now is dropped.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcpweft_schemas.errors import McpweftError
from mcpweft_schemas.packing import pack
from mcpweft_schemas.word import Word
from mcpweft_workers.binding import token

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft_schemas.wire import Delivery
    from mcpweft_workers.binding import Binding

EVERY = 0.1
"""Seconds between two words about one request."""
_LONGEST = 1000  # characters of a message


@dataclass(slots=True)
class _News:
    binding: Binding
    delivery: Delivery
    body: bytes | None = None
    not_before: float = 0.0


class Progress:
    """The teller of all running requests; `run` is its owner task."""

    def __init__(self, clock: Callable[[], float], on_told: Callable[[str], None]) -> None:
        self._clock = clock
        self._on_told = on_told
        self._news: dict[str, _News] = {}
        self._wake = asyncio.Event()

    def follow(
        self, binding: Binding, delivery: Delivery
    ) -> Callable[[float, float | None, str | None], None]:
        """Return what takes the server's word about this delivery."""
        news = self._news[token(delivery)] = _News(binding, delivery)

        def heard(progress: float, total: float | None, message: str | None) -> None:
            if not math.isfinite(progress) or (total is not None and not math.isfinite(total)):
                return
            text = None if message is None else message[:_LONGEST]
            news.body = pack({"progress": progress, "total": total, "message": text})
            self._wake.set()

        return heard

    def forget(self, delivery: Delivery) -> None:
        """Drop what was not told: the request has ended."""
        self._news.pop(token(delivery), None)

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while waiting := [news for news in self._news.values() if news.body is not None]:
                now = self._clock()
                due = [news for news in waiting if news.not_before <= now]
                for news in due:
                    await self._tell(news)
                if not due:
                    await asyncio.sleep(min(news.not_before for news in waiting) - now)

    async def _tell(self, news: _News) -> None:
        body, news.body = news.body, None
        news.not_before = self._clock() + EVERY
        if body is None or self._news.get(token(news.delivery)) is not news:
            return
        try:
            word = await news.binding.store.progress(news.binding.capability, news.delivery, body)
        except McpweftError:
            return
        if word is Word.OK:
            self._on_told(news.binding.capability)
