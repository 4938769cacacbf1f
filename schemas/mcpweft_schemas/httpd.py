"""A small HTTP server: a connection has one request, a bound on its time and size, an answer, and ends.

    async with Httpd(host, port, serve) as httpd:     await serve(asked, wire) for each request
        httpd.port                                    the port that it listens on

What arrives and is no request is answered 400; who says nothing, or does not take the answer, is hung up on.
Leaving the block ends what is being served. Above stand the ports of workers and coordinators. Below:
asyncio. This module must never know a path.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

REQUEST_S = 5.0
"""That a request may take to arrive, and a piece of an answer to be taken, s."""
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By names in lower case."""
    host: str
    """That was asked for, without its port; `localhost` where none was named."""

    @classmethod
    def read(cls, head: str) -> Self:
        """Read all before the body. Raises ValueError where it is no request."""
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        parts = urlsplit(target)
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        host = urlsplit(f"//{headers.get('host') or 'localhost'}").hostname or ""
        return cls(method, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers, host)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to a request."""

    status: HTTPStatus
    kind: str
    body: bytes


class Wire:
    """The way back to one who asked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.only_head = False
        """Whether the answer's head is all that was asked for."""
        self._reader = reader
        self._writer = writer

    async def answer(self, answer: Answer) -> None:
        """Send a whole answer. Raises TimeoutError, OSError where it is not taken."""
        said = head(answer.status, answer.kind, f"Content-Length: {len(answer.body)}")
        await self.send(said if self.only_head else said + answer.body)

    async def send(self, data: bytes) -> None:
        """Send a piece. Raises TimeoutError or OSError where it is not taken."""
        self._writer.write(data)
        async with asyncio.timeout(REQUEST_S):
            await self._writer.drain()

    async def closed(self) -> None:
        """Return once the other side has closed it; what it says until then is thrown away."""
        with contextlib.suppress(OSError):
            while await self._reader.read(1024):
                pass


def head(status: HTTPStatus, kind: str, more: str) -> bytes:
    """Return all of an answer before its body."""
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", f"Content-Type: {kind}", more]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


class Httpd:
    """Serves until its `async with` block is left."""

    def __init__(self, host: str, port: int, serve: Callable[[Asked, Wire], Awaitable[None]]) -> None:
        """Make one; `port` 0 takes any free one."""
        self.port = port
        """The port that it listens on, once entered."""
        self.address = ""
        """The address that it listens on, once entered."""
        self._host = host
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listen. Raises OSError where the port is taken."""
        self._server = await asyncio.start_server(self._accept, self._host, self.port)
        self.address, self.port = self._server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._answer(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        try:
            async with asyncio.timeout(REQUEST_S):
                arrived = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            try:
                asked = Asked.read(arrived)
            except ValueError:
                await wire.answer(Answer(HTTPStatus.BAD_REQUEST, TEXT, b"no request\n"))
            else:
                wire.only_head = asked.method == "HEAD"
                await self._serve(asked, wire)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            writer.close()
