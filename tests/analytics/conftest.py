"""A worker, a client and a store for the tests of what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from mcpweft import Client
from workbench import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import realredis


@pytest_asyncio.fixture
async def bench(store_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench on the shared store."""
    bench = Bench(store_url, namespace, tmp_path)
    yield bench
    await bench.close()


@pytest_asyncio.fixture
async def own_bench(
    private_redis: realredis.RedisServer, namespace: str, tmp_path: Path
) -> AsyncIterator[Bench]:
    """A bench on a store of the test's own."""
    bench = Bench(private_redis.url, namespace, tmp_path)
    yield bench
    await bench.close()


@pytest.fixture
async def client(store_url: str, namespace: str) -> AsyncIterator[Client]:
    """A client of the same namespace."""
    async with Client(store_url, namespace=namespace) as opened:
        yield opened
