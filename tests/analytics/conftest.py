"""A worker, a client and a store for the tests of what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mcpweft import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def client(store_url: str, namespace: str) -> AsyncIterator[Client]:
    """A client of the same namespace."""
    async with Client(store_url, namespace=namespace) as opened:
        yield opened
