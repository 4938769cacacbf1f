"""Fixtures of the coordinator's tests: a pool of the test's own, and launchers that end with the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.register_assert_rewrite("pool")  # before the first import of it

from launching import POOL, Launchers  # noqa: E402  # after the registration above
from mcpweft_schemas.connect import Link  # noqa: E402  # after the registration above
from mcpweft_schemas.store import Store  # noqa: E402  # after the registration above
from pool import Pool  # noqa: E402  # after the registration above

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def store(store_url: str, namespace: str) -> AsyncIterator[Store]:
    async with Link.to(store_url) as link:
        yield Store(link, namespace)


@pytest.fixture
async def pool(store: Store) -> Pool:
    return await Pool.make(store, POOL)


@pytest.fixture
async def launchers(store: Store) -> AsyncIterator[Launchers]:
    made = Launchers(store)
    yield made
    for running in made.all:
        await running.stop()
