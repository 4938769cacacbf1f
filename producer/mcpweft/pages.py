"""What a fabric says of itself as JSON, for a command's `--json` and for whoever asks over HTTP.

    /v1/status?capability=…             Client.status, or Client.pool
    /v1/analytics?since=…&capability=…  Client.analytics
    /v1/events?since=…                  Client.events, followed: a stream of server-sent events

A status or analytics is read in a thread of its own, one at a time: putting a week together takes its while,
and who has the port may have to keep a lease meanwhile. An event carries its id, so a reader that comes back
with `Last-Event-ID` goes on behind it.

Above stand the command line, and the coordinator's port, which loads this by name. Below are the client and
the follower. This module must never change anything.
"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, nullcontext
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mcpweft.client import Client
from mcpweft.follower import PLACE, Follower
from mcpweft.terms import span
from mcpweft_schemas.config import Config
from mcpweft_schemas.connect import Link
from mcpweft_schemas.errors import CallerError, InvalidArgumentsError, McpweftError, UnknownCapabilityError
from mcpweft_schemas.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from mcpweft.fleet import FleetStatus, PoolView
    from mcpweft_schemas.event import Event

STATUS, ANALYTICS, EVENTS = "/v1/status", "/v1/analytics", "/v1/events"
_KNOWN = {STATUS: {"capability"}, ANALYTICS: {"capability", "since"}, EVENTS: {"since"}}
_LONGEST_S = 20.0  # that a page may take to be put together
_QUIET_S = 15.0  # after which a reader of events is told that there were none: proxies cut what is silent


def pool_json(pool: PoolView) -> dict[str, Any]:
    """Return a pool's figures as a page has them."""
    return asdict(pool) | {"queue_size": pool.queue_size}


def status_json(status: FleetStatus) -> dict[str, Any]:
    """Return the fleet's figures as a page has them."""
    return asdict(status) | {"pools": [pool_json(pool) for pool in status.pools]}


def event_json(event: Event) -> dict[str, Any]:
    """Return an event as a page has it."""
    return {
        "id": event.id, "at_ms": event.at_ms, "kind": event.kind.value, "who": event.who.value,
        "pool": event.pool, "server": event.server, "worker": event.worker, "reason": event.reason,
        "data": dict(event.data),
    }  # fmt: skip


class Pages:
    """The pages of one fabric."""

    def __init__(self, url: str, namespace: str) -> None:
        self._url = url
        self._namespace = namespace
        self._reader = ThreadPoolExecutor(1, "pages")

    def close(self) -> None:
        """Read no more; who still waits for a page is told that it was cancelled."""
        self._reader.shutdown(wait=False, cancel_futures=True)

    async def read(self, path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        """Return a page's HTTP status and its JSON, which say what went wrong: nothing is raised."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, lambda: asyncio.run(self._read(path, query)))

    def refusal(self, error: McpweftError) -> tuple[int, bytes]:
        """Return the HTTP status of an error, and its JSON."""
        status = HTTPStatus.BAD_REQUEST if isinstance(error, CallerError) else HTTPStatus.SERVICE_UNAVAILABLE
        if isinstance(error, UnknownCapabilityError):
            status = HTTPStatus.NOT_FOUND
        return status, _json({"code": error.code, "error": str(error)})

    async def _read(self, path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        # With a configuration of its own it looks for none where the process happens to stand.
        client = Client(self._url, namespace=self._namespace, config=Config.model_validate({}))
        try:
            check(path, query)
            async with asyncio.timeout(_LONGEST_S), client:
                return HTTPStatus.OK, _json(await _found(client, path, query))
        except McpweftError as error:
            return self.refusal(error)
        except TimeoutError:
            return HTTPStatus.SERVICE_UNAVAILABLE, _json(
                {"code": "TIMEOUT", "error": f"not put together in {_LONGEST_S:g} s"}
            )

    async def events(self, query: Mapping[str, str]) -> AsyncGenerator[bytes]:
        """Yield server-sent events for ever; first the place behind which they are, and when to come back.

        Raises before that: InvalidArgumentsError or InvalidConfigError for what cannot be asked for, and
        StoreUnreachableError.
        """
        check(EVENTS, query)
        async with Link.to(self._url) as link:
            store = Store(link, self._namespace)
            follower = Follower(store, lambda: nullcontext(store), lambda: None)
            since = query.get("since")
            place = await follower.begin(since, follow=True)
            yield f"retry: 1000\nid: {place}\n\n".encode()
            async with aclosing(follower.run(since, follow=True)) as following:
                while True:
                    coming = asyncio.ensure_future(anext(following))
                    try:
                        while not (await asyncio.wait({coming}, timeout=_QUIET_S))[0]:
                            yield b": nothing yet\n\n"
                    finally:
                        coming.cancel()
                        await asyncio.gather(coming, return_exceptions=True)
                    yield _sent(coming.result())


async def _found(client: Client, path: str, query: Mapping[str, str]) -> dict[str, Any]:
    capability = query.get("capability")
    if path == ANALYTICS:
        return asdict(await client.analytics(query.get("since", "1h"), capability))
    if capability is None:
        return status_json(await client.status())
    return pool_json(await client.pool(capability))


def check(path: str, query: Mapping[str, str]) -> None:
    """Raise InvalidArgumentsError for what a page does not know, InvalidConfigError for a bad `since`."""
    since = query.get("since")
    if since is not None and not PLACE.fullmatch(since):
        span("since", since, 0.0)
    if strange := sorted(query.keys() - _KNOWN[path]):
        known = ", ".join(sorted(_KNOWN[path]))
        raise InvalidArgumentsError(f"{path} knows no {', '.join(strange)}", advice=f"It knows {known}.")


def _sent(event: Event) -> bytes:
    mark = f"id: {event.id}\n" if event.id else ""
    return f"{mark}event: {event.kind.value}\ndata: {_json(event_json(event)).decode()}\n\n".encode()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str).encode()
