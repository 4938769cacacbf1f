"""A worker's standing in one pool: declared, registered with its server's tools, known by a Reader.

One owner task, `run`, joins the pool, and joins again when the store has forgotten the worker (wiped, or
it was taken for dead) or when the server lists other tools. Everybody else reads `reader` and says `lost`
when an answer shows that it no longer holds.

Above stand the fetcher, settler, heartbeat and control stream of the same capability. Below: the store. It
must never know MCP sessions: what the tools are is told by a function.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.errors import InvalidArgumentsError
from mcpweft_schemas.event import Kind
from mcpweft_schemas.packing import pack, unpack
from mcpweft_schemas.store import Reader
from mcpweft_workers.log import event
from mcpweft_workers.tool import Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mcpweft_schemas.limits import Limits
    from mcpweft_schemas.store import Store
    from mcpweft_schemas.wire import Delivery, Settlement
    from mcpweft_workers.backoff import Patience


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the worker is, as the store knows it."""

    worker: str
    server: str
    """The server's name in the pool's tool table."""
    instance: str
    """What counts as having tried a request: the server where workers share one, else the worker."""
    info: bytes
    """What it says of itself when it registers."""


class Binding:
    """One pool that the worker serves."""

    def __init__(  # noqa: PLR0913  # its parts, each by its name
        self,
        store: Store,
        capability: str,
        identity: Identity,
        *,
        settings: Mapping[str, Any],
        tools: Callable[[], Sequence[Tool] | None],
        is_safe: Callable[[Tool], bool],
        limits: Callable[[Sequence[Tool]], Limits],
        patience: Patience,
        epoch: int,
        tell: Callable[[Kind, str, Mapping[str, Any]], None],
    ) -> None:
        self.store = store
        self.capability = capability
        self.identity = identity
        self.reader: Reader | None = None
        """How the store knows the worker in this pool; None while it does not."""
        self.joined = asyncio.Event()
        """Set while `reader` is believed to hold."""
        self.told = asyncio.Event()
        """Set once the pool has the tools that the server itself listed: which of them are safe is known."""
        self.held: dict[str, Delivery] = {}
        """Every delivery that was fetched and is not settled yet, by its `token`."""
        self._settings = settings
        self._tools = tools
        self._is_safe = is_safe
        self._limits = limits
        self._patience = patience
        self._epoch = epoch
        self._tell = tell
        self._wanted = asyncio.Event()
        self._wanted.set()

    async def run(self) -> None:
        """Keep the worker registered until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while True:
                try:
                    await self._join()
                except Exception as error:  # noqa: BLE001  # whatever the store says, a worker goes on trying
                    event(logging.WARNING, "not registered", pool=self.capability, error=str(error))
                    await asyncio.sleep(self._patience.next())
                else:
                    break
            self._patience.reset()

    async def _join(self) -> None:
        """Declare the pool and register in it. Raises what the store raises."""
        reader = self.reader
        if reader is None:
            fresh = uuid.uuid4().hex
            incarnation = await self.store.declare(self.capability, fresh, self._settings)
            if incarnation == fresh:
                self._tell(Kind.POOL_DECLARED, self.capability, {})
            self._epoch += 1
            who = self.identity
            reader = Reader(who.worker, who.server, who.instance, incarnation, self._epoch)
        listed = tools = self._tools()
        if tools is None:  # not connected yet: what was known of the server stays known
            tools = await self._known_tools()
        rows = [(tool.name, self._is_safe(tool), describe(tool)) for tool in tools]
        limits = self._limits(tools)
        found = await self.store.register(self.capability, reader, self.identity.info, rows, limits)
        if found != reader.incarnation:  # wiped in between
            self.reader = None
            self.joined.clear()
            self._wanted.set()
            return
        if self.reader is None:
            event(logging.INFO, "registered", pool=self.capability, tools=len(rows), epoch=reader.epoch)
            self._tell(Kind.WORKER_JOINED, self.capability, {"tools": len(rows)})
        self.reader = replace(reader, epoch=self._epoch)
        self.joined.set()
        if listed is not None:
            self.told.set()

    async def _known_tools(self) -> list[Tool]:
        prefix = f"{self.identity.server}/"
        table = await self.store.tools(self.capability)
        return [read_tool(text) for name, text in table.items() if name.startswith(prefix)]

    def lost(self, reader: Reader) -> None:
        """Note that the store no longer knows `reader`; join again unless that has been done."""
        if self.reader is not None and self.reader.incarnation == reader.incarnation:
            event(logging.WARNING, "forgotten by the store", pool=self.capability)
            self.reader = None
            self.joined.clear()
            self._wanted.set()

    def retell(self) -> None:
        """Register again with the tools that the server lists now."""
        self._wanted.set()

    def raise_epoch(self) -> Reader | None:
        """Return the reader with a higher epoch, which makes older fetches stale; None if not joined."""
        if self.reader is not None:
            self._epoch += 1
            self.reader = replace(self.reader, epoch=self._epoch)
        return self.reader


def token(delivery: Delivery | Settlement) -> str:
    """Return a delivery's fencing token: the streams of two classes may issue the same entry id."""
    return f"{delivery.stream} {delivery.entry}"


def describe(tool: Tool) -> bytes:
    """Return what the tool table says of a tool; a schema that cannot travel is left out."""
    row = {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "read_only": tool.read_only,
        "idempotent": tool.idempotent,
        "task_required": tool.task_required,
    }
    try:
        return pack(row)
    except InvalidArgumentsError:
        return pack(row | {"input_schema": {}})


def read_tool(text: bytes) -> Tool:
    """Read a row of the tool table."""
    row: dict[str, Any] = unpack(text)
    return Tool(**{name: row[name] for name in Tool.__dataclass_fields__ if name in row})
