"""`mcpweft servers`, `config` and `strategy`: a fabric that runs is managed from another terminal."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
import redis

from cli.conftest import running_fabric
from cli.shell import ECHO
from waiting import until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.conftest import Fabric
    from cli.shell import Shell

COMMAND = f"{sys.executable} {ECHO}"


@pytest.fixture(scope="module")
def managed(no_process_left: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """A fabric whose servers and settings these tests change."""
    with running_fabric(tmp_path_factory.mktemp("managed")) as fabric:
        yield fabric


def row(shell: Shell, name: str = "echo") -> dict[str, Any]:
    rows: list[dict[str, Any]] = shell.run("servers", "list", "--json").json
    return next((each for each in rows if each["name"] == name), {})


def up(shell: Shell, name: str = "echo") -> bool:
    return bool(row(shell, name).get("state") == "up")


def events(shell: Shell, kind: str) -> list[dict[str, Any]]:
    return shell.run("events", "--kind", kind, "--json").lines


def test_a_drained_server_takes_nothing_until_it_may_again_and_everybody_sees_by_whom_and_why(
    managed: Fabric,
) -> None:
    shell = managed.shell
    done = shell.run("servers", "drain", "echo", "--reason", "new disk", "--by", "ann")
    assert (done.code, done.out.startswith("echo: cordoned by ann at ")) == (0, True)
    assert "nothing to change" in shell.run("servers", "cordon", "echo").out
    until_sync(lambda: row(shell)["usable"] == 0)
    listed = row(shell)
    assert (listed["state"], listed["workers"], listed["reason"]) == ("cordoned", 1, "cordoned: new disk")
    assert (listed["order"]["by"], listed["order"]["reason"]) == ("ann", "new disk")
    refused = shell.run("call", "echo.echo", "text=hi", "--timeout", "1s")
    assert refused.code == 4, refused.err
    assert shell.run("servers", "uncordon", "echo").code == 0
    until_sync(lambda: up(shell))
    assert shell.run("call", "echo.echo", "text=hi").out == "hi\n"
    told = [(each["data"]["order"], each["data"]["by"]) for each in events(shell, "server_ordered")]
    assert told[0] == ("drain", "ann")
    assert told[-1][0] == "uncordon"


def test_a_failover_moves_running_safe_calls_to_another_server_at_once(managed: Fabric) -> None:
    shell = managed.shell
    added = shell.run("servers", "add", "other", "--command", COMMAND, "--capability", "echo", within=90)
    assert added.code == 0, added.err
    shell.run("servers", "drain", "other")
    until_sync(lambda: row(shell, "other")["usable"] == 0)
    submitted = shell.run("submit", "echo.sleep", "ms=25000").out.strip()

    def seen() -> dict[str, Any]:
        found: dict[str, Any] = shell.run("inspect", submitted, "--json").json
        return found

    until_sync(lambda: row(shell)["in_flight"] == 1)
    shell.run("servers", "uncordon", "other")
    until_sync(lambda: up(shell, "other"))
    failover = shell.run("servers", "failover", "echo", "--reason", "it lies")
    assert failover.code == 0, failover.err
    until_sync(lambda: row(shell, "other")["in_flight"] == 1, 10)
    assert [each["cause"] for each in seen()["attempts"]][:1] == ["TAKEN_OUT"]
    shell.run("cancel", submitted)
    assert shell.run("servers", "reset", "echo").code == 0
    until_sync(lambda: up(shell))
    assert shell.run("servers", "remove", "other", within=90).code == 0


def test_a_server_that_is_removed_finishes_its_call_and_leaves(managed: Fabric) -> None:
    shell = managed.shell
    added = shell.run("servers", "add", "more", "--command", COMMAND, "--reason", "load", "--json", within=90)
    assert (added.code, added.json["workers"]) == (0, 1), added.err
    assert shell.run("call", "more.echo", "text=there").out == "there\n"
    submitted = shell.run("submit", "more.sleep", "ms=6000").out.strip()
    until_sync(lambda: row(shell, "more")["in_flight"] == 1)
    removed = shell.run("servers", "remove", "more", "--json", within=90)
    assert (removed.code, removed.json["changed"], removed.json["workers"]) == (0, True, 0), removed.err
    assert row(shell, "more") == {}
    result = shell.run("result", submitted, "--json").json
    assert (result["ok"], len(result["attempts"])) == (True, 1)
    assert [each["reason"] for each in events(shell, "server_added")][-1:] == ["load"]


def test_a_server_that_cannot_run_is_not_added_and_the_command_says_why(managed: Fabric) -> None:
    shell = managed.shell
    bad = ("servers", "add", "bad", "--command", f"{sys.executable} -c 'raise SystemExit(\"no weights\")'")
    done = shell.run(*bad, "--ready-within", "5", within=60)
    assert done.code == 2
    assert "no weights" in done.err
    assert row(shell, "bad") == {}
    assert all(each["server"] != "bad" for each in events(shell, "server_added"))


def test_settings_are_changed_while_all_runs_and_taken_back(managed: Fabric, tmp_path: Path) -> None:
    shell = managed.shell
    before = shell.run("config", "get", "queue.bound", "--json").json
    done = shell.run("config", "set", "queue.bound", "123", "--reason", "launch", "--json")
    assert (done.code, done.json["changed"]) == (0, ["queue.bound"])

    (announcement,) = shell.announcements
    url = json.loads(announcement.read_text(encoding="utf-8"))["url"]

    def bound() -> str:
        with contextlib.closing(redis.Redis.from_url(url, decode_responses=True)) as store:
            return str(store.hget("mcpweft:default:{echo}:pool", "bound"))

    until_sync(lambda: bound() == "123", within=10)
    assert "Did you mean queue.bound" in shell.run("config", "set", "queue.buond", "7").err
    assert shell.run("config", "set", "queue.bound", "none").code == 2
    file = tmp_path / "fleet.toml"
    file.write_text("[servers.echo]\nworkers = 2\n", encoding="utf-8")
    assert shell.run("config", "apply", file).code == 0
    until_sync(lambda: row(shell)["usable"] == 2, within=30)
    newest, *_ = shell.run("config", "history", "--json").json
    assert newest["document"]["servers"] == {"echo": {"workers": 2}}
    assert shell.run("config", "rollback").code == 0
    until_sync(lambda: row(shell)["workers"] == 1, within=30)
    assert shell.run("config", "unset", "queue.bound").code == 0
    assert shell.run("config", "get", "queue.bound", "--json").json == before
    restart = shell.run("config", "set", "coordinator.port", "0").out
    assert "coordinator.port needs a restart of coordinators" in restart
    shell.run("config", "unset", "coordinator.port")


def test_a_strategy_is_set_while_the_pool_runs(managed: Fabric) -> None:
    shell = managed.shell
    assert shell.run("strategy", "set", "echo", "least_connections").code == 0
    shown = {each["pool"]: each for each in shell.run("strategy", "show", "--json").json}
    assert shown["echo"] == {"pool": "echo", "name": "least_connections", "shadow": None}
    until_sync(
        lambda: any(
            each["data"]["after"] == "least_connections" for each in events(shell, "strategy_changed")
        )
    )
    assert "Did you mean predictive" in shell.run("strategy", "set", "echo", "predictiv").err
    assert "Did you mean 'echo'" in shell.run("strategy", "set", "ehco", "adaptive").err
    assert shell.run("strategy", "set", "echo", "").code == 0
    shell.run("strategy", "set", "--every", "--shadow", "predictive")
    shown = {each["pool"]: each for each in shell.run("strategy", "show", "--json").json}
    assert (shown["echo"]["name"], shown["echo"]["shadow"]) == ("round_robin", "predictive")
    shell.run("strategy", "set", "--every", "--shadow", "")


def test_where_no_coordinator_runs_a_command_says_so_and_does_nothing(
    shell: Shell, private_redis: Any, tmp_path: Path
) -> None:
    done = shell.run("servers", "drain", "echo", "--store", private_redis.url, "--json", cwd=tmp_path)
    assert done.code == 5
    assert "No coordinator" in done.err
    assert "Nothing was done" in done.err
    assert json.loads(done.out)["ok"] is False
