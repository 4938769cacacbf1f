"""What a worker counts, for Prometheus.

docs/metrics.md lists every name, label and unit; a test holds it to this.
Labels are pool, server, class and outcome only: never a tenant, a request or free text, which would grow
without bound. `outcome` is a code, or the cause of an attempt that was retried, or RELEASED.

Above stand the doers, which count, and the endpoint, which prints. Below: prometheus-client, with a
registry of the worker's own.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mcpweft_schemas.life import Class
    from mcpweft_schemas.word import Word

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BYTES = (256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216)
_M = TypeVar("_M", Counter, Histogram)


def _series(metric: _M) -> Callable[..., _M]:
    """Return what finds a metric's series by its labels: once, for that costs more than to count in it."""
    return cache(cast("Callable[..., _M]", metric.labels))


class Metrics:
    """The figures of one worker; everything is counted on the main loop."""

    def __init__(self, server: str, pools: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._server = server
        self._flow()
        self._standing()
        for pool in pools:  # a series that is there from the start can be told from one that is not
            self._lost_fetches(pool, server)

    def _flow(self) -> None:
        def counter(name: str, text: str, *labels: str) -> Callable[..., Counter]:
            return _series(
                Counter(f"mcpweft_worker_{name}", text, ("pool", "server", *labels), registry=self.registry)
            )

        def histogram(
            name: str, text: str, *labels: str, buckets: Sequence[float] = _SECONDS
        ) -> Callable[..., Histogram]:
            every = ("pool", "server", *labels)
            name = f"mcpweft_worker_{name}"
            return _series(Histogram(name, text, every, buckets=buckets, registry=self.registry))

        self._attempts = counter(
            "attempts", "Deliveries that ended in this worker, by how.", "class", "outcome"
        )
        self._queue = histogram(
            "queue_seconds", "From acceptance until a request's first delivery to this worker.", "class"
        )
        self._attempt = histogram(
            "attempt_seconds", "From a delivery's start in this worker until its end is decided.", "outcome"
        )
        self._service = histogram("service_seconds", "The server's own time for an answer.")
        self._bytes = histogram("result_bytes", "Size of an answer as it is kept.", buckets=_BYTES)
        self._settles = counter(
            "settles", "Settlements, by the store's word; GIVEN_UP where it never answered.", "outcome"
        )
        self._told = counter("progress", "Progress that was passed on.")
        self._lost_fetches = counter(
            "lost_fetches", "Fetches without an answer, after each of which the worker adopted."
        )

    def _standing(self) -> None:
        def gauge(name: str, text: str, labels: tuple[str, ...] = ("server",)) -> Gauge:
            return Gauge(f"mcpweft_worker_{name}", text, labels, registry=self.registry)

        self._slots = gauge("slots", "Calls that may run at a time here.")
        self._busy = gauge("slots_busy", "Calls that run now.")
        self._ready = gauge("ready", "1 while the worker takes work, else 0.")
        self._breaker = gauge("breaker_open", "1 while the breaker admits nothing, 0.5 half open, else 0.")
        self._connects = gauge("server_connects", "Connections to the server that came up since the start.")
        self._lag = gauge("loop_lag_seconds", "How long the main loop took to answer the heartbeat.")
        self._ping = gauge("ping_seconds", "What the last check of the idle server took; none before that.")
        self._unsettled = gauge("unsettled", "Settlements that the store has not answered yet.")
        self._dropped = gauge("events_dropped", "Events of the fleet that were not told since the start.")
        self._moves = Counter(
            "mcpweft_worker_breaker_moves",
            "Moves of the breaker, by the state it went to.",
            ("server", "outcome"),
            registry=self.registry,
        )

    # --- counting

    def ended(self, pool: str, klass: Class, outcome: str) -> None:
        """Count a delivery that ended."""
        self._attempts(pool, self._server, klass.value, str(outcome)).inc()

    def waited(self, pool: str, klass: Class, ms: int) -> None:
        """Count what a request waited for its first delivery."""
        self._queue(pool, self._server, klass.value).observe(max(0, ms) / 1000)

    def served(self, pool: str, outcome: str, took: float, service_ms: float | None, size: int) -> None:
        """Count a run's time (seconds), the server's part of it, and the size of what came out."""
        self._attempt(pool, self._server, str(outcome)).observe(took)
        if service_ms is not None:
            self._service(pool, self._server).observe(service_ms / 1000)
            self._bytes(pool, self._server).observe(size)

    def settled(self, pool: str, word: Word | None) -> None:
        """Count what the store said to a settlement."""
        self._settles(pool, self._server, "GIVEN_UP" if word is None else word.value).inc()

    def told(self, pool: str) -> None:
        """Count progress that was passed on."""
        self._told(pool, self._server).inc()

    def lost_fetch(self, pool: str) -> None:
        """Count a fetch without an answer."""
        self._lost_fetches(pool, self._server).inc()

    def moved(self, state: str) -> None:
        """Count a move of the breaker."""
        self._moves.labels(self._server, state).inc()

    def standing(
        self,
        *,
        slots: int,
        busy: int,
        ready: bool,
        breaker: float,
        connects: int,
        lag: float,
        unsettled: int,
        dropped: int,
    ) -> None:
        """Set the gauges."""
        for gauge, value in (
            (self._slots, slots),
            (self._busy, busy),
            (self._ready, int(ready)),
            (self._breaker, breaker),
            (self._connects, connects),
            (self._lag, lag),
            (self._unsettled, unsettled),
            (self._dropped, dropped),
        ):
            gauge.labels(self._server).set(value)

    def pinged(self, ms: float) -> None:
        """Set what the last check of the idle server took."""
        self._ping.labels(self._server).set(ms / 1000)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
