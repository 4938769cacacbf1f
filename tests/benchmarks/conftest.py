"""Runs a benchmark as its users do, as small as it gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function that runs `scripts/bench NAME ARGUMENTS` in this environment and returns its last line.

    Fails where it writes into the checkout's records, or does not write what `--out` asks for.
    """

    def run(name: str, *arguments: str) -> dict[str, Any]:
        out = tmp_path / "out"
        command = [
            sys.executable,
            "-P",
            "-m",
            f"benchmarks.{name}",
            *arguments,
            "--out",
            str(out),
            "--no-plot",
        ]
        folders = ("scripts", "tests", "scripts/servers")
        paths = os.pathsep.join(str(ROOT / folder) for folder in folders)  # as scripts/bench sets it
        environment = {**os.environ, "PYTHONPATH": paths}
        before = records()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert records() == before
        assert {path.name for path in out.iterdir()} == {f"{name}.json", f"{name}.csv"}
        last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        assert last["benchmark"] == name
        return last

    return run


def records() -> dict[str, float]:
    return {str(path): path.stat().st_mtime for path in (ROOT / "docs" / "benchmarks").glob("*")}
