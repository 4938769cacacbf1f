"""What a coordinator's port says of the fabric: the client's own figures and events, as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from asking import ask, get
from beside import beside
from mcpweft import Client
from mcpweft_coordinator.coordinator import Coordinator, coordinator_id
from mcpweft_coordinator.endpoint import _FOLLOWERS
from mcpweft_schemas.config import Config
from mcpweft_schemas.connect import Link
from mcpweft_schemas.event import Event, Kind, Who
from mcpweft_schemas.store import Store
from proxy import Proxy
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from pool import Pool


@pytest.fixture
async def port(pool: Pool) -> AsyncGenerator[int]:
    async with coordinating(pool.store) as port:
        yield port


@asynccontextmanager
async def coordinating(store: Store) -> AsyncGenerator[int]:
    config = Config.model_validate({"coordinator": {"port": 0}})
    made = Coordinator(store, config, holder=coordinator_id(), clock=time.monotonic, rng=random.Random(5))
    assert made.endpoint is not None
    async with beside(made.run()):
        await made.endpoint.listening.wait()
        yield made.endpoint.port


async def read(port: int, path: str) -> tuple[int, Any]:
    status, body = await get(port, path)
    return status, json.loads(body)


class Ear:
    """A reader of the port's events."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def head(self) -> str:
        """Return the answer's head; it comes first."""
        return await self._until(b"\r\n\r\n")

    async def message(self) -> str:
        return await self._until(b"\n\n")

    async def event(self, kind: Kind) -> dict[str, Any]:
        """Return the next event of a kind; others are passed over."""
        while True:
            lines = (await self.message()).rstrip().splitlines()
            if f"event: {kind.value}" in lines:
                said: dict[str, Any] = json.loads(lines[-1].removeprefix("data: "))
                assert lines[0] == f"id: {said['id']}"
                return said

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _until(self, end: bytes) -> str:
        return (await asyncio.wait_for(self._reader.readuntil(end), 10)).decode()


Ears = Callable[..., Awaitable[Ear]]


@pytest.fixture
async def ears(port: int) -> AsyncGenerator[Ears]:
    """Opens readers, which end with the test."""
    made: list[Ear] = []

    async def listen(query: str = "", header: str = "") -> Ear:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /v1/events{query} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode())
        made.append(Ear(reader, writer))
        return made[-1]

    yield listen
    for ear in made:
        await ear.close()


def told(reason: str) -> Event:
    return Event(Kind.WORKER_LEFT, Who.WORKER, "echo", "echo", "echo.1", reason)


async def tell(store: Store, *reasons: str) -> None:
    await store.tell([told(reason).fields(0) for reason in reasons], 100)


async def test_the_port_has_the_status_of_the_fleet_and_of_a_pool_as_a_client_has_it(
    pool: Pool, port: int
) -> None:
    await pool.accept()
    status, whole = await read(port, "/v1/status")
    assert (status, whole["queue_size"], whole["total_servers"]) == (200, 1, 0)
    assert [(one["capability"], one["queue_size"]) for one in whole["pools"]] == [("echo", 1)]
    status, one = await read(port, "/v1/status?capability=echo")
    assert (status, one["capability"], one["accepted"]) == (200, "echo", 1)
    async with Client(pool.store.link.url, namespace=pool.store.namespace) as client:
        assert list(whole) == list(type(await client.status()).__dataclass_fields__)


async def test_the_port_has_the_analytics_of_a_stretch_of_time(pool: Pool, port: int) -> None:
    status, found = await read(port, "/v1/analytics?since=2d&capability=echo")
    assert (status, found["slot_s"]) == (200, 600)
    assert [one["capability"] for one in found["pools"]] == ["echo"]
    assert (await read(port, "/v1/analytics"))[1]["slot_s"] == 10


@pytest.mark.parametrize(
    ("path", "status", "code", "says"),
    [
        ("/v1/status?capability=ecko", 404, "UNKNOWN_CAPABILITY", "echo"),
        ("/v1/analytics?since=soon", 400, "INVALID_CONFIG", "since"),
        ("/v1/analytics?sinse=1h", 400, "INVALID_ARGUMENTS", "since"),
        ("/v1/events?since=soon", 400, "INVALID_CONFIG", "since"),
        ("/v1/events?since=" + 400 * "9", 400, "INVALID_CONFIG", "since"),
        ("/v1/events?since=" + 30 * "9" + "-1", 400, "INVALID_CONFIG", "since"),
        ("/v1/events?kind=gap", 400, "INVALID_ARGUMENTS", "since"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused_in_words(
    port: int, path: str, status: int, code: str, says: str
) -> None:
    found, said = await read(port, path)
    assert (found, said["code"]) == (status, code)
    assert says in said["error"]


async def test_events_come_as_they_happen_and_a_reader_that_comes_back_misses_none(
    pool: Pool, ears: Ears
) -> None:
    await tell(pool.store, "before")
    ear = await ears("?since=1h")
    assert "text/event-stream" in await ear.head()
    assert re.fullmatch(r"retry: 1000\nid: \d+-0\n\n", await ear.message())
    assert (await ear.event(Kind.WORKER_LEFT))["reason"] == "before"
    await tell(pool.store, "one")
    one = await ear.event(Kind.WORKER_LEFT)
    assert (one["reason"], one["server"]) == ("one", "echo")
    await ear.close()
    await tell(pool.store, "two", "three")
    again = await ears(header=f"Last-Event-ID: {one['id']}\r\n")
    await again.head()
    assert [(await again.event(Kind.WORKER_LEFT))["reason"] for _ in range(2)] == ["two", "three"]


async def test_readers_of_events_are_bounded_and_one_that_goes_makes_room(ears: Ears) -> None:
    first, *others = [await ears() for _ in range(_FOLLOWERS)]
    for ear in (first, *others):
        assert " 200 " in await ear.head()
    assert " 503 " in await (await ears()).head()
    await first.close()

    async def room() -> bool:
        return " 200 " in await (await ears()).head()

    await until(room)


async def test_a_reader_that_heard_nothing_yet_misses_nothing_either(pool: Pool, ears: Ears) -> None:
    await tell(pool.store, "before")
    ear = await ears()
    await ear.head()
    place = (await ear.message()).rstrip().rpartition("id: ")[2]
    await ear.close()
    await tell(pool.store, "one")
    again = await ears(header=f"Last-Event-ID: {place}\r\n")
    await again.head()
    assert (await again.event(Kind.WORKER_LEFT))["reason"] == "one"


async def test_a_coordinator_ends_while_somebody_reads_its_events(pool: Pool) -> None:
    async with asyncio.timeout(10):
        async with coordinating(pool.store) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /v1/events HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"retry")
        writer.close()


@pytest.mark.parametrize(
    "request_line", ["GET //[ HTTP/1.1", "GET", "", "GET /v1/status HTTP/1.1\r\nHost: [", "\x00\xff"]
)
async def test_what_is_no_request_is_refused_and_harms_nobody(
    port: int, request_line: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await ask(port, f"{request_line}\r\n\r\n".encode("latin-1")))[0] in {400, 404, 405}
    assert (await read(port, "/v1/status"))[0] == 200
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_a_page_of_somebody_else_s_in_a_browser_here_is_told_nothing(port: int) -> None:
    for name, status in (("evil.example", 403), ("localhost:80", 200), ("[::1]:80", 200), ("127.0.0.1", 200)):
        request = f"GET /v1/status HTTP/1.1\r\nhost: {name}\r\n\r\n"
        assert (await ask(port, request.encode()))[0] == status


async def test_a_store_that_is_away_is_said_to_be_and_the_port_goes_on(pool: Pool) -> None:
    async with (
        Proxy(pool.store.link.url) as way,
        Link.to(way.url) as link,
        coordinating(Store(link, pool.store.namespace)) as port,
    ):
        assert (await read(port, "/v1/status"))[0] == 200
        await way.shut()
        status, said = await read(port, "/v1/status")
        assert (status, said["code"]) == (503, "CONNECTION_FAILED")
        assert (await read(port, "/v1/events"))[1]["code"] == "CONNECTION_FAILED"
        await way.reopen()
        assert (await read(port, "/v1/status"))[0] == 200
