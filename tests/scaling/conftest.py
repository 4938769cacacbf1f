"""Fixtures of the tests of scaling on a real store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mcpweft_schemas.connect import Link
from mcpweft_schemas.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def store(store_url: str, namespace: str) -> AsyncIterator[Store]:
    async with Link.to(store_url) as link:
        yield Store(link, namespace)
