"""Clients and workers on a real server, for the producer's tests."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from loopworker import Answer, LoopWorker, Settle
from mcpweft_schemas import wire
from mcpweft_schemas.outcome import Executed

from mcpweft import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mcpweft_schemas.wire import Delivery


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
        body = wire.pack({"progress": step, "total": arguments["n"], "message": f"step {step}"})
        await worker.store.progress(worker.capability, delivery, body)
    await worker.gate.wait()
    return "done"


HANDLERS = {"echo": echo, "block": block, "fail": fail, "end": end, "large": large, "steps": steps}


@pytest.fixture
async def start(store_url: str, namespace: str) -> AsyncIterator[Callable[..., Awaitable[LoopWorker]]]:
    """Starts workers: `await start("cap", slots=…)`; they end with the test."""
    async with AsyncExitStack() as stack:

        async def begin(capability: str = "cap", **more: Any) -> LoopWorker:
            worker = LoopWorker(store_url, namespace, capability, more.pop("handlers", HANDLERS), **more)
            return await stack.enter_async_context(worker)

        yield begin


@pytest.fixture
async def worker(start: Callable[..., Awaitable[LoopWorker]]) -> LoopWorker:
    return await start()


@pytest.fixture
async def client(store_url: str, namespace: str) -> AsyncIterator[Client]:
    async with Client(store_url, namespace=namespace) as opened:
        yield opened
    mine = [task for task in asyncio.all_tasks() if task.get_name().startswith("mcpweft")]
    assert not mine, f"a closed client left {mine}"
