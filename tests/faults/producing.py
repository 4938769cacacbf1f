"""A producer as a process: makes the calls that it is told on standard input, and logs all that it is told.

    python tests/faults/producing.py --url URL --namespace NS --log FILE

Each line of standard input is a call: {"nonce", "name", "arguments", "options", "safe", "answer", "how"},
`how` being `call`, `submit` (and wait for its outcome), `leave` (submit only), `cancel` or `inspect` (call,
and do that once it is accepted), `progress` (call, and hear of it) or `follow` (wait for the request `id`
that somebody else made). A line {"stall": SECONDS} has the event loop stand still. The end of input ends the
process once every call has ended.

The log is JSON lines, each written at once: `sent` before anything else, `accepted` as soon as the store has
said so, `outcome` when the caller has it. What the store says is read where the client reads it, at
`Store.enqueue`: a call's id is nobody's business before its end otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mcpweft import Client
from mcpweft.errors import McpweftError
from mcpweft_schemas.connect import StoreUnreachableError
from mcpweft_schemas.packing import unpack
from mcpweft_schemas.store import Store
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from mcpweft.result import Result
    from mcpweft.terms import CallOptions, Listener
    from mcpweft_schemas.store import Enqueued
    from mcpweft_schemas.wire import Submission

_T = TypeVar("_T")


class Log:
    """A file of JSON lines; a line that was written outlives the process."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, **fields: Any) -> None:
        os.write(self._file, json.dumps({**fields, "time": time.time()}).encode() + b"\n")


class Producer:
    """Makes calls with one client."""

    def __init__(self, client: Client, log: Log) -> None:
        self._client = client
        self._log = log
        self._ids: dict[str, asyncio.Future[str]] = {}

    def hear(self) -> None:
        """Log what the store says of each request."""
        enqueue = Store.enqueue

        async def logged(store: Store, capability: str, items: Sequence[Submission]) -> Enqueued:
            answer = await enqueue(store, capability, items)
            for item, accepted in zip(items, answer.items, strict=True):
                if accepted.word in {Word.OK, Word.REPEAT, Word.ATTACHED}:
                    self._accepted(unpack(item.body)["arguments"]["_nonce"], accepted.id)
            return answer

        cast("Any", Store).enqueue = logged

    def _accepted(self, nonce: str, request_id: str) -> None:
        known = self._id(nonce)
        if not known.done():
            known.set_result(request_id)
            self._log.write(event="accepted", id=request_id, nonce=nonce)

    def _id(self, nonce: str) -> asyncio.Future[str]:
        return self._ids.setdefault(nonce, asyncio.get_running_loop().create_future())

    async def make(self, call: dict[str, Any]) -> None:
        """Make one call and log how it ends."""
        nonce = call["nonce"]
        told = {key: call[key] for key in ("safe", "answer", "how")}
        options = call["options"]
        told |= {"tenant": options.get("tenant", ""), "most": options.get("max_attempts", 3)}
        self._log.write(event="sent", nonce=nonce, keyed="idempotency_key" in options, **told)
        try:
            result = await self._result(call)
        except McpweftError as error:
            attempts = [(a.server, a.worker, a.cause, a.executed.value) for a in error.attempts]
            self._outcome(nonce, error.request_id, error.code, error.executed.value, None, attempts)
        else:
            if result is not None:
                code = "TOOL_ERROR" if result.is_error else "OK"
                attempts = [(a.server, a.worker, a.cause, a.executed.value) for a in result.attempts]
                self._outcome(nonce, result.request_id, code, result.executed.value, result.text, attempts)

    def _outcome(
        self, nonce: str, request_id: str | None, code: str, executed: str, answer: str | None, attempts: Any
    ) -> None:
        self._log.write(
            event="outcome", nonce=nonce, id=request_id, code=code, executed=executed, answer=answer,
            attempts=attempts,
        )  # fmt: skip

    def _listener(self, nonce: str) -> Listener:
        return lambda progress: self._log.write(event="progress", nonce=nonce, progress=progress.progress)

    async def _result(self, call: dict[str, Any]) -> Result | None:
        name, arguments = call["name"], call["arguments"]
        options = cast("CallOptions", call["options"])
        options["raise_on_tool_error"] = False
        if call["how"] == "follow":
            return await _again(lambda: self._client.result(call["id"], raise_on_tool_error=False))
        if call["how"] in {"submit", "leave"}:
            handle = await self._client.submit(name, arguments, **options)
            if call["how"] == "leave":
                return None
            return await _again(handle.result)
        if call["how"] == "progress":
            options["on_progress"] = self._listener(call["nonce"])
        task = asyncio.create_task(self._client.call(name, arguments, **options))
        if call["how"] in {"cancel", "inspect"}:
            known = self._id(call["nonce"])
            either: set[asyncio.Future[Any]] = {task, known}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not known.done():  # it was refused
                return await task
            request_id = known.result()
            ask = self._client.cancel if call["how"] == "cancel" else self._client.inspect
            await _again(lambda: ask(request_id))
        return await task


async def _again(ask: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Ask until the store answers, as a user would what may be asked twice."""
    while True:
        try:
            return await ask()
        except StoreUnreachableError:
            await asyncio.sleep(0.05)


async def lines() -> AsyncIterator[dict[str, Any]]:
    """Give the lines of standard input as they come."""
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield json.loads(line)


async def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("url", "namespace", "log"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    async with Client(options.url, namespace=options.namespace) as client:
        log = Log(options.log)
        producer = Producer(client, log)
        producer.hear()
        log.write(event="ready", producer_id=client._here().desk.producer)
        async with asyncio.TaskGroup() as calls:
            async for call in lines():
                if "stall" in call:
                    log.write(event="stalled")
                    time.sleep(call["stall"])  # noqa: ASYNC251  # which is the point of it
                else:
                    calls.create_task(producer.make(call))


if __name__ == "__main__":
    asyncio.run(main())
