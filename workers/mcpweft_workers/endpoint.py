"""The worker's HTTP endpoint: /healthz, /readyz and /metrics, for whoever runs and watches it.

Three GETs need no framework: one request a connection, a bound on its time and size, nothing else is
understood.

Above stands the worker, which hands in what to answer. Below: asyncio. It must never know what a metric
means.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PATIENCE = 5.0  # seconds for a client to say what it wants
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_JSON = "application/json"


class Endpoint:
    """Serves until its `async with` block is left."""

    def __init__(
        self, host: str, port: int, *, ready: Callable[[], Mapping[str, Any]], metrics: Callable[[], bytes]
    ) -> None:
        """Make one. `ready` answers a map with the key `ready`; `metrics` the text of /metrics."""
        self.port = port
        """The port that it listens on, once entered."""
        self._host = host
        self._ready = ready
        self._metrics = metrics
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None, "entered"  # noqa: S101  # the block cannot be left otherwise
        self._server.close()
        for writer in list(self._open):
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_PATIENCE):
                    head = await reader.readuntil(b"\r\n\r\n")
                    status, kind, body = self._answer(head.split(b"\r\n")[0].split(b" "))
                    writer.write(
                        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                        "Connection: close\r\n\r\n".encode()
                        + body
                    )
                    await writer.drain()
        finally:
            self._open.discard(writer)
            writer.close()

    def _answer(self, line: list[bytes]) -> tuple[str, str, bytes]:
        path = line[1].split(b"?")[0] if len(line) > 1 and line[0] == b"GET" else b""
        if path == b"/healthz":
            return "200 OK", _JSON, b'{"alive": true}'
        if path == b"/readyz":
            said = self._ready()
            return (
                ("200 OK" if said["ready"] else "503 Service Unavailable"),
                _JSON,
                json.dumps(said).encode(),
            )
        if path == b"/metrics":
            return "200 OK", _TEXT, self._metrics()
        return "404 Not Found", _JSON, b'{"error": "GET /healthz, /readyz or /metrics"}'
