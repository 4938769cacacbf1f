"""A fleet is managed from another terminal while calls go through it: none is lost, none fails."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from cli.conftest import running_fabric
from cli.shell import ECHO
from mcpweft import Client
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from cli.shell import Shell

AT_ONCE = 20
COMMAND = f"{sys.executable} {ECHO}"
MANAGED = (
    ("config", "set", "servers.echo.concurrency", "6"),
    ("servers", "add", "two", "--command", COMMAND, "--capability", "echo"),
    ("servers", "failover", "echo", "--reason", "it lies"),
    ("servers", "reset", "echo"),
    ("servers", "drain", "two"),
    ("servers", "remove", "two"),
    ("strategy", "set", "echo", "least_connections"),
)


@dataclass
class Load:
    """Callers that go on calling until they are told to stop."""

    client: Client
    answered: int = 0
    again: int = 0
    """Calls that took more than one attempt."""
    failed: list[str] = field(default_factory=list[str])
    stopping: bool = False

    async def call_on(self) -> None:
        while not self.stopping:
            try:
                result = await self.client.call("echo.sleep", {"ms": 150}, timeout=60)
            except Exception as error:  # noqa: BLE001  # whatever it was, the test tells of it
                self.failed.append(repr(error))
                continue
            self.answered += 1
            self.again += len(result.attempts) > 1
            if result.is_error:
                self.failed.append(result.text)


async def more(load: Load, count: int) -> None:
    """Wait until so many more calls were answered, or one failed."""
    goal = load.answered + count
    await until(lambda: load.answered >= goal or load.failed, within=60)


def url_of(shell: Shell) -> str:
    (announcement,) = shell.announcements
    return str(json.loads(announcement.read_text(encoding="utf-8"))["url"])


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_no_call_is_lost_or_fails_while_servers_come_go_and_change(tmp_path: Path) -> None:
    with running_fabric(tmp_path) as fabric:
        shell = fabric.shell
        async with Client(url_of(shell)) as client:
            load = Load(client)
            callers = [asyncio.create_task(load.call_on()) for _ in range(AT_ONCE)]
            try:
                for words in MANAGED:
                    done = await asyncio.to_thread(shell.run, *words, within=90)
                    assert done.code == 0, (words, done.err)
                    await more(load, 50)
            finally:
                load.stopping = True
                await asyncio.gather(*callers)
            dead = await asyncio.to_thread(shell.run, "dead", "list", "--json")
    assert load.failed == []
    assert dead.lines == []
    assert load.answered >= 50 * len(MANAGED)
    assert load.again > 0, "the failover moved what was under way"
