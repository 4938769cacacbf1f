"""The blocking client of the search servers: the surface of `RagClient`, with no `await`.

Its life is that of `Threaded`: an event loop in a thread of its own, opened on the first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcpweft.rag.client import RagClient
from mcpweft.rag.query import MAX_RESULTS, THRESHOLD
from mcpweft.threaded import Threaded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft.client import Client
    from mcpweft.rag.answer import Answer
    from mcpweft.rag.settings import RagSettings
    from mcpweft.terms import Duration, Priority


class SyncRagClient(Threaded):
    """Asks the search servers of a fabric and waits. `client`, if given, is opened and closed with it."""

    def __init__(self, client: Client | None = None, settings: RagSettings | None = None) -> None:
        self._client = RagClient(client, settings)
        super().__init__(self._client)

    def query(  # what a question may say, each by its name
        self,
        query: str,
        context: str | None = None,
        max_results: int = MAX_RESULTS,
        threshold: float = THRESHOLD,
        metadata: Mapping[str, Any] | None = None,
        priority: Priority | None = None,
        capability: str | None = None,
        *,
        timeout: Duration | None = None,
    ) -> Answer:
        """Ask a question and return what was found; as `RagClient.query`."""
        return self._ready().run(
            lambda: self._client.query(
                query, context, max_results, threshold, metadata, priority, capability, timeout=timeout
            )
        )
