"""The client of the search servers: a question in words becomes a call on the right pool, its answer typed.

    async with RagClient() as rag:
        answer = await rag.query("Which module reads zip archives?")

Above stands the user. Below are the analyser (which pool), the flights and the cache (what need not be asked
again) and the route (through the fabric or round it). This module must never know how a request travels.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cachetools import LRUCache, TTLCache

from mcpweft.client import Client
from mcpweft.rag.analyser import hint
from mcpweft.rag.answer import Answer, Origin, passages, source_of
from mcpweft.rag.fallback import Fallback
from mcpweft.rag.flights import Flights
from mcpweft.rag.query import MAX_RESULTS, THRESHOLD, Query
from mcpweft.rag.route import Route
from mcpweft.rag.settings import RagSettings
from mcpweft.rag.tooling import USUAL, Searcher, arguments_of, choose
from mcpweft.terms import span
from mcpweft_schemas.connect import StoreUnreachableError
from mcpweft_schemas.errors import (
    InvalidArgumentsError,
    InvalidConfigError,
    RequestTimeoutError,
    UnknownCapabilityError,
)
from mcpweft_schemas.keys import capability_of
from mcpweft_schemas.outcome import Executed
from mcpweft_schemas.rules.tag import untagged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft.rag.analyser import Choice
    from mcpweft.result import Result
    from mcpweft.terms import Duration, Priority

_GRACE_S = 1.0
"""Seconds that whoever answers a question is left to say itself that time is over: it knows more."""
_TOOLS_S, _TOOLS_MOST = 10.0, 1000


class RagClient:
    """Asks the search servers of a fabric: `async with RagClient() as rag`, or `open` and `close`.

    Args:
        client: The client to ask through; one that is open stays its owner's. None: one of its own, which
            finds the fabric as `Client()` does.
        settings: What to do beside; by default what `[rag]` of the nearest `mcpweft.toml` says.

    Raises:
        ConnectionFailedError, InvalidConfigError: on opening, as `Client`; `rag.fallback` names no server.

    """

    def __init__(self, client: Client | None = None, settings: RagSettings | None = None) -> None:
        self._client = client or Client()
        self._owns = False
        self._settings = settings
        self._opened: _Opened | None = None

    async def open(self) -> Self:
        """Find the fabric and be ready; neither it nor the fallback is asked before the first question."""
        if self._opened is not None:
            raise InvalidConfigError("the client is open already", advice="Open it once, or make another.")
        settings = self._settings or RagSettings.found(Path.cwd(), os.environ)
        self._owns = not self._client.is_open
        if self._owns:
            await self._client.open()
        self._opened = _Opened(self._client, settings)
        return self

    async def close(self) -> None:
        """End every wait with SHUTTING_DOWN, and the fallback server."""
        opened, self._opened = self._opened, None
        if opened is not None:
            try:
                await opened.flights.close()
                await opened.route.close()
            finally:
                if self._owns:
                    await self._client.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def query(  # what a question may say, each by its name
        self,
        query: str,
        context: str | None = None,
        max_results: int = MAX_RESULTS,
        threshold: float = THRESHOLD,
        metadata: Mapping[str, Any] | None = None,
        priority: Priority | None = None,
        capability: str | None = None,
        *,
        timeout: Duration | None = None,  # noqa: ASYNC109  # public, as everywhere
    ) -> Answer:
        """Ask a question and return what was found, the best first.

        Args:
            query: The question.
            context: What it is about, beside its own words.
            max_results: 1 to 1000.
            threshold: Relevance, 0 to 1, below which nothing is wanted.
            metadata: Travels to the server as the call's `_meta`.
            priority: 0 to 10 or a class; by default what the question's form hints (`analyser.hint`).
            capability: The pool to ask; by default what the analyser says.
            timeout: Total time, the fallback's included.

        Raises:
            InvalidArgumentsError: the question is none, or a figure of it is out of its bounds.
            FailoverExhaustedError: neither the fabric nor the fallback answered; `attempts` lists all.
            McpweftError: without a fallback, what `Client.call` raises.

        """
        opened = self._here()
        asked = Query(query, context, max_results, threshold, metadata, priority, capability).checked()
        choice = opened.settings.analyser(asked)
        within = span("timeout", timeout, opened.settings.timeout)
        begun = opened.clock()
        key = _key(asked, choice)
        if (kept := opened.kept.get(key)) is not None:
            return _again(kept, opened.clock() - begun)
        try:
            async with asyncio.timeout(within + _GRACE_S):
                # Who has longer, or comes first, is not held back by others.
                same = key, within, asked.priority
                return await opened.flights.join(same, lambda: opened.ask(asked, choice, key, within))
        except TimeoutError:
            raise _overdue(within) from None

    def _here(self) -> _Opened:
        if self._opened is None:
            raise InvalidConfigError(
                "the client is not open", advice="Use it within `async with RagClient() as rag:`."
            )
        return self._opened


class _Opened:
    """What an open client stands on."""

    def __init__(self, client: Client, settings: RagSettings) -> None:
        self.client = client
        self.settings = settings
        self.clock = asyncio.get_running_loop().time
        server = settings.fallback
        tool = None if server is None else settings.tools.get(server.name)
        self.route = Route(None if server is None else Fallback(server, tool), settings.fallback_after)
        self.flights: Flights[Answer] = Flights()
        self.kept: TTLCache[str, Answer] = TTLCache(
            settings.cache_entries if settings.cache else 0, settings.cache or 1.0, self.clock
        )
        self._tools: LRUCache[str, _Tool] = LRUCache(_TOOLS_MOST)

    async def ask(self, query: Query, choice: Choice, key: str, within: float) -> Answer:
        """Ask, and keep the answer where that is allowed."""
        begun = self.clock()
        may_keep = False
        capability = choice.capability
        alone = self.settings.fallback is None

        async def fabric(left: float) -> Result:
            nonlocal may_keep
            known = await self._tool(capability)
            tool, may_keep = known.searcher, known.read_only
            return await self.client.call(
                capability,
                arguments_of(query, tool),
                tool=tool.name,
                priority=hint(query) if query.priority is None else query.priority,
                timeout=left,
                idempotent=True,
                metadata=query.metadata,
                when_unavailable="queue" if alone else "raise",
                when_full="wait" if alone else "raise",
            )

        routed = await self.route.go(capability, query, fabric, within)
        result = routed.result
        went = capability if routed.detour else _went(result, capability)
        found = passages(result.data, query, f"{capability} on server {result.server!r}")
        answer = Answer(
            found,
            Origin(
                query_id=result.request_id,
                server_id=result.server,
                capability=went,
                reason=choice.reason,
                source=source_of(went),
                total_results=len(found),
                processing_time=1000 * (self.clock() - begun),
                queued_ms=result.queued_ms,
                service_ms=result.service_ms,
                attempts=result.attempts,
                fallback=bool(routed.detour),
                fallback_reason=routed.detour,
            ),
        )
        if may_keep and not routed.detour and went == capability and self.kept.maxsize:
            self.kept[key] = answer
        return answer

    async def _tool(self, capability: str) -> _Tool:
        """Return what is known of the tool of a pool that searches."""
        known = self._tools.get(capability)
        if known is not None and self.clock() < known.until:
            return known
        wanted = self.settings.tools.get(capability)
        unknown = _Tool(Searcher(wanted or USUAL, {}))
        try:
            listed = await self.client.tools(capability)
        except UnknownCapabilityError:
            return unknown  # a name that only rules know; the call itself says so, where they do not
        except StoreUnreachableError:
            if known is None:
                raise
            return known  # the call itself waits for the store to come back
        if not listed:  # nobody has served there yet: whoever comes will say
            return unknown
        tool = choose(listed, wanted, f"capability {capability!r}")
        read_only = all(each.read_only for each in listed if each.name == tool.name)
        found = _Tool(Searcher(tool.name, tool.input_schema), read_only, self.clock() + _TOOLS_S)
        self._tools[capability] = found
        return found


@dataclass(frozen=True, slots=True)
class _Tool:
    """What is known of a pool's tool."""

    searcher: Searcher
    read_only: bool = False
    """Whether all of the pool's servers call it so."""
    until: float = 0.0
    """When it is asked for anew."""


def _went(result: Result, capability: str) -> str:
    """Return the capability that answered: rules may send a question elsewhere, or to servers with tags."""
    plain = untagged(capability_of(result.request_id))[0]
    return capability if plain == untagged(capability)[0] else plain


def _key(query: Query, choice: Choice) -> str:
    """Name what decides the answer. Raises InvalidArgumentsError where the metadata is no JSON."""
    decides = (
        choice.capability, query.text, query.context, query.max_results, query.threshold,
        query.metadata and dict(query.metadata),
    )  # fmt: skip
    try:
        return json.dumps(decides, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentsError(
            f"metadata cannot travel: {error}", advice="Give it JSON values under text keys."
        ) from None


def _again(kept: Answer, seconds: float) -> Answer:
    return replace(kept, metadata=replace(kept.metadata, cached=True, processing_time=1000 * seconds))


def _overdue(within: float) -> RequestTimeoutError:
    error = RequestTimeoutError(
        f"the question was not answered within {within:g} s",
        advice="Allow more time, add workers, or name a fallback.",
        executed=Executed.MAYBE,
    )
    error.phase = "attempt"
    return error
