"""The coordinator's port: /healthz, /readyz (its store answers), /metrics (Prometheus), /v1/scaling (JSON).

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

Above stands `coordinator`. This module must never change anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from mcpweft_coordinator.wanted import by_pool, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from mcpweft_coordinator.view import ServerView
    from mcpweft_coordinator.wanted import Wanted
    from mcpweft_schemas.herald import Herald
    from mcpweft_schemas.sweeper import Sweeper

LOG = logging.getLogger("mcpweft.coordinator")
_REQUEST_S = 5.0
_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


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
        sweeper: Sweeper,
        views: Callable[[], Sequence[ServerView]],
        wanted: Callable[[], Mapping[str, Wanted]],
        herald: Herald,
        host: str,
        port: int,
    ) -> None:
        self.port = port
        """The port that it listens on, once it does."""
        self.listening = asyncio.Event()
        self._host = host
        self._sweeper = sweeper
        self._wanted = wanted
        self._registry = CollectorRegistry()
        self._registry.register(Gauges(sweeper, views, wanted, herald))

    async def run(self) -> None:
        """Answer until cancelled. Raises OSError where the port is taken."""
        server = await asyncio.start_server(self._serve, self._host, self.port)
        self.port = server.sockets[0].getsockname()[1]
        LOG.info("listening", extra={"fields": {"host": self._host, "port": self.port}})
        self.listening.set()
        try:
            await server.serve_forever()
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(_REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                status, kind, body = self._answer(head.split(b"\r\n", 1)[0])
                lines = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                writer.write(f"{lines}Connection: close\r\n\r\n".encode() + body)
                await writer.drain()
        writer.close()

    def _answer(self, line: bytes) -> tuple[str, str, bytes]:
        method, _, rest = line.decode("latin-1").partition(" ")
        path = rest.split(" ")[0].split("?")[0]
        if method not in {"GET", "HEAD"}:
            return "405 Method Not Allowed", _TEXT, b"GET only\n"
        found: dict[str, Callable[[], tuple[str, str, bytes]]] = {
            "/healthz": lambda: ("200 OK", _TEXT, b"ok\n"),
            "/readyz": self._readiness,
            "/metrics": lambda: ("200 OK", _METRICS, generate_latest(self._registry)),
            "/v1/scaling": lambda: ("200 OK", _JSON, json.dumps(shown(self._wanted())).encode()),
        }
        if path in found:
            return found[path]()
        return "404 Not Found", _TEXT, b"/healthz, /readyz, /metrics or /v1/scaling\n"

    def _readiness(self) -> tuple[str, str, bytes]:
        if self._sweeper.connected:
            return "200 OK", _TEXT, b"ready\n"
        return "503 Service Unavailable", _TEXT, b"the store does not answer\n"
