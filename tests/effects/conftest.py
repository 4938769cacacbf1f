"""What the tests of the configuration's effects ask for: a bench, and a written `mcpweft.toml` to run by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from workbench import Bench


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
