"""Each role under its own user, as processes, with the example producer and a real MCP server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from containerstore import DOCKER, Store, binaries, refusals
from mcpweft_coordinator.admin import Admin, NoCoordinatorError
from mcpweft_schemas.connect import Link
from mcpweft_schemas.ident import request_id
from mcpweft_schemas.store import Store as Moves
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
TIME = f"{sys.executable} -m mcp_server_time"
ZONES = ["Europe/Vienna", "Asia/Tokyo", "America/Lima", "Africa/Cairo"]


@pytest.fixture(params=list(binaries()))
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store with the users of docker/, and one more that may look."""
    with Store(request.param, superuser=True) as running:
        yield running


class Roles:
    """Processes of a fabric, each of which knows its own user's password only."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self.started: list[subprocess.Popen[bytes]] = []

    def environ(self, user: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MCPWEFT_")}
        return kept | {"MCPWEFT_URL": self._store.url_of(user)}

    def start(self, user: str, *words: str) -> subprocess.Popen[bytes]:
        log = self._stack.enter_context((self._folder / f"{user}.log").open("wb"))
        self.started.append(
            subprocess.Popen(
                [BIN / "mcpweft", *words], env=self.environ(user), cwd=self._folder, stdout=log, stderr=log
            )
        )
        return self.started[-1]

    def run(self, user: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*words], env=self.environ(user), cwd=self._folder, capture_output=True, text=True, check=False
        )

    def said(self, user: str) -> str:
        return (self._folder / f"{user}.log").read_text(errors="replace")

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()
        self._stack.close()


@pytest.fixture
def roles(store: Store, tmp_path: Path) -> Iterator[Roles]:
    """The roles, ended whatever happens."""
    made = Roles(store, tmp_path)
    yield made
    made.close()


async def usable(store: Store) -> bool:
    async with Link.to(store.url_of("root")) as link:
        status = await Moves(link, "default").status("time")
    return status is not None and any(end > status.now_ms for end in status.usable.values())


async def led(store: Store) -> bool:
    async with Link.to(store.url_of("root")) as link:
        moves = Moves(link, "default")
        return bool(await link.run("EXISTS", moves.fleet.lease("lead")))


@pytest.mark.slow
async def test_a_fabric_works_with_each_role_under_its_own_user(store: Store, roles: Roles) -> None:
    coordinator = roles.start("coordinator", "coordinator")
    await until(lambda: led(store))
    worker = roles.start("worker", "worker", "--command", TIME, "--capability", "time")
    await until(lambda: usable(store), within=30)

    produced = roles.run("producer", sys.executable, DOCKER / "examples" / "produce.py")
    assert produced.returncode == 0, produced.stderr
    assert [line.partition(": ")[0] for line in produced.stdout.splitlines() if ": {" in line] == ZONES

    for words in (["status"], ["tools"], ["dead", "list"], ["call", "time.get_current_time", "timezone=UTC"]):
        looked = roles.run("admin", BIN / "mcpweft", *words)
        assert looked.returncode == 0, looked.stderr
    doctor = roles.run("admin", BIN / "mcpweft", "doctor")
    assert "could not" not in doctor.stdout, doctor.stdout
    async with Admin(store.url_of("admin"), "default") as admin:
        nobody = request_id("time")
        assert (await admin.replay_dead("time", [nobody]))[nobody][0] == "UNKNOWN"
        assert await admin.purge_dead("time") == 0
        (row,) = await admin.servers()
        drained = await admin.drain(row.name, "as admin")
        assert (drained.state, (await admin.uncordon(row.name)).state) == ("cordoned", "closed")
        assert (await admin.failover(row.name, "as admin")).state == "forced_open"
        assert (await admin.reset(row.name)).state == "closed"
        assert (await admin.config_set("queue.bound", 99, "as admin")).changed == ("queue.bound",)
        assert await admin.config_get("queue.bound") == 99
        assert [each.version for each in await admin.config_history()] == [1]
        assert (await admin.set_strategy("time", "adaptive")).changed == ("strategy.pools.time",)
        added = await admin.add_server("lazy", {"command": "never-run", "start": "lazy"})
        assert (added.changed, (await admin.remove_server("lazy")).changed) == (True, True)
        with pytest.raises(NoCoordinatorError):  # which takes a command back: its right, too
            await admin._take_back("mcpweft:default:drain:nobody", "drain")

    for process in (worker, coordinator):
        process.send_signal(signal.SIGTERM)
        await until(lambda process=process: process.poll() is not None)  # type: ignore[misc]  # each its own
        assert process.returncode == 0, (roles.said("worker"), roles.said("coordinator"))
    with contextlib.closing(redis.Redis.from_url(store.url_of("root"))) as root:
        assert not refusals(root)


_SAID = "Check the user, password and ACL of the store's URL"


async def test_a_worker_that_was_given_a_producer_s_user_says_so_and_serves_nothing(
    store: Store, roles: Roles
) -> None:
    worker = roles.start("producer", "worker", "--command", TIME, "--capability", "time")
    await until(lambda: _SAID in roles.said("producer"), within=30)
    assert not await usable(store)
    worker.send_signal(signal.SIGTERM)
    await until(lambda: worker.poll() is not None)
    assert "Traceback" not in roles.said("producer")


def test_a_coordinator_that_was_given_a_worker_s_user_says_so_and_ends(store: Store, roles: Roles) -> None:
    done = roles.run("worker", BIN / "mcpweft", "coordinator")
    assert done.returncode != 0
    assert _SAID in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_with_a_wrong_password_says_so_and_ends(store: Store, roles: Roles) -> None:
    url = store.url_of("worker", "wrong")
    done = roles.run(
        "worker", BIN / "mcpweft", "worker", "--store", url, "--command", TIME, "--capability", "time"
    )
    assert done.returncode == 1
    assert _SAID in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_password_is_one_clear_message(store: Store, roles: Roles) -> None:
    url = store.url_of("producer", "wrong")
    done = subprocess.run(
        [BIN / "mcpweft", "status", "--store", url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 5
    assert _SAID in done.stderr
    assert "wrong" not in done.stderr.replace("WRONGPASS", "")
    assert "Traceback" not in done.stderr
