"""The handle: a submitted request, to be followed, fetched or cancelled, now or later, here or elsewhere.

Above stands the user; below the client, whose methods it names. Nothing waits for the request before one of
its methods is called, and dropping it changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from mcpweft.reader import RECORD_LIFE_S, store_lost
from mcpweft_schemas.errors import ResultExpiredError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from mcpweft.client import Client
    from mcpweft.result import Progress, Result
    from mcpweft.terms import Duration


class Handle:
    """A request that was accepted. `id` finds it again from any process."""

    __slots__ = ("_accepted_at", "_client", "_raise", "id")

    def __init__(self, client: Client, request_id: str, *, raise_on_tool_error: bool = True) -> None:
        self._client = client
        self._raise = raise_on_tool_error
        self._accepted_at = time.monotonic()
        self.id = request_id

    def __repr__(self) -> str:
        return f"Handle({self.id!r})"

    async def result(self, timeout: Duration | None = None) -> Result:  # noqa: ASYNC109  # public, as everywhere
        """Wait for the outcome; as `Client.result`."""
        with self._knowing():
            return await self._client.result(self.id, timeout=timeout, raise_on_tool_error=self._raise)

    async def wait(self, timeout: Duration | None = None) -> bool:  # noqa: ASYNC109  # public, as everywhere
        """Wait until it has ended, however; return False where `timeout` passed first."""
        with self._knowing():
            return await self._client.wait(self.id, timeout=timeout)

    @contextlib.contextmanager
    def _knowing(self) -> Generator[None]:
        """Tell a lost store from a forgotten outcome: what was accepted lately cannot have been forgotten."""
        try:
            yield
        except ResultExpiredError as error:
            if time.monotonic() - self._accepted_at > RECORD_LIFE_S:
                raise
            raise store_lost(self.id) from error

    async def cancel(self) -> bool:
        """End it for everybody; return False where it had ended already. As `Client.cancel`."""
        return await self._client.cancel(self.id)

    async def progress(self) -> AsyncIterator[Progress]:
        """Tell how far it is, newest first to be seen, until it ends; a failed request ends it too."""
        newest: list[Progress] = []
        news = asyncio.Event()

        def heard(progress: Progress) -> None:
            newest[:] = [progress]
            news.set()

        following = asyncio.ensure_future(self._client.wait(self.id, on_progress=heard))
        following.add_done_callback(lambda _: news.set())
        try:
            while not following.done():
                await news.wait()
                news.clear()
                if newest:
                    yield newest.pop()
            with self._knowing():
                following.result()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
