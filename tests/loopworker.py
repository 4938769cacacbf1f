"""The protocol's other side, small: a loop that fetches requests and settles them with canned handlers.

It speaks only through `Store`, on a real server. A handler takes a Delivery and its arguments and returns an
answer: a value (wrapped as text), an `Answer`, or a `Settle` that says how the delivery ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from mcpweft_schemas import wire
from mcpweft_schemas.connect import Link, StoreUnreachableError
from mcpweft_schemas.ident import worker_id
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.packing import pack
from mcpweft_schemas.store import Reader, Store
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from mcpweft import Client
    from mcpweft.desk import Desk
    from mcpweft_schemas.wire import Delivery, Settlement


@dataclass(frozen=True)
class Answer:
    """A tool's answer."""

    content: Sequence[Mapping[str, Any]] = ()
    structured: Any = None
    is_error: bool = False


@dataclass(frozen=True)
class Settle:
    """Any other end of a delivery."""

    how: str
    code: str
    executed: Executed = Executed.NO
    what: str = ""
    advice: str = ""
    backoff_ms: int = 0


async def waited_for(client: Client, request: str) -> bool:
    """Return whether one producer waits for the request's outcome."""
    return (await client.inspect(request)).waiters == 1


def desk_of(client: Client) -> Desk:
    """Return the inside of an open client."""
    assert client._opened is not None
    return client._opened.desk


Handler: TypeAlias = "Callable[[LoopWorker, Delivery, dict[str, Any]], Awaitable[Any]]"


@dataclass
class LoopWorker:
    """A worker of one capability; `async with LoopWorker(url, namespace, "echo", {...}) as worker`."""

    url: str
    namespace: str
    capability: str
    handlers: Mapping[str, Handler]
    slots: int = 64
    server: str = "loop"
    safe: frozenset[str] = frozenset()
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    fetched: list[str] = field(default_factory=list[str])
    usable: bool = True
    paused: bool = False

    async def __aenter__(self) -> Self:
        self.link = Link.to(self.url)
        self.store = Store(self.link, self.namespace)
        self.id = worker_id(self.server)
        self._held: set[asyncio.Task[None]] = set()
        self._done: list[tuple[Delivery, Settlement]] = []
        self._news = asyncio.Event()
        self.gate = asyncio.Event()
        self.idle = False
        self._open: dict[str, Delivery] = {}
        self.said = -1
        self.cancelled: set[str] = set()
        self._running: dict[str, asyncio.Task[None]] = {}
        await self._register()
        self._tasks = [
            asyncio.create_task(job()) for job in (self._pull, self._beat, self._settle, self._obey)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (*self._tasks, *self._held):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._held, return_exceptions=True)
        await self.link.close()

    async def _register(self) -> None:
        self.reader = Reader(self.id, self.server, self.id, "", 1)
        inc = await self.store.declare(self.capability, f"inc-{self.id}", self.settings)
        self.reader = Reader(self.id, self.server, self.id, inc, 1)
        info = pack({"server": self.server, "host": "h", "pid": 1, "started_ms": 1, "instance": self.id})
        tools = [
            (
                name,
                name in self.safe,
                pack({"name": name, "description": f"does {name}", "input_schema": {"type": "object"},
                           "read_only": name in self.safe, "idempotent": None, "task_required": False}),
            )
            for name in self.handlers
        ]  # fmt: skip
        await self.store.register(self.capability, self.reader, info, tools)
        await self._say()

    async def _say(self) -> Word:
        load = pack({"in_flight": len(self._held), "slots": self.slots, "ok": 1, "errors": 0})
        usable_ms = 2000 if self.usable else 0
        beaten = await self.store.beat(self.capability, self.reader, usable_ms, load)
        self.said = usable_ms
        return beaten.word

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            with contextlib.suppress(StoreUnreachableError):
                if await self._say() is not Word.OK:
                    await self._register()

    async def _pull(self) -> None:
        waiter = self.link.waiter(self.store.keys(self.capability).bell)
        self._room = asyncio.Event()
        try:
            while True:
                free = self.slots - len(self._held)
                self.idle = self.paused
                if free <= 0 or self.paused:
                    self._room.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.05):  # wait_for of 3.11 may swallow a cancel
                            await self._room.wait()
                    continue
                try:
                    got = await self.store.fetch(self.capability, self.reader, free, wire.READS)
                    for delivery in got.deliveries:
                        self._start(delivery)
                    if not got.deliveries or got.word is not Word.OK:
                        due = 2.0 if got.next_due_ms is None else got.next_due_ms / 1000
                        await self.store.wait_bell(waiter, self.capability, min(due, 0.5))
                except StoreUnreachableError:
                    await self._adopt()
        finally:
            with contextlib.suppress(Exception):
                await waiter.close()

    async def _adopt(self) -> None:
        """After a fetch without an answer: take over what it may have delivered."""
        self.reader = replace(self.reader, epoch=self.reader.epoch + 1)
        while True:
            try:
                held = [f"{delivery.stream} {delivery.entry}" for delivery in self._open.values()]
                got = await self.store.adopt(self.capability, self.reader, held)
            except StoreUnreachableError:
                await asyncio.sleep(0.02)
                continue
            for delivery in got.deliveries:
                self._start(delivery)
            return

    def _start(self, delivery: Delivery) -> None:
        self.fetched.append(delivery.id)
        self._open[delivery.id] = delivery
        task = asyncio.create_task(self._run(delivery))
        self._held.add(task)
        self._running[delivery.id] = task
        task.add_done_callback(self._freed)

    def _freed(self, task: asyncio.Task[None]) -> None:
        self._held.discard(task)
        self._room.set()

    async def _run(self, delivery: Delivery) -> None:
        arguments, _ = delivery.request()
        handler = self.handlers.get(delivery.tool)
        try:
            if handler is None:
                said: Any = Settle("done", "UNKNOWN_TOOL", what=f"there is no tool {delivery.tool!r}")
            else:
                said = await handler(self, delivery, arguments)
        except asyncio.CancelledError:
            if delivery.id not in self.cancelled:
                raise
            said = Settle("retry", "CANCELLED", Executed.MAYBE)
        await self.settle(delivery, said)

    async def settle(self, delivery: Delivery, said: Any) -> None:
        """Queue a settlement."""
        if isinstance(said, Settle):
            body = wire.pack_problem(said.what, said.advice) if said.what else b""
            done = wire.Settlement(
                delivery.id, delivery.stream, delivery.entry, said.how, said.code, said.code, said.executed,
                body=body, backoff_ms=said.backoff_ms,
            )  # fmt: skip
        else:
            done = await self._answer(delivery, said)
        self._done.append((delivery, done))
        self._news.set()

    async def _answer(self, delivery: Delivery, said: Any) -> Settlement:
        answer = said if isinstance(said, Answer) else Answer([{"type": "text", "text": str(said)}])
        code = Code.TOOL_ERROR if answer.is_error else Code.OK
        body = wire.pack_answer(answer.content, answer.structured, is_error=answer.is_error)
        chunks = 0
        if len(body) > 1024 * 1024:
            pieces = [body[at : at + wire.PIECE] for at in range(0, len(body), wire.PIECE)]
            await self.store.lay_chunks(self.capability, delivery, pieces, 60_000)
            body, chunks = b"", len(pieces)
        return wire.Settlement(
            delivery.id, delivery.stream, delivery.entry, "done", code, code, Executed.YES, 0.1, body, chunks
        )

    async def _settle(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._done:
                batch, self._done = self._done[:200], self._done[200:]
                while True:
                    try:
                        await self.store.settle(self.capability, self.id, [item for _, item in batch])
                        for delivery, _ in batch:
                            self._open.pop(delivery.id, None)
                        break
                    except StoreUnreachableError:
                        await asyncio.sleep(0.02)

    async def _obey(self) -> None:
        key = self.store.keys(self.capability).control(self.id)
        waiter = self.link.waiter(key)
        position = "0"
        try:
            while True:
                try:
                    got = await self.store.wait_entries(waiter, {key: position})
                except StoreUnreachableError:
                    await asyncio.sleep(0.05)
                    continue
                for entry, said in got.get(key, ()):
                    position = entry
                    request = said[b"id"].decode()
                    task = self._running.get(request)
                    if task is not None and not task.done():
                        self.cancelled.add(request)
                        task.cancel()
        finally:
            with contextlib.suppress(Exception):
                await waiter.close()


async def echo(worker: LoopWorker, delivery: Delivery, arguments: dict[str, Any]) -> Any:
    return Answer([{"type": "text", "text": str(arguments.get("text", ""))}], {"result": arguments})


async def block(worker: LoopWorker, delivery: Delivery, arguments: dict[str, Any]) -> Any:
    await worker.gate.wait()
    return "free"


async def fail(worker: LoopWorker, delivery: Delivery, arguments: dict[str, Any]) -> Any:
    return Answer([{"type": "text", "text": "no such row"}], is_error=True)


async def end(worker: LoopWorker, delivery: Delivery, arguments: dict[str, Any]) -> Any:
    return Settle(
        arguments.get("how", "done"),
        arguments["code"],
        Executed(arguments.get("executed", "no")),
        arguments.get("what", ""),
        arguments.get("advice", ""),
    )


async def large(worker: LoopWorker, delivery: Delivery, arguments: dict[str, Any]) -> Any:
    return Answer([{"type": "text", "text": "x" * arguments["size"]}])


async def steps(worker: LoopWorker, delivery: Delivery, arguments: dict[str, Any]) -> Any:
    for step in range(arguments["n"]):
        body = pack({"progress": step, "total": arguments["n"], "message": f"step {step}"})
        await worker.store.progress(worker.capability, delivery, body)
    await worker.gate.wait()
    return "done"


HANDLERS: Mapping[str, Handler] = {
    "echo": echo,
    "block": block,
    "fail": fail,
    "end": end,
    "large": large,
    "steps": steps,
}
