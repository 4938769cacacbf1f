"""What pytest loads (entry point `pytest11`): fixtures, each of which loads what it needs when it is used.

Below stand fake and fabric. This module must never import either before a test asks for it: it is loaded in
every run of pytest where mcpweft is installed, whoever's tests they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcpweft.testing.fabric import Fabric
    from mcpweft.testing.fake import FakeClient, FakeSyncClient


@pytest.fixture
def mcpweft_fake() -> Iterator[FakeClient]:
    """Give a Client that answers what the test says: no store, no server. See docs/testing.md."""
    from mcpweft.testing.fake import FakeClient  # noqa: PLC0415  # loaded when it is used

    fake = FakeClient()
    yield fake
    fake.end()


@pytest.fixture
def mcpweft_fake_sync(mcpweft_fake: FakeClient) -> FakeSyncClient:
    """Give a SyncClient of the same fake as `mcpweft_fake`: same answers, same calls."""
    return mcpweft_fake.sync()


@pytest.fixture(scope="session")
def mcpweft_store_url() -> Iterator[str]:
    """Run a store of this run's own on a free socket, and give its URL. Override it to use another."""
    from mcpweft.testing.fabric import own_store  # noqa: PLC0415  # loaded when it is used

    with own_store() as url:
        yield url


@pytest.fixture
def mcpweft_fabric(mcpweft_store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fabric]:
    """Give a fabric in this process, for `async with` and `with`. See docs/testing.md."""
    from mcpweft.testing.fabric import Fabric  # noqa: PLC0415  # loaded when it is used

    with Fabric(mcpweft_store_url) as fabric:
        for name, value in fabric.environment.items():
            monkeypatch.setenv(name, value)
        yield fabric
