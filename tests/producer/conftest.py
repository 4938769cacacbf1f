"""Clients and workers on a real server, for the producer's tests."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from loopworker import HANDLERS, LoopWorker
from mcpweft import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


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
