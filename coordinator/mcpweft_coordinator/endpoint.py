"""The coordinator's port: /healthz, /readyz (its store answers), /metrics (Prometheus), and JSON under /v1.

    /v1/scaling      how many workers each server with min or max should have, and why
    /v1/status       the fleet's figures as they are
    /v1/analytics    what was measured of late
    /v1/events       what happens, as server-sent events

The last three are the client's own (`mcpweft.pages`), for every fabric that the store has of this namespace.

    mcpweft_coordinator_leader                  gauge     1 while this one leads
    mcpweft_coordinator_epoch                   gauge     of its last term
    mcpweft_coordinator_terms_total             counter   terms begun
    mcpweft_coordinator_rounds_total            counter   rounds over all pools
    mcpweft_coordinator_requests_total          counter   by outcome: reclaimed, lost, expired, unserved
    mcpweft_coordinator_workers_retired_total   counter   dead workers removed
    mcpweft_coordinator_link_cuts_total         counter   times that the store stopped answering
    mcpweft_coordinator_faults_total            counter   moves that the store refused
    mcpweft_coordinator_events_dropped_total    counter   events of the fleet that were not told
    mcpweft_launcher_workers                    gauge     by server: ready for work, of this launcher
    mcpweft_launcher_restarts_total             counter   by server: workers that ended by themselves
    mcpweft_wanted_workers                      gauge     by server with min or max: workers it should have
    mcpweft_pool_wanted_workers                 gauge     by pool: the same of all such servers that serve it

Above stands `coordinator`, which hands in the client's pages. This module must never change anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, urlsplit

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from mcpweft_coordinator.wanted import by_pool, shown
from mcpweft_schemas.errors import McpweftError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from mcpweft_coordinator.view import ServerView
    from mcpweft_coordinator.wanted import Wanted
    from mcpweft_schemas.herald import Herald
    from mcpweft_schemas.sweeper import Sweeper

LOG = logging.getLogger("mcpweft.coordinator")
_REQUEST_S = 5.0  # that a request may take to arrive, and an answer to be taken
_PAGE_S = 30.0  # that a page may take to be put together, those before it as well
_FOLLOWERS = 32  # readers of events at a time: each has a connection to the store
_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"
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


class Gauges(Collector):
    """Reads the figures off a sweeper, a launcher and a scaler whenever somebody asks."""

    def __init__(
        self,
        sweeper: Sweeper,
        views: Callable[[], Sequence[ServerView]],
        wanted: Callable[[], Mapping[str, Wanted]],
        herald: Herald,
    ) -> None:
        self._sweeper = sweeper
        self._views = views
        self._wanted = wanted
        self._herald = herald

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        figures = self._sweeper.figures
        room = "mcpweft_coordinator_"
        yield GaugeMetricFamily(room + "leader", "1 while this coordinator leads", int(figures.leading))
        yield GaugeMetricFamily(room + "epoch", "Epoch of its last term", figures.epoch)
        yield CounterMetricFamily(room + "terms", "Terms begun", figures.terms)
        yield CounterMetricFamily(room + "rounds", "Rounds over all pools", figures.rounds)
        requests = CounterMetricFamily(room + "requests", "Requests acted on, by outcome", labels=["outcome"])
        for outcome, count in (
            ("reclaimed", figures.moved), ("lost", figures.lost),
            ("expired", figures.expired), ("unserved", figures.unserved),
        ):  # fmt: skip
            requests.add_metric([outcome], count)
        yield requests
        yield CounterMetricFamily(room + "workers_retired", "Dead workers removed", figures.retired)
        yield CounterMetricFamily(room + "link_cuts", "Times the store stopped answering", figures.cuts)
        yield CounterMetricFamily(room + "faults", "Moves that the store refused", figures.faults)
        dropped = self._herald.dropped
        yield CounterMetricFamily(room + "events_dropped", "Events of the fleet that were not told", dropped)
        workers = GaugeMetricFamily(
            "mcpweft_launcher_workers", "Workers of this launcher that are ready", labels=["server"]
        )
        restarts = CounterMetricFamily(
            "mcpweft_launcher_restarts", "Workers that ended by themselves", labels=["server"]
        )
        for view in self._views():
            workers.add_metric([view.name], view.up)
            restarts.add_metric([view.name], view.restarts)
        yield workers
        yield restarts
        yield from self._scaling()

    def _scaling(self) -> Iterator[Metric]:
        wanted = self._wanted()
        servers = GaugeMetricFamily(
            "mcpweft_wanted_workers", "Workers that a server should have", labels=["server"]
        )
        pools = GaugeMetricFamily(
            "mcpweft_pool_wanted_workers", "Workers that a pool's servers should have", labels=["pool"]
        )
        for name, each in wanted.items():
            servers.add_metric([name], each.wanted)
        for name, pool in by_pool(wanted).items():
            pools.add_metric([name], pool["wanted"])
        yield servers
        yield pools


class Endpoint:
    """A small HTTP server; `run` it in a task that somebody owns."""

    def __init__(
        self,
        gauges: Gauges,
        wanted: Callable[[], Mapping[str, Wanted]],
        connected: Callable[[], bool],
        pages: Pages,
        host: str,
        port: int,
    ) -> None:
        self.port = port
        """The port that it listens on, once it does."""
        self.listening = asyncio.Event()
        self._host = host
        self._wanted = wanted
        self._connected = connected
        self._pages = pages
        self._registry = CollectorRegistry()
        self._registry.register(gauges)
        self._serving: set[asyncio.Task[None]] = set()
        self._sending: set[asyncio.Task[None]] = set()  # readings of events, until they have let go of all
        self._is_local = False  # whether only this host can reach it

    async def run(self) -> None:
        """Answer until cancelled. Raises OSError where the port is taken."""
        server = await asyncio.start_server(self._accept, self._host, self.port)
        host, self.port = server.sockets[0].getsockname()[:2]
        self._is_local = ipaddress.ip_address(host).is_loopback
        LOG.info("listening", extra={"fields": {"host": self._host, "port": self.port}})
        self.listening.set()
        try:
            # Not serve_forever: cancelled, it would wait for the readers of events.
            await asyncio.Event().wait()
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            await asyncio.gather(*self._sending, return_exceptions=True)
            self._pages.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, _, rest = head.partition(" ")
            try:
                target, host = urlsplit(rest.split(" ")[0]), _host(head)
            except ValueError:
                await _reply(writer, HTTPStatus.BAD_REQUEST, _TEXT, b"no request\n")
                return
            query = dict(parse_qsl(target.query, keep_blank_values=True))
            if target.path.startswith(_ROOM) and self._is_local and host not in _LOCAL:
                # Somebody else's page, which a browser here was led to take for its own.
                await _reply(writer, HTTPStatus.FORBIDDEN, _TEXT, b"ask for localhost\n")
            elif method == "GET" and target.path == _EVENTS:
                await self._follow(reader, writer, head, query)
            else:
                await _reply(writer, *await self._answer(method, target.path, query))
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            writer.close()

    async def _answer(self, method: str, path: str, query: Mapping[str, str]) -> tuple[int, str, bytes]:
        if method not in {"GET", "HEAD"}:
            return HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"GET only\n"
        if path in _PAGES:
            return await self._page(path, query)
        found: dict[str, Callable[[], tuple[int, str, bytes]]] = {
            "/healthz": lambda: (HTTPStatus.OK, _TEXT, b"ok\n"),
            "/readyz": self._readiness,
            "/metrics": lambda: (HTTPStatus.OK, _METRICS, generate_latest(self._registry)),
            "/v1/scaling": lambda: (HTTPStatus.OK, _JSON, json.dumps(shown(self._wanted())).encode()),
        }
        return found[path]() if path in found else (HTTPStatus.NOT_FOUND, _TEXT, _KNOWN.encode())

    async def _page(self, path: str, query: Mapping[str, str]) -> tuple[int, str, bytes]:
        try:
            async with asyncio.timeout(_PAGE_S):
                status, body = await self._pages.read(path, query)
        except TimeoutError:
            return HTTPStatus.SERVICE_UNAVAILABLE, _JSON, _error("TIMEOUT", "others are asking too")
        except Exception:
            LOG.exception("a page broke", extra={"fields": {"path": path}})
            return HTTPStatus.INTERNAL_SERVER_ERROR, _JSON, _error("INTERNAL", "see the log")
        return status, _JSON, body

    def _readiness(self) -> tuple[int, str, bytes]:
        if self._connected():
            return HTTPStatus.OK, _TEXT, b"ready\n"
        return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"the store does not answer\n"

    async def _follow(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str, query: dict[str, str]
    ) -> None:
        """Send events until either side ends it; a reader that comes back says behind which it goes on."""
        if len(self._sending) >= _FOLLOWERS:
            body = _error("TOO_MANY_READERS", f"{_FOLLOWERS} read already")
            await _reply(writer, HTTPStatus.SERVICE_UNAVAILABLE, _JSON, body)
            return
        if last := _header(head, "last-event-id"):
            query["since"] = last
        sending = asyncio.create_task(self._send(writer, query))
        gone = asyncio.create_task(_until_closed(reader))
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

    async def _send(self, writer: asyncio.StreamWriter, query: Mapping[str, str]) -> None:
        head = _head(HTTPStatus.OK, "text/event-stream", "Cache-Control: no-store")
        try:
            async with contextlib.aclosing(self._pages.events(query)) as events:
                async for event in events:
                    writer.write(head + event)
                    head = b""
                    async with asyncio.timeout(_REQUEST_S):  # who does not read must not keep the place
                        await writer.drain()
        except McpweftError as error:
            if not head:
                raise
            await _reply(writer, *self._refusal(error))

    def _refusal(self, error: McpweftError) -> tuple[int, str, bytes]:
        status, body = self._pages.refusal(error)
        return status, _JSON, body


async def _reply(writer: asyncio.StreamWriter, status: int, kind: str, body: bytes) -> None:
    writer.write(_head(status, kind, f"Content-Length: {len(body)}") + body)
    async with asyncio.timeout(_REQUEST_S):
        await writer.drain()


async def _until_closed(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(1024):  # a reader of events has nothing more to say
            pass


def _head(status: int, kind: str, more: str) -> bytes:
    lines = [f"HTTP/1.1 {int(status)} {HTTPStatus(status).phrase}", f"Content-Type: {kind}", more]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def _error(code: str, what: str) -> bytes:
    return json.dumps({"code": code, "error": what}).encode()


def _host(head: str) -> str:
    """Return the host that was asked for, without its port; `localhost` where none was named."""
    return urlsplit(f"//{_header(head, 'host') or 'localhost'}").hostname or ""


def _header(head: str, name: str) -> str:
    for line in head.split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.strip().lower() == name:
            return value.strip()
    return ""
