"""The small HTTP server: what is a request, what is hung up on, and that nothing is left when it ends."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from asking import ask, get
from mcpweft_schemas import httpd
from mcpweft_schemas.httpd import TEXT, Answer, Asked, Httpd, Wire
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


async def echo(asked: Asked, wire: Wire) -> None:
    """Answer with what was asked."""
    body = f"{asked.method} {asked.path} {sorted(asked.query.items())} {asked.host}"
    await wire.answer(Answer(HTTPStatus.OK, TEXT, body.encode()))


async def flood(_: Asked, wire: Wire) -> None:
    """Answer more than anybody who does not read can take."""
    while True:
        await wire.send(bytes(1 << 20))


@pytest.fixture
async def server() -> AsyncGenerator[Httpd]:
    async with Httpd("127.0.0.1", 0, echo) as made:
        yield made


@asynccontextmanager
async def client(server: Httpd, says: bytes = b"") -> AsyncGenerator[asyncio.StreamReader]:
    """Open a connection that the server has accepted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(says)
    await until(lambda: server._serving)
    yield reader
    writer.close()


async def test_a_request_is_told_by_method_path_query_and_host(server: Httpd) -> None:
    assert (server.address, server.port != 0) == ("127.0.0.1", True)
    assert await get(server.port, "/a/b?x=1&y=") == (200, b"GET /a/b [('x', '1'), ('y', '')] localhost")
    request = b"PUT / HTTP/1.1\r\nHOST: [::1]:80\r\n\r\n"
    assert await ask(server.port, request) == (200, b"PUT / [] ::1")


async def test_the_head_alone_is_sent_where_it_is_all_that_was_asked_for(server: Httpd) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"HEAD / HTTP/1.1\r\n\r\n")
    said = await reader.read()
    assert said.endswith(b"Content-Length: 19\r\nConnection: close\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(
    "line", [b"", b"GET", b"GET /", b"GET //[ HTTP/1.1", b"GET / HTTP/1.1\r\nHost: [", b"\x00\xff"]
)
async def test_what_is_no_request_is_answered_so(server: Httpd, line: bytes) -> None:
    assert await ask(server.port, line + b"\r\n\r\n") == (400, b"no request\n")
    assert (await get(server.port, "/"))[0] == 200


async def test_a_request_without_an_end_is_hung_up_on(server: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await ask(server.port, b"x" * 200_000))[0] == 0
    monkeypatch.setattr(httpd, "REQUEST_S", 0.05)
    assert (await ask(server.port, b"GET / HTTP/1.1\r\n"))[0] == 0


async def test_who_does_not_take_the_answer_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpd, "REQUEST_S", 0.05)
    async with Httpd("127.0.0.1", 0, flood) as server, client(server, b"GET / HTTP/1.1\r\n\r\n"):
        await until(lambda: not server._serving)


@pytest.mark.parametrize("says", [b"", b"GET / HTTP/1.1\r\n\r\n"])
async def test_nobody_holds_up_the_end(says: bytes) -> None:
    async with asyncio.timeout(3):
        async with Httpd("127.0.0.1", 0, flood) as server, client(server, says):
            await server.__aexit__()
        assert not server._serving


async def test_a_port_that_is_taken_is_an_error(server: Httpd) -> None:
    with pytest.raises(OSError, match="in use"):
        await Httpd("127.0.0.1", server.port, echo).__aenter__()
