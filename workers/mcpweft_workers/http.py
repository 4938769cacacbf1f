"""The HTTP transports: the SDK's clients, over connections that fail one request at a time.

The SDK lets one failed POST tear the whole session down. `Softened` stands between it and the network: a
fault is noted on the call that met it, the call is failed alone, and the SDK sees an ordinary HTTP answer.
It also knows exactly when a call's first byte goes out, caps answers, bounds the requests whose answer
nobody waits for, and recognises a session that the server has forgotten.

Above stands link.py. Below: relay.py, httpx2. It must never know what a call means.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, nullcontext
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.request import getproxies_environment, proxy_bypass

import httpx2
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from mcpweft_schemas.outcome import Executed
from mcpweft_workers.failure import Cause
from mcpweft_workers.relay import Relay
from mcpweft_workers.respite import respite
from mcpweft_workers.wire import COURTESY, PASSAGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from mcpweft_workers.spec import ServerSpec
    from mcpweft_workers.wire import Passage, Wire

CONNECT = 5.0
"""Seconds for a TCP and TLS connection."""
_ERROR = 400
_TOO_MANY = 429
_LATER = (_TOO_MANY, 503)
_SESSION = "mcp-session-id"
_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


class Http:
    """One server's endpoint, as an async context manager; one use each."""

    pid = None
    stderr_tail = ""

    def __init__(self, spec: ServerSpec, wire: Wire) -> None:
        self._spec = spec
        self._wire = wire
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        spec = self._spec
        try:
            if spec.kind == "sse":
                transport = sse_client(spec.url, headers=spec.headers, httpx_client_factory=self._factory)
            else:
                client = await self._stack.enter_async_context(self._client(spec.headers))
                transport = streamable_http_client(
                    spec.url, http_client=client, max_sse_event_size=spec.max_result
                )
            read, write = await self._stack.enter_async_context(transport)
            await self._stack.enter_async_context(Relay(self._wire, read, write).running())
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _client(self, headers: dict[str, Any] | None) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            headers=headers,
            transport=Softened(self._spec, self._wire),
            # An answer may take as long as its attempt: the attempt's own clock ends it.
            timeout=httpx2.Timeout(None, connect=CONNECT),
        )

    def _factory(
        self,
        headers: dict[str, Any] | None = None,
        timeout: httpx2.Timeout | None = None,  # noqa: ARG002  # the SDK's shape; ours are better
        auth: httpx2.Auth | None = None,  # noqa: ARG002  # credentials are headers here
    ) -> httpx2.AsyncClient:
        return self._client(headers)


class Softened(httpx2.AsyncBaseTransport):
    """The network, with every fault of a POST turned into the failure of its own call."""

    def __init__(self, spec: ServerSpec, wire: Wire) -> None:
        self._spec = spec
        self._wire = wire
        # Without what may be secret: credentials and the query.
        self._place = httpx2.URL(spec.url).copy_with(userinfo=b"", query=None, fragment=None)
        limits = httpx2.Limits(max_keepalive_connections=64)
        self._inner = httpx2.AsyncHTTPTransport(limits=limits, proxy=_proxy(spec.url))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; a POST always gets an answer."""
        if request.method == "DELETE":
            return await self._farewell(request)
        passage = PASSAGE.get()
        try:
            response = await self._exchange(request, passage)
        except TimeoutError:
            return httpx2.Response(202, request=request)  # of a call that was given up
        except httpx2.TransportError as exc:
            if request.method != "POST":
                raise
            text = f"Server {self._spec.name!r} at {self._place} cannot be reached: {_say(exc)}"
            return self._failed(
                request, passage, Cause.CONNECTION_FAILED, text, unsent=isinstance(exc, _UNSENT)
            )
        if request.method != "POST":
            if passage is not None:  # a call's answer that is gone on with
                response.stream = Bounded(response, passage)
            return response
        if response.status_code >= _ERROR:
            return await self._refused(request, response, passage)
        response.stream = Capped(response, self._spec.max_result, passage)
        return response

    async def _exchange(self, request: httpx2.Request, passage: Passage | None) -> httpx2.Response:
        """Send a request; return its answer as soon as it begins."""
        if _is_courtesy(request):
            request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), COURTESY)
        elif passage is not None:
            request.extensions["trace"] = _Trace(passage)
            async with passage.waiting():
                return await self._inner.handle_async_request(request)
        return await self._inner.handle_async_request(request)

    async def _farewell(self, request: httpx2.Request) -> httpx2.Response:
        """End the server's session. What it says to that is neither waited for long nor read far."""
        try:
            async with asyncio.timeout(COURTESY):
                response = await self._inner.handle_async_request(request)
                await self._body(response)
        except TimeoutError:
            return httpx2.Response(202, request=request)
        return response

    async def _refused(
        self, request: httpx2.Request, response: httpx2.Response, passage: Passage | None
    ) -> httpx2.Response:
        body = await self._body(response)
        said = f"HTTP {response.status_code} {response.reason_phrase}"
        if response.status_code in _LATER and (
            response.status_code == _TOO_MANY or "retry-after" in response.headers
        ):
            seconds = respite(response.headers.get("retry-after"), time.time())
            text = f"Server {self._spec.name!r} at {self._place} answered {said}: not before {seconds:g} s"
            if passage is not None:
                passage.respite = seconds
            # A 429 was refused before anything ran; a 503 may come from what stands before a server that did.
            unsent = response.status_code == _TOO_MANY
            return self._failed(request, passage, Cause.RATE_LIMITED, text, unsent=unsent)
        if _SESSION in request.headers and _forgotten(response.status_code, body):
            text = f"Server {self._spec.name!r} no longer knows the session ({said})"
            return self._failed(request, passage, Cause.SESSION_LOST, text)
        if body.lstrip().startswith(b"{") and b'"jsonrpc"' in body and self._spec.kind != "sse":
            return response  # the server's own JSON-RPC error says it best
        text = f"Server {self._spec.name!r} at {self._place} answered {said}"
        return self._failed(request, passage, Cause.CONNECTION_FAILED, text)

    async def _body(self, response: httpx2.Response) -> bytes:
        """Read a refusal's body, and leave it readable."""
        passage = PASSAGE.get()
        stream = Capped(response, self._spec.max_result, passage)
        body = b"".join([chunk async for chunk in stream])
        await stream.aclose()
        response.stream = httpx2.ByteStream(body)
        return body

    def _failed(
        self,
        request: httpx2.Request,
        passage: Passage | None,
        cause: Cause,
        text: str,
        *,
        unsent: bool = False,
    ) -> httpx2.Response:
        """Fail the call alone, and give the SDK an answer that it survives."""
        executed = Executed.NO if unsent else Executed.MAYBE
        message = json.loads(request.content)
        if (
            "method" in message and "id" in message
        ):  # else it is a refusal or a courtesy of the call's, not the call
            if passage is not None:
                passage.fault(cause, text, executed)
            self._wire.fail(message["id"], cause, text, executed)
        if self._spec.kind == "sse":
            return httpx2.Response(202, request=request)
        return httpx2.Response(503, request=request, text=text)


class Bounded(httpx2.AsyncByteStream):
    """An answer's bytes: ends early once nobody wants them."""

    def __init__(self, response: httpx2.Response, passage: Passage | None) -> None:
        self._inner = cast("httpx2.AsyncByteStream", response.stream)  # an async transport gives no other
        self._passage = passage

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._inner)
        while (chunk := await self._next(chunks)) is not None:
            yield chunk

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        """Return the next bytes; None at the end, and where it is given up."""
        try:
            async with nullcontext() if self._passage is None else self._passage.waiting():
                return await anext(chunks, None)
        except TimeoutError:
            return None

    async def aclose(self) -> None:
        """Close the answer under it."""
        await self._inner.aclose()


class Capped(Bounded):
    """Of a call: ends early, with the call told why, over the limit or when the connection breaks, too."""

    def __init__(self, response: httpx2.Response, cap: int, passage: Passage | None) -> None:
        super().__init__(response, passage)
        # An event stream may be of any length; each of its events has the SDK's own cap.
        self._cap = None if "event-stream" in response.headers.get("content-type", "") else cap

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for chunk in super().__aiter__():
                size += len(chunk)
                if self._cap is not None and size > self._cap:
                    self._note(Cause.TOO_LARGE, f"The answer is over {self._cap} bytes", Executed.YES)
                    return
                yield chunk
        except httpx2.TransportError as exc:
            self._note(Cause.CONNECTION_FAILED, f"The answer broke off: {_say(exc)}", Executed.MAYBE)

    def _note(self, cause: Cause, text: str, executed: Executed) -> None:
        if self._passage is not None:
            self._passage.fault(cause, text, executed)


class _Trace:
    """Hears from the connection when the first byte of a request goes out."""

    def __init__(self, passage: Passage) -> None:
        self._passage = passage

    async def __call__(self, event: str, _info: dict[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            self._passage.executed = Executed.MAYBE


def _proxy(url: str) -> str | None:
    """Give the proxy that the environment names for this URL: httpx2 looks there only without a transport."""
    target = httpx2.URL(url)
    if proxy_bypass(target.host):
        return None
    return getproxies_environment().get(target.scheme)


def _is_courtesy(request: httpx2.Request) -> bool:
    """Whether nobody waits for the answer."""
    return b'"notifications/' in request.content[:100]


def _forgotten(status: int, body: bytes) -> bool:
    """Whether a refusal means that the session is unknown: 404 says the spec, 400 say some servers."""
    return status == 404 or (status == 400 and b"session" in body[:1000].lower())  # noqa: PLR2004  # HTTP's own


def _say(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
