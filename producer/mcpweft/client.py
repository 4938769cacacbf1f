"""The client: what a service uses to call tools through the fabric.

    async with Client() as client:
        result = await client.call("github.create_issue", {"title": "…"}, timeout="20s")

Above stands the user. Below are the desk (requests), the fleet (figures) and the inquiry (one request). It is
bound to the event loop that it was opened in. This module must never decide how a request travels.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mcpweft.desk import Desk
from mcpweft.fleet import Fleet
from mcpweft.follower import Follower
from mcpweft.handle import Handle
from mcpweft.inquiry import read_inquiry
from mcpweft.mapping import Mapped
from mcpweft.outcome import problem, read_result, tool_error
from mcpweft.routing import routed
from mcpweft.rulebook import Rulebook
from mcpweft.terms import Defaults, Terms, read_terms, span
from mcpweft_schemas.connect import Link
from mcpweft_schemas.errors import (
    InvalidConfigError,
    RequestTimeoutError,
    ResultExpiredError,
    ShuttingDownError,
    UnknownCapabilityError,
)
from mcpweft_schemas.ident import request_id
from mcpweft_schemas.keys import NAME, capability_of
from mcpweft_schemas.life import Class
from mcpweft_schemas.locate import FABRIC, locate
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.store import Store
from mcpweft_schemas.wire import DURABLE, PROGRESS, STORED
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable, Mapping
    from typing import Unpack

    from mcpweft.analytics import Analytics
    from mcpweft.fleet import FleetStatus, PoolView, Tool
    from mcpweft.inquiry import Inquiry
    from mcpweft.result import Result
    from mcpweft.stub import Decorator
    from mcpweft.terms import CallOptions, Duration, Listener
    from mcpweft_schemas.config import Config
    from mcpweft_schemas.connect import Credentials
    from mcpweft_schemas.event import Event
    from mcpweft_schemas.wire import Reply

_SURE = STORED + DURABLE + PROGRESS


class Client:
    """Calls tools through the fabric: `async with Client() as client`, or `open` and `close`.

    Args:
        url: Where the store is; by default as `mcpweft_schemas.locate` finds it: `MCPWEFT_URL`, the nearest
            `mcpweft.toml`, a running `mcpweft up`.
        namespace: Which fabric on that store.
        config: A configuration to take url, namespace and defaults from, instead of looking for one.
        name: Which running `mcpweft up` to look for.
        credentials: A redis-py CredentialProvider.

    Raises:
        ConnectionFailedError: on opening: nobody says where the fabric is.
        InvalidConfigError: on opening: what says so is wrong.

    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str | None = None,
        config: Config | None = None,
        name: str = FABRIC,
        credentials: Credentials | None = None,
    ) -> None:
        self._url = url
        self._namespace = namespace
        self._config = config
        self._name = name
        self._credentials = credentials
        self._opened: _Opened | None = None
        self._plain = Terms()
        self._over = False

    # -- opening and closing -------------------------------------------------------------------------------

    async def open(self) -> Self:
        """Find the fabric and be ready; nothing is sent before the first call."""
        if self._opened is not None:
            raise InvalidConfigError("the client is open already", advice="Open it once, or make another.")
        url, namespace, defaults = self._place()
        link = Link.to(url, self._credentials)
        store = Store(link, namespace)
        self._plain = read_terms({}, defaults)
        self._opened = _Opened(store, Desk(store, defaults.outstanding), defaults)
        self._over = False
        return self

    def _place(self) -> tuple[str, str, Defaults]:
        config = self._config
        if config is not None and (url := self._url or config.redis.url):
            return url, self._namespace or config.namespace, Defaults.of(config)
        namespace = self._namespace or (config.namespace if config is not None else None)
        place = locate(self._url, namespace=namespace, fabric=self._name)
        defaults = Defaults.of(config) if config is not None else Defaults.found(Path.cwd(), os.environ)
        return place.url, place.namespace, defaults

    @property
    def is_open(self) -> bool:
        """Whether it can be used now."""
        return self._opened is not None

    async def close(self) -> None:
        """End every wait with SHUTTING_DOWN and let go of the store; what was accepted goes on."""
        opened, self._opened = self._opened, None
        self._over = True
        if opened is not None:
            try:
                await opened.desk.close()
            finally:
                await opened.store.link.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _here(self) -> _Opened:
        opened = self._opened
        if opened is None:
            what = "the client is closed" if self._over else "the client was not opened"
            raise ShuttingDownError(what, advice="Use it within `async with Client() as client:`.")
        if opened.loop is not asyncio.get_running_loop():
            raise InvalidConfigError(
                "the client was opened in another event loop",
                advice="Open one in each loop, or use SyncClient, which has a loop of its own.",
            )
        return opened

    # -- calling -------------------------------------------------------------------------------------------

    async def call(
        self, name: str, arguments: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> Result:
        """Call a tool and return its answer.

        Args:
            name: `capability.tool`, or a capability with `tool=` (or with one tool only).
            arguments: The tool's arguments: JSON values.
            **options: See `CallOptions`.

        Raises:
            ToolError: the tool ran and said that it failed (not with `raise_on_tool_error=False`).
            CallerError, ToolFailure, FabricError: the rest of the tree, see `mcpweft.errors`.

        """
        opened = self._here()
        terms = read_terms(options, opened.defaults) if options else self._plain
        return await self._call(opened, name, arguments or {}, terms)

    async def _call(self, opened: _Opened, name: str, arguments: Mapping[str, Any], terms: Terms) -> Result:
        capability, tool, terms = await self._target(opened, name, arguments, terms)
        desk = opened.desk
        submission = terms.submission(request_id(capability), tool, arguments, waiter=desk.producer)
        reply = await desk.ask(
            capability, submission, patient=terms.patient, stop=terms.stop, on_progress=terms.on_progress
        )
        return await self._read(
            opened, reply, f"{capability}.{tool}", raise_on_tool_error=terms.raise_on_tool_error
        )

    async def submit(
        self, name: str, arguments: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> Handle:
        """Hand a request in and return at once when it is accepted; its outcome is kept for an hour.

        It goes on whatever becomes of this process. Takes and raises what `call` does, the timeout being 1 h.
        """
        opened = self._here()
        terms = read_terms(options, opened.defaults, stored=True)
        given = arguments or {}
        capability, tool, terms = await self._target(opened, name, given, terms)
        submission = terms.submission(request_id(capability), tool, given, waiter="", flags=_SURE)
        accepted = await opened.desk.submit(capability, submission, patient=terms.patient)
        return Handle(self, accepted, raise_on_tool_error=terms.raise_on_tool_error)

    def map(
        self,
        name: str,
        items: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
        *,
        ordered: bool = True,
        window: int = 256,
        **options: Unpack[CallOptions],
    ) -> Mapped:
        """Call a tool for each item's arguments; iterate over the results, or the errors in their place.

            async for outcome in client.map("search.find", ({"q": q} for q in queries)):
                if isinstance(outcome, McpweftError): …

        Args:
            name: As for `call`.
            items: The arguments of each call. Read only as far as there is room.
            ordered: Whether results come in the items' order, or as they are completed.
            window: How many requests are open (or, if ordered, also waiting for an earlier one) at most.
            **options: As for `call`; the priority is low by default.

        """
        return Mapped(self.caller(name, options), items, ordered=ordered, window=window)

    def caller(
        self, name: str, options: CallOptions
    ) -> Callable[[Mapping[str, Any]], Coroutine[Any, Any, Result]]:
        """Return what calls a tool with given arguments, as `map` does: the options are checked once."""
        opened = self._here()
        terms = read_terms(options, opened.defaults, klass=Class.LOW)
        return lambda arguments: self._call(opened, name, arguments, terms)

    def tool(self, name: str, **options: Unpack[CallOptions]) -> Decorator:
        """Make a typed stub of an annotated function: its parameters are the tool's arguments.

        @client.tool("github.create_issue", idempotent=False, timeout="20s")
        async def create_issue(title: str, body: str = "") -> Issue: ...

        issue = await create_issue(title="…")
        """
        from mcpweft.stub import decorator  # noqa: PLC0415  # pydantic is loaded by those who use it

        return decorator(self, name, options)

    async def _target(
        self, opened: _Opened, name: str, arguments: Mapping[str, Any], terms: Terms
    ) -> tuple[str, str, Terms]:
        """Return where a call goes and on which terms, once the rules have had their word."""
        capability, dot, tool = name.partition(".")
        if not NAME.fullmatch(capability):
            raise InvalidConfigError(
                f"{name!r} names no capability",
                advice='Write "capability.tool"; a capability is 1 to 64 of a-z, 0-9, "_" and "-".',
            )
        if dot and terms.tool is not None:
            raise InvalidConfigError(
                f"the tool is given twice, in {name!r} and as tool={terms.tool!r}", advice="Give it once."
            )
        chosen = terms.tool or tool
        rules = opened.rulebook.fresh
        if rules is None:
            rules = await opened.rulebook.current(terms.timeout)
        if rules:
            if not chosen and rules.asks_tool:  # else who leaves it out would pass by
                with contextlib.suppress(UnknownCapabilityError):  # a name that only rules know
                    chosen = await opened.fleet.only_tool(capability)
            capability, terms = routed(rules, capability, chosen, arguments, terms)
        return capability, chosen or await opened.fleet.only_tool(capability), terms

    async def _read(self, opened: _Opened, reply: Reply, name: str, *, raise_on_tool_error: bool) -> Result:
        """Return an outcome as a Result, or raise what it stands for."""
        if reply.code not in (Code.OK, Code.TOOL_ERROR):
            raise problem(reply, name)
        body = reply.body
        if reply.chunks:
            async with opened.desk.command() as store:
                laid = await store.chunks(capability_of(reply.id), reply)
            if laid is None:
                raise _chunks_gone(reply, name)
            body = laid
        result = read_result(reply, body)
        if result.is_error and raise_on_tool_error:
            raise tool_error(result, name)
        return result

    # -- requests by id ------------------------------------------------------------------------------------

    async def result(
        self,
        request_id: str,
        timeout: Duration | None = None,  # noqa: ASYNC109  # public, as everywhere
        *,
        raise_on_tool_error: bool = True,
    ) -> Result:
        """Wait for the outcome of a request, whoever enqueued it, and return it as `call` does.

        Raises RequestTimeoutError where `timeout` passed first (the request goes on), ResultExpiredError
        where nothing is known of it, or its outcome is not kept any more, and what the outcome stands for.
        """
        opened = self._here()
        reply = await self._follow(opened, request_id, timeout, None)
        return await self._read(
            opened, reply, f"request {request_id}", raise_on_tool_error=raise_on_tool_error
        )

    async def wait(
        self,
        request_id: str,
        timeout: Duration | None = None,  # noqa: ASYNC109  # public, as everywhere
        *,
        on_progress: Listener | None = None,
    ) -> bool:
        """Wait until a request has ended, however; return False where `timeout` passed first."""
        opened = self._here()
        try:
            await self._follow(opened, request_id, timeout, on_progress)
        except RequestTimeoutError:
            return False
        return True

    async def _follow(
        self, opened: _Opened, request_id: str, limit: Duration | None, on_progress: Listener | None
    ) -> Reply:
        if limit is None:
            return await opened.desk.follow(request_id, on_progress=on_progress)
        seconds = span("timeout", limit, 0.0)
        try:
            async with asyncio.timeout(seconds):
                return await opened.desk.follow(request_id, on_progress=on_progress)
        except TimeoutError:
            error = RequestTimeoutError(
                f"request {request_id} had not ended after {seconds:g} s of waiting, and goes on",
                advice="Wait again, look at it with `inspect`, or cancel it.",
                executed=Executed.MAYBE,
                request_id=request_id,
            )
            error.phase = "wait"
            raise error from None

    async def cancel(self, request_id: str) -> bool:
        """End a request for everybody who waits for it; return False where it had ended already.

        A running one is stopped on its server, within a second or so. Raises ResultExpiredError where nothing
        is known of it.
        """
        opened = self._here()
        capability = _pool(request_id)
        word = await opened.desk.run_cancel(capability, request_id, "", stop=True)
        if word is Word.UNKNOWN:
            raise _never_known(request_id)
        return word is not Word.SETTLED

    async def inspect(self, request_id: str) -> Inquiry:
        """Return all that is known of a request. Raises ResultExpiredError where that is nothing."""
        opened = self._here()
        capability = _pool(request_id)
        async with opened.desk.command() as store:
            found = await store.inspect(capability, request_id)
        if found is None:
            raise _never_known(request_id)
        return read_inquiry(capability, found)

    # -- the fleet -----------------------------------------------------------------------------------------

    async def pools(self) -> list[str]:
        """Return the capabilities that are registered, with or without workers."""
        return await self._here().fleet.pools()

    async def tools(self, capability: str | None = None) -> list[Tool]:
        """Return the tools, with schemas, of one capability or of all; raises UnknownCapabilityError."""
        return await self._here().fleet.tools(capability)

    async def status(self) -> FleetStatus:
        """Return the figures of the fleet and of each pool; None for what nobody knows."""
        return await self._here().fleet.status()

    async def pool(self, capability: str) -> PoolView:
        """Return one pool's figures; raises UnknownCapabilityError."""
        return await self._here().fleet.pool(capability)

    async def analytics(
        self, since: Duration = "1h", capability: str | None = None, *, rehearse: bool = False
    ) -> Analytics:
        """Return what was measured of all pools or of one: figures, failovers, recommendations.

        Args:
            since: How far back, a week at most: in slots of 10 s up to an hour, of 10 min beyond it.
            capability: Which pool; None: all. Raises UnknownCapabilityError.
            rehearse: Whether to run the recorded load under other strategies in the simulator, and to
                recommend by that: some 10 s of one processor for each pool, in a thread.

        """
        from mcpweft.analytics import Historian, rehearsed  # noqa: PLC0415  # loaded by those who ask

        historian = Historian(self._here().desk.command)
        found = await historian.look(span("since", since, 0.0), capability, loads=rehearse)
        return await rehearsed(found) if rehearse else found

    def events(self, since: Duration | None = None, *, follow: bool = False) -> AsyncGenerator[Event]:
        """Iterate over what happened in the fleet, oldest first; with `follow`, over what happens, for ever.

        A followed reading survives a cut connection without a gap or a double; where its place on the stream
        is gone, an event of kind `gap` says so.

        Args:
            since: How far back to begin, or an event's id to go on behind it. None: with all that are kept,
                or, when following, with what comes.
            follow: Whether to wait for more.

        Raises:
            ShuttingDownError: while following: the client was closed.

        """
        opened = self._here()

        def check() -> None:
            if self._opened is not opened:
                self._here()

        return Follower(opened.store, opened.desk.command, check).run(since, follow=follow)


class _Opened:
    """What an open client stands on."""

    def __init__(self, store: Store, desk: Desk, defaults: Defaults) -> None:
        self.store = store
        self.desk = desk
        self.defaults = defaults
        self.loop = asyncio.get_running_loop()
        self.fleet = Fleet(desk.command, self.loop.time)
        self.rulebook = Rulebook(store, defaults.rules, desk.chores, self.loop.time)


def _pool(request_id: str) -> str:
    try:
        return capability_of(request_id)
    except ValueError:
        raise _never_known(request_id) from None


def _never_known(request_id: str) -> ResultExpiredError:
    return ResultExpiredError(
        f"nothing is known of request {request_id!r}: it ended and was forgotten, or the id was never known",
        advice="Check the id and the namespace.",
        executed=Executed.MAYBE,
        request_id=request_id,
    )


def _chunks_gone(reply: Reply, name: str) -> ResultExpiredError:
    return ResultExpiredError(
        f"the answer of {name} was too large to travel in one piece, and its pieces are gone",
        advice="Fetch large results within their time.",
        executed=reply.executed,
        request_id=reply.id,
        attempts=reply.attempts,
    )
