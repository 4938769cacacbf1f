"""The worker's hold on its one MCP server: always connecting, connected, or waiting to connect again.

One owner task, `run`, makes a `Link`, waits until it is lost, closes it and makes the next one, for ever.
Calls come from any task and go to the link of the moment. Whoever sees a failure first clears `ready`, so
that no call races onto a corpse; in flight calls fail when the wire ends, which is before anything is torn
down.

    CONNECTING ─▶ READY ⇄ DEGRADED        READY: calls are taken. DEGRADED: a fault is being looked at
         ▲          └────────┴──▶ DOWN    DOWN: the next try waits for its backoff
         └────────────────────────┘       CLOSED: `run` has ended, and no process is left

Above stand the worker's reader and runner. Below: link.py. It must never know Redis, requests or retries: a
failed call is told, with whether the tool may have run, and nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mcp import MCPError

from mcpweft_schemas.outcome import Executed
from mcpweft_workers.failure import CallFailed, Cause
from mcpweft_workers.handshake import NoAnswerError
from mcpweft_workers.link import Link
from mcpweft_workers.spec import ServerSpec
from mcpweft_workers.tool import Answer, Tool
from mcpweft_workers.verdict import plain, verdict
from mcpweft_workers.wire import Passage

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

__all__ = ["Answer", "CallFailed", "Cause", "ServerSpec", "Session", "SessionState", "Tool"]

PROBE = 1.0
"""Seconds that a doubted server has to answer."""
RELIST = 0.2
"""Seconds between two readings of the tool list, whatever the server says of changes."""


class SessionState(StrEnum):
    """Where the session stands."""

    CONNECTING = "CONNECTING"
    """A connection is being made."""
    READY = "READY"
    """Calls are taken."""
    DEGRADED = "DEGRADED"
    """A fault was seen; the server is being asked whether it lives."""
    DOWN = "DOWN"
    """The server could not be reached; the next try comes after a backoff."""
    CLOSED = "CLOSED"
    """The session has ended for good."""


class Session:
    """One MCP server, kept connected by `run`; see the module."""

    def __init__(
        self,
        spec: ServerSpec,
        *,
        rng: random.Random,
        on_state: Callable[[SessionState, str], None] | None = None,
        on_tools: Callable[[tuple[Tool, ...]], None] | None = None,
        backoff_base: float = 0.1,
        backoff_cap: float = 10.0,
    ) -> None:
        self.spec = spec
        self.ready = asyncio.Event()
        """Set while calls are taken; cleared by whoever sees a failure first."""
        self.tools: tuple[Tool, ...] = ()
        """What the server listed last; kept while it is away."""
        self.state = SessionState.CONNECTING
        self.reason = ""
        """Why the state is what it is, for people."""
        self.connects = 0
        """Connections that came up, ever."""
        self._mode: str = spec.mode
        self._rng = rng
        self._on_state = on_state
        self._on_tools = on_tools
        self._backoff_base = backoff_base
        self._backoff_cap = backoff_cap
        self._link: Link | None = None
        self._stderr_tail = ""
        self._wake = asyncio.Event()  # something happened that the owner must look at
        self._doubt = ""
        self._changed = False

    @property
    def pids(self) -> int | None:
        """The process id of the stdio server, or None."""
        return None if self._link is None else self._link.pid

    # --- the owner

    async def run(self) -> None:
        """Keep the server connected until cancelled; then close it within its grace. Leaves no process."""
        failures = 0
        try:
            while True:
                self._enter(SessionState.CONNECTING, self.reason)
                came_up, reason = await self._live()
                failures = 0 if came_up else failures + 1
                self._enter(SessionState.DOWN, reason)
                await asyncio.sleep(self._backoff(failures))
        finally:
            self.ready.clear()
            self._enter(SessionState.CLOSED, "closed")

    def _backoff(self, failures: int) -> float:
        """Full jitter: uniform in 0 .. min(cap, base * 2^failures), seconds."""
        return self._rng.uniform(0, min(self._backoff_cap, self._backoff_base * 2 ** min(failures, 30)))

    async def _live(self) -> tuple[bool, str]:
        """Connect and serve once; say whether the connection came up, and why it is gone."""
        link = None
        try:
            link = await self._connect()
            reason = await self._serve(link)
        except Exception as exc:  # noqa: BLE001  # whatever a server or the SDK throws, the owner goes on
            reason = plain(exc)
            if self.spec.name not in reason:
                reason = f"Server {self.spec.name!r}: {reason}"
        return link is not None, reason

    async def _connect(self) -> Link:
        mode, self._mode = self._mode, self.spec.mode
        try:
            link = await self._open(mode)
        except NoAnswerError:
            # Old servers die of a greeting that they do not know: start it again and greet the old way.
            mode = "legacy"
            link = await self._open(mode)
        self._mode = mode  # what worked is tried first next time, and forgotten when it fails
        return link

    async def _open(self, mode: str) -> Link:
        link = Link(self.spec, self._on_end, self._on_list_changed)
        try:
            async with asyncio.timeout(self.spec.connect_timeout):
                await link.connect(mode)
        except BaseException as exc:
            failure = link.wire.ending
            link.wire.end(Cause.CONNECTION_FAILED, "no connection")
            with suppress(Exception):
                await link.close()
            self._stderr_tail = link.stderr_tail
            if isinstance(exc, NoAnswerError) and mode == "auto":
                raise
            if isinstance(exc, TimeoutError):
                text = f"did not answer within {self.spec.connect_timeout:g} s of its start"
                raise ConnectionError(self._with_stderr(text)) from exc
            if failure is not None and isinstance(exc, Exception):
                raise ConnectionError(self._with_stderr(failure[1])) from exc
            raise
        return link

    async def _serve(self, link: Link) -> str:
        """Take calls on this link until it is lost; close it; say why it was lost."""
        self._link, self._doubt, self._changed = link, "", False
        self.connects += 1
        self._publish(link)
        try:
            self._clear(link)
            while link.wire.ending is None:
                await self._wake.wait()
                self._wake.clear()
                if self._doubt:
                    await self._probe(link)
                elif self._changed:
                    await self._relist(link)
            return self._with_stderr(link.wire.ending[1])
        finally:
            self.ready.clear()
            link.wire.end(Cause.CANCELLED, f"The session with server {self.spec.name!r} was closed")
            try:
                await link.close()
            finally:
                self._link, self._stderr_tail = None, link.stderr_tail
                link.closed.set()

    def _publish(self, link: Link) -> None:
        self.tools = link.tools
        if self._on_tools is not None:
            self._on_tools(self.tools)

    def _clear(self, link: Link) -> None:
        """Take calls, unless the link has ended meanwhile."""
        self._doubt = ""
        if link.wire.ending is None:
            self._enter(SessionState.READY, "")
            self.ready.set()

    async def _probe(self, link: Link) -> None:
        doubt = self._doubt
        if await self.ping(PROBE):
            self._clear(link)
        else:
            link.wire.end(Cause.CONNECTION_FAILED, doubt)

    async def _relist(self, link: Link) -> None:
        self._changed = False
        try:
            async with asyncio.timeout(self.spec.connect_timeout):
                await link.list_tools()
        except (MCPError, ValueError, TimeoutError) as exc:
            self._suspect(f"Server {self.spec.name!r} could not list its tools: {plain(exc)}")
        else:
            if link.tools != self.tools:
                self._publish(link)

    # --- what others see first

    def _enter(self, state: SessionState, reason: str) -> None:
        self.state, self.reason = state, reason
        if self._on_state is not None:
            self._on_state(state, reason)

    def _on_end(self, reason: str) -> None:
        if self._link is None or self._link.wire.ending is None:
            return  # a link that is being opened or closed; its owner looks at it anyway
        if self.ready.is_set():
            self.ready.clear()
            self._enter(SessionState.DEGRADED, reason)
        self._wake.set()

    def _suspect(self, reason: str) -> None:
        """Take no calls until the server has been asked."""
        link = self._link
        if not self._doubt and link is not None and link.wire.ending is None:
            self._doubt = reason
            self.ready.clear()
            self._enter(SessionState.DEGRADED, reason)
            self._wake.set()

    def _on_list_changed(self) -> None:
        if not self._changed:
            self._changed = True
            asyncio.get_running_loop().call_later(RELIST, self._wake.set)

    # --- calls

    async def call(
        self,
        tool: str,
        arguments: dict[str, Any],
        *,
        timeout: float,  # noqa: ASYNC109  # it is the attempt's time, and its end is a failure with a cause
        on_progress: Callable[[float, float | None, str | None], None] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> Answer:
        """Call a tool once. `timeout` in seconds. May be cancelled: then the server is told, without waiting.

        Raises:
            CallFailed: there is no answer; its `executed` says whether the tool may have run.

        """
        link = self._link
        if link is None or not self.ready.is_set():
            text = f"Server {self.spec.name!r} is not connected: {self.reason or self.state}"
            raise CallFailed(Cause.CONNECTION_FAILED, text, stderr_tail=self._stderr_tail)
        passage = Passage(on_progress=on_progress)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(timeout):
                reply = await link.call(tool, arguments, meta, passage)
        except TimeoutError as exc:
            text = f"Server {self.spec.name!r} gave no answer within {timeout:g} s"
            raise CallFailed(Cause.ATTEMPT_TIMEOUT, text, executed=passage.executed) from exc
        except Exception as exc:
            failed = verdict(self.spec.name, passage, link.wire.ending, exc)
            self._learn_from(link, failed)
            raise failed from exc
        if reply.result_type == "input_required":
            text = f"Tool {tool!r} asked for input, and nobody here can give it"
            raise CallFailed(Cause.INPUT_REQUIRED, text, executed=Executed.YES)
        service_ms = (time.perf_counter() - started) * 1000
        return Answer(reply.content, reply.structured, reply.is_error, service_ms, reply.meta)

    def _learn_from(self, link: Link, failed: CallFailed) -> None:
        """Draw from one call's failure what it says of the whole session."""
        if failed.cause is Cause.SERVER_DIED:
            failed.stderr_tail = link.stderr_tail
        elif failed.cause is Cause.SESSION_LOST:
            link.wire.end(failed.cause, failed.message)
        elif failed.cause is Cause.CONNECTION_FAILED and link is self._link:
            self._suspect(failed.message)

    # --- health

    async def ping(self, timeout: float) -> bool:  # noqa: ASYNC109  # its end is an answer: no
        """Whether the server answers within `timeout` seconds; that it knows no ping is an answer too."""
        link = self._link
        if link is None:
            return False
        try:
            async with asyncio.timeout(timeout):
                return await link.ping()
        except TimeoutError:
            return False

    async def restart(self, reason: str) -> None:
        """End the server at once and connect again; calls in flight fail. Returns once the old is gone."""
        link = self._link
        if link is not None:
            link.wire.end(Cause.SERVER_DIED, f"Server {self.spec.name!r} was restarted: {reason}")
            await link.closed.wait()

    def cut(self, why: str) -> None:
        """End the server at once, though nothing is wrong with it: calls in flight are cut off."""
        if self._link is not None:
            self._link.wire.hurry = True
            self._link.wire.end(Cause.CANCELLED, f"Server {self.spec.name!r} had to end: {why}")

    def _with_stderr(self, text: str) -> str:
        link = self._link
        tail = (self._stderr_tail if link is None else link.stderr_tail).strip()
        return f"{text}; its stderr ends: {tail[-500:]}" if tail else text
