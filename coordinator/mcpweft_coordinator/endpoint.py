"""The coordinator's port: /healthz, /readyz (its store answers), /metrics (Prometheus), and JSON under /v1.

    /v1/scaling      how many workers each server with min or max should have, and why
    /v1/status       the fleet's figures as they are
    /v1/analytics    what was measured of late
    /v1/events       what happens, as server-sent events

The last three are the client's own (`mcpweft.pages`), for every fabric that the store has of this namespace.

Above stands `coordinator`, which hands in the client's pages. Below are `gauges` and a small HTTP server.
This module must never change anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry, generate_latest

from mcpweft_coordinator.wanted import shown
from mcpweft_schemas.errors import McpweftError
from mcpweft_schemas.httpd import JSON, TEXT, Answer, Httpd, head

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from mcpweft_coordinator.gauges import Gauges
    from mcpweft_coordinator.wanted import Wanted
    from mcpweft_schemas.httpd import Asked, Wire

LOG = logging.getLogger("mcpweft.coordinator")
_PAGE_S = 30.0  # that a page may take to be put together, those before it as well
_FOLLOWERS = 32  # readers of events at a time: each has a connection to the store
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_ROOM, _EVENTS = "/v1/", "/v1/events"
_LOCAL = {"localhost", "127.0.0.1", "::1"}
_PAGES = ("/v1/status", "/v1/analytics")
_KNOWN = f"/healthz, /readyz, /metrics, /v1/scaling, {', '.join(_PAGES)} or {_EVENTS}\n"


class Pages(Protocol):
    """What the client's side says of the fabric; `mcpweft.pages` has it."""

    async def read(self, path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        """Return the HTTP status and the JSON of a page."""
        ...

    def events(self, query: Mapping[str, str]) -> AsyncGenerator[bytes]:
        """Yield server-sent events for ever."""
        ...

    def refusal(self, error: McpweftError) -> tuple[int, bytes]:
        """Return the HTTP status and the JSON of what `events` raised."""
        ...

    def close(self) -> None:
        """Read no more."""
        ...


class Endpoint:
    """What the port says; `run` it in a task that somebody owns."""

    def __init__(
        self,
        gauges: Gauges,
        wanted: Callable[[], Mapping[str, Wanted]],
        connected: Callable[[], bool],
        pages: Pages,
        host: str,
        port: int,
    ) -> None:
        self.listening = asyncio.Event()
        self._httpd = Httpd(host, port, self._serve)
        self._wanted = wanted
        self._connected = connected
        self._pages = pages
        self._registry = CollectorRegistry()
        self._registry.register(gauges)
        self._sending: set[asyncio.Task[None]] = set()  # readings of events, until they have let go of all
        self._is_local = False  # whether only this host can reach it

    @property
    def port(self) -> int:
        """The port that it listens on, once it does."""
        return self._httpd.port

    async def run(self) -> None:
        """Answer until cancelled. Raises OSError where the port is taken."""
        try:
            async with self._httpd as httpd:
                self._is_local = ipaddress.ip_address(httpd.address).is_loopback
                LOG.info("listening", extra={"fields": {"host": httpd.address, "port": httpd.port}})
                self.listening.set()
                await asyncio.Event().wait()
        finally:
            await asyncio.gather(*self._sending, return_exceptions=True)
            self._pages.close()

    async def _serve(self, asked: Asked, wire: Wire) -> None:
        if asked.path.startswith(_ROOM) and self._is_local and asked.host not in _LOCAL:
            # Somebody else's page, which a browser here was led to take for its own.
            await wire.answer(Answer(HTTPStatus.FORBIDDEN, TEXT, b"ask for localhost\n"))
        elif asked.method == "GET" and asked.path == _EVENTS:
            await self._follow(asked, wire)
        else:
            await wire.answer(await self._answer(asked))

    async def _answer(self, asked: Asked) -> Answer:
        if asked.method not in {"GET", "HEAD"}:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, TEXT, b"GET only\n")
        if asked.path in _PAGES:
            return await self._page(asked)
        found: dict[str, Callable[[], Answer]] = {
            "/healthz": lambda: Answer(HTTPStatus.OK, TEXT, b"ok\n"),
            "/readyz": self._readiness,
            "/metrics": lambda: Answer(HTTPStatus.OK, _METRICS, generate_latest(self._registry)),
            "/v1/scaling": lambda: Answer(HTTPStatus.OK, JSON, json.dumps(shown(self._wanted())).encode()),
        }
        if asked.path in found:
            return found[asked.path]()
        return Answer(HTTPStatus.NOT_FOUND, TEXT, _KNOWN.encode())

    async def _page(self, asked: Asked) -> Answer:
        try:
            async with asyncio.timeout(_PAGE_S):
                status, body = await self._pages.read(asked.path, asked.query)
        except TimeoutError:
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, "TIMEOUT", "others are asking too")
        except Exception:
            LOG.exception("a page broke", extra={"fields": {"path": asked.path}})
            return _error(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", "see the log")
        return Answer(HTTPStatus(status), JSON, body)

    def _readiness(self) -> Answer:
        if self._connected():
            return Answer(HTTPStatus.OK, TEXT, b"ready\n")
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, TEXT, b"the store does not answer\n")

    async def _follow(self, asked: Asked, wire: Wire) -> None:
        """Send events until either side ends it; a reader that comes back says behind which it goes on."""
        if len(self._sending) >= _FOLLOWERS:
            full = f"{_FOLLOWERS} read already"
            await wire.answer(_error(HTTPStatus.SERVICE_UNAVAILABLE, "TOO_MANY_READERS", full))
            return
        query = dict(asked.query)
        if last := asked.headers.get("last-event-id"):
            query["since"] = last
        sending = asyncio.create_task(self._send(wire, query))
        gone = asyncio.create_task(wire.closed())
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            gone.cancel()
            await asyncio.wait({sending, gone})  # cancelled meanwhile, it leaves them to end by themselves
        if not sending.cancelled() and (error := sending.exception()) and not isinstance(error, OSError):
            LOG.warning("a reading of events broke", extra={"fields": {"error": repr(error)}})

    async def _send(self, wire: Wire, query: Mapping[str, str]) -> None:
        start = head(HTTPStatus.OK, "text/event-stream", "Cache-Control: no-store")
        try:
            async with contextlib.aclosing(self._pages.events(query)) as events:
                async for event in events:
                    await wire.send(start + event)
                    start = b""
        except McpweftError as error:
            if not start:
                raise
            status, body = self._pages.refusal(error)
            await wire.answer(Answer(HTTPStatus(status), JSON, body))


def _error(status: HTTPStatus, code: str, what: str) -> Answer:
    return Answer(status, JSON, json.dumps({"code": code, "error": what}).encode())
