"""A shell, and a fabric that runs in another one."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from cli.shell import ECHO, Shell, write_mcp_json
from waiting import until_sync

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Fabric:
    """A running `mcpweft up` with the server `echo`, started in a folder that no test is in."""

    shell: Shell
    ledger: Path
    process: subprocess.Popen[str]

    def calls(self) -> list[dict[str, Any]]:
        """Return the calls that reached the server."""
        text = self.ledger.read_text(encoding="utf-8") if self.ledger.exists() else ""
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in which no fabric is to be found."""
    return Shell(tmp_path / "home")


@pytest.fixture(scope="session")
def fabric(no_process_left: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """A fabric for all tests that do not stop it."""
    with running_fabric(tmp_path_factory.mktemp("fabric")) as fabric:
        yield fabric


@contextlib.contextmanager
def running_fabric(folder: Path) -> Generator[Fabric]:
    """Run `mcpweft up` and give what reaches it."""
    shell = Shell(folder / "home")
    ledger = folder / "ledger"
    write_mcp_json(folder / "servers", {"echo": (str(ECHO), "--ledger", str(ledger))})
    process = shell.start("up", "mcp.json", cwd=folder / "servers")
    assert process.stdout is not None
    try:
        heard: list[str] = []
        for line in process.stdout:
            heard.append(line)
            if line.startswith("echo: up"):
                break
        else:
            raise AssertionError("".join(heard))
        yield Fabric(shell, ledger, process)
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=20)
        process.kill()
        process.communicate()
    until_sync(lambda: not shell.announcements)
