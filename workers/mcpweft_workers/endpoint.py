"""The worker's port: /healthz, /readyz and /metrics, for whoever runs and watches it.

Above stands the worker, which hands in what to answer. Below: a small HTTP server. It must never know what a
metric means.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.httpd import JSON, Answer, Httpd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcpweft_schemas.httpd import Asked, Wire

_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_KNOWN = b'{"error": "GET /healthz, /readyz or /metrics"}'


class Endpoint(Httpd):
    """Serves until its `async with` block is left."""

    def __init__(
        self, host: str, port: int, *, ready: Callable[[], Mapping[str, Any]], metrics: Callable[[], bytes]
    ) -> None:
        """Make one. `ready` answers a map with the key `ready`; `metrics` the text of /metrics."""
        super().__init__(host, port, self._said)
        self._ready = ready
        self._metrics = metrics

    async def _said(self, asked: Asked, wire: Wire) -> None:
        await wire.answer(self._answer_to(asked))

    def _answer_to(self, asked: Asked) -> Answer:
        if asked.method not in {"GET", "HEAD"}:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, JSON, _KNOWN)
        if asked.path == "/healthz":
            return Answer(HTTPStatus.OK, JSON, b'{"alive": true}')
        if asked.path == "/readyz":
            said = self._ready()
            status = HTTPStatus.OK if said["ready"] else HTTPStatus.SERVICE_UNAVAILABLE
            return Answer(status, JSON, json.dumps(said).encode())
        if asked.path == "/metrics":
            return Answer(HTTPStatus.OK, _METRICS, self._metrics())
        return Answer(HTTPStatus.NOT_FOUND, JSON, _KNOWN)
