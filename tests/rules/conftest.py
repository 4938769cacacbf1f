"""Rules in force for a real store, and what tests of them ask for."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from loopworker import HANDLERS, LoopWorker
from mcpweft import Client
from mcpweft_schemas.connect import Link
from mcpweft_schemas.edition import Edition
from mcpweft_schemas.store import Store
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


async def put(store: Store, *rules: dict[str, Any], **more: Any) -> int:
    """Set the fleet's rules as a coordinator does; return their version."""
    turn = (await store.edition()).turn
    said = Edition(0, {"rules": list(rules), **more}, "ann", "why", turn=turn)
    word, version = await store.amend(said, uuid.uuid4().hex)
    assert word is Word.OK
    return version


@pytest.fixture
async def store(store_url: str, namespace: str) -> AsyncIterator[Store]:
    link = Link.to(store_url)
    yield Store(link, namespace)
    await link.close()


@pytest.fixture
async def start(store_url: str, namespace: str) -> AsyncIterator[Callable[..., Awaitable[LoopWorker]]]:
    """Starts workers: `await start("cap")`; they end with the test."""
    async with AsyncExitStack() as stack:

        async def begin(capability: str = "cap", **more: Any) -> LoopWorker:
            worker = LoopWorker(store_url, namespace, capability, more.pop("handlers", HANDLERS), **more)
            return await stack.enter_async_context(worker)

        yield begin


@pytest.fixture
async def client(store_url: str, namespace: str) -> AsyncIterator[Client]:
    async with Client(store_url, namespace=namespace) as opened:
        yield opened
