"""The spare process: it becomes the next worker, and is never more than a quicker way to start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from launching import Launchers, config_of
from mcpweft_coordinator.child import Child, Leash
from mcpweft_coordinator.launcher import worker_argv
from mcpweft_coordinator.spare import Spare
from mcpweft_schemas.life import State
from waiting import until
from workbench import SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pool import Pool

ARGV = [sys.executable, "-m", "mcpweft_workers", "--server", "nobody"]
USAGE = 2


@pytest.fixture
def leash() -> Iterator[Leash]:
    made = Leash()
    yield made
    made.close()


@pytest.fixture
def spare(leash: Leash) -> Iterator[Spare]:
    made = Spare(os.environ, leash)
    yield made
    made.dismiss()


def mine() -> list[psutil.Process]:
    """The spare processes of this one."""
    found = []
    for child in psutil.Process().children():
        try:
            if child.cmdline()[-1:] == ["--spare"] and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.Error:
            continue
    return found


async def test_it_runs_the_command_line_it_is_given_in_the_environment_it_is_given(
    spare: Spare, leash: Leash, tmp_path: Path
) -> None:
    toml = tmp_path / "mcpweft.toml"
    toml.write_text('[servers.a]\ncommand = "x"\n')
    spare.prepare()
    environ = {**os.environ, **leash.environment(1.0), "MCPWEFT_URL": "redis://said:1"}
    process = spare.become([*ARGV, "--config", str(toml)], environ)
    assert process is not None
    child = Child(process)
    await child.exited.wait()
    child.close()
    assert child.code == USAGE
    assert "nobody" in "".join(child.lines)


def test_one_that_has_become_a_worker_is_not_there_any_more(spare: Spare, leash: Leash) -> None:
    spare.prepare()
    process = spare.become(ARGV, {**os.environ, **leash.environment(1.0)})
    assert process is not None
    assert spare.become(ARGV, os.environ) is None
    assert process.stdout is not None
    assert b"nobody" in process.stdout.read()
    assert process.wait() == USAGE
    process.stdout.close()


@pytest.mark.parametrize(
    ("argv", "environ"),
    [
        ([sys.executable, "other.py"], os.environ),
        ([*ARGV, "x" * 40_000], os.environ),
        (ARGV, {"PATH": "/bin"}),
    ],
    ids=["another program", "more than a pipe takes", "without a variable that it already has"],
)
async def test_what_it_cannot_become_is_started_as_ever(
    spare: Spare, argv: list[str], environ: dict[str, str]
) -> None:
    spare.prepare()
    assert spare.become(argv, environ) is None
    await until(lambda: len(mine()) == 1)


async def test_one_that_has_died_is_replaced(spare: Spare) -> None:
    spare.prepare()
    await until(lambda: len(mine()) == 1)
    (first,) = mine()
    os.kill(first.pid, signal.SIGKILL)
    first.wait(10)
    assert spare.become(ARGV, os.environ) is None
    spare.prepare()
    await until(lambda: [one.pid for one in mine()] not in ([], [first.pid]))


def test_it_ends_with_its_launcher_however_that_dies(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    script = (
        "import os, pathlib, time\n"
        "from mcpweft_coordinator.child import Leash\n"
        "from mcpweft_coordinator.spare import Spare\n"
        "spare = Spare(os.environ, Leash())\n"
        "spare.prepare()\n"
        f"pathlib.Path({str(told)!r}).write_text(str(spare._process.pid))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False, timeout=30)
    pid = int(told.read_text())
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(20)


async def test_a_launcher_keeps_one_only_where_it_is_told(
    pool: Pool, launchers: Launchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcpweft_coordinator.launcher._CALM_S", 0.1)
    running = launchers.start(config_of({"workers": 0}, coordinator={"spare": True}))
    await until(lambda: len(mine()) == 1)
    running.launcher.apply(config_of({"workers": 0}, coordinator={"spare": False}))
    assert not mine()
    running.launcher.apply(config_of({"workers": 0}, coordinator={"spare": True}))
    await until(lambda: len(mine()) == 1)
    await running.stop()
    assert not mine()


async def test_the_worker_that_takes_a_dead_ones_place_was_the_spare(
    pool: Pool, launchers: Launchers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcpweft_coordinator.launcher._CALM_S", 0.1)
    toml = tmp_path / "mcpweft.toml"
    echo = str(SERVERS / "echo.py")
    toml.write_text(
        f'[servers.echo]\ncommand = "{sys.executable}"\nargs = ["-P", "{echo}"]\ncapabilities = ["echo"]\n'
    )
    running = launchers.start(config_of(coordinator={"spare": True}), argv=worker_argv(toml))
    await until(lambda: running.view.up == 1 and bool(mine()), within=30)
    (waiting,) = mine()
    (first,) = running.pids.values()
    os.kill(first, signal.SIGKILL)
    await until(lambda: list(running.pids.values()) == [waiting.pid])
    await until(lambda: running.view.up == 1, within=30)
    request_id = await pool.accept()
    await until(lambda: _done(pool, request_id))


async def _done(pool: Pool, request_id: str) -> bool:
    return await pool.state(request_id) is State.DONE
