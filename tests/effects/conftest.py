"""What the tests of the configuration's effects ask for: a bench, and a written `mcpweft.toml` to run by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from workbench import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@pytest_asyncio.fixture
async def bench(store_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench on the shared store."""
    bench = Bench(store_url, namespace, tmp_path)
    yield bench
    await bench.close()


@pytest.fixture
def write(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes the `mcpweft.toml` of the working directory: the bench's store and namespace, and more."""
    for name in ("MCPWEFT_URL", "MCPWEFT_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def write(more: str) -> Path:
        file = tmp_path / "mcpweft.toml"
        file.write_text(f'namespace = "{bench.namespace}"\n[redis]\nurl = "{bench.url}"\n{more}\n')
        return file

    return write
