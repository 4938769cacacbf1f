"""What the tests of RagClient ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from shelf import Shelf
from workbench import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import realredis
    from mcpweft_workers.worker import Worker


@pytest_asyncio.fixture
async def shelf(store_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[Shelf]:
    bench = Bench(store_url, namespace, tmp_path)
    yield Shelf(bench)
    await bench.close()


@pytest_asyncio.fixture
async def own_shelf(
    private_redis: realredis.RedisServer, namespace: str, tmp_path: Path
) -> AsyncIterator[Shelf]:
    """On a store of the test's own, to be killed."""
    bench = Bench(private_redis.url, namespace, tmp_path)
    yield Shelf(bench)
    await bench.close()


@pytest_asyncio.fixture
async def library(shelf: Shelf) -> AsyncIterator[Worker]:
    """A worker that serves all pools."""
    async with shelf.worker() as worker:
        yield worker
