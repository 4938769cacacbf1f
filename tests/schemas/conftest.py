"""Fixtures of the protocol's tests: a pool of the test's own, whose keys must be in order when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import altered
import snapshot
from mcpweft_schemas.connect import Link
from mcpweft_schemas.store import Store
from pool import Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
async def store(store_url: str, namespace: str) -> AsyncIterator[Store]:
    """The moves on a namespace of the test's own."""
    async with Link.to(store_url) as link:
        yield Store(link, namespace)


@pytest.fixture
async def pool(store: Store) -> AsyncIterator[Pool]:
    """A pool on the store's own clock."""
    made = await Pool.make(store, "echo")
    yield made
    if made.sound:
        assert not snapshot.audit(await made.shot())


@pytest.fixture
def standing_clock() -> Iterator[None]:
    """Let the moves ask the test what time it is."""
    with altered.in_force(altered.TEST_CLOCK):
        yield


@pytest.fixture
async def clock(standing_clock: None, store: Store) -> altered.Clock:
    """A clock that stands still until it is told to go on; ask for it before `pool`."""
    clock = altered.Clock(store, "echo")
    await clock.forward(0)
    return clock
