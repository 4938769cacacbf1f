"""Rules set on a fabric that runs, from another terminal, and followed by a client that runs."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from cli.conftest import running_fabric
from cli.shell import ECHO
from mcpweft import Ruling, SyncClient, errors
from waiting import until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.conftest import Fabric
    from cli.shell import Done

REJECT = {"name": "no-adding", "when": {"tool": "add"}, "then": {"reject": "count yourself"}}


@pytest.fixture(scope="module")
def fabric(no_process_left: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """A fabric whose rules these tests change."""
    with running_fabric(tmp_path_factory.mktemp("ruled")) as fabric:
        yield fabric


@pytest.fixture
def client(fabric: Fabric) -> Iterator[SyncClient]:
    """A client of that fabric, in this process."""
    announced = json.loads(fabric.shell.announcements[0].read_text())
    with SyncClient(announced["url"], namespace=announced["namespace"]) as client:
        yield client


def set_rules(fabric: Fabric, folder: Path, *rules: Any, **more: Any) -> Done:
    file = folder / "rules.json"
    file.write_text(json.dumps({"rules": list(rules), **more}))
    return fabric.shell.run("rules", "set", file, "--reason", "a test", "--by", "ann", "--json")


def listed(fabric: Fabric) -> Any:
    return fabric.shell.run("rules", "list", "--json").json


def rejected(client: SyncClient) -> bool:
    try:
        client.call("echo.add", {"a": 1, "b": 2})
    except errors.RejectedError:
        return True
    return False


def test_a_running_client_follows_within_two_seconds_when_rules_are_set_and_cleared(
    fabric: Fabric, client: SyncClient, tmp_path: Path
) -> None:
    assert not rejected(client)
    done = set_rules(fabric, tmp_path, REJECT)
    set_at = time.monotonic()
    assert done.code == 0, done.err
    assert done.json["changed"] == ["rules", "rules_match"]
    until_sync(lambda: rejected(client))
    assert time.monotonic() - set_at < 2
    assert listed(fabric) == {"version": done.json["version"], "rules": [REJECT], "rules_match": "first"}
    row = fabric.shell.run("rules", "list").out.splitlines()
    assert row[0] == f"version {done.json['version']}, match first"
    assert row[2].split("\t") == ["no-adding", "0", 'tool = "add"', "", 'reject = "count yourself"']
    cleared = fabric.shell.run("rules", "clear", "--json")
    cleared_at = time.monotonic()
    assert cleared.json["changed"] == ["rules", "rules_match"]
    assert cleared.json["version"] == done.json["version"] + 1
    until_sync(lambda: not rejected(client))
    assert time.monotonic() - cleared_at < 2
    assert "No rules are set" in fabric.shell.run("rules", "list").err


def test_the_command_line_shows_the_rules_of_a_call(fabric: Fabric, tmp_path: Path) -> None:
    shell = fabric.shell
    version = set_rules(fabric, tmp_path, REJECT, {"name": "rest", "then": {"max_attempts": 2}}).json[
        "version"
    ]
    called = shell.run("call", "echo.echo", "text=hi", "--json=").json
    assert called["rules"] == {"version": version, "names": ["rest"]}
    assert shell.run("inspect", called["id"], "--json").json["rules"] == called["rules"]
    assert f"rest (version {version})" in shell.run("inspect", called["id"]).out
    before = len(fabric.calls())
    refused = shell.run("call", "echo.add", "a=1", "b=2")
    assert refused.code == 1
    assert "echo.add is not let in by rule 'no-adding': count yourself. The tool did not run." in refused.err
    assert len(fabric.calls()) == before


@pytest.mark.parametrize("bad", [{"name": "x", "when": {"arguments": {"/q": {"matches": "("}}}}, "x"])
def test_a_bad_rule_is_refused_and_nothing_is_changed(fabric: Fabric, tmp_path: Path, bad: Any) -> None:
    set_rules(fabric, tmp_path, REJECT)
    before = listed(fabric), fabric.shell.run("config", "history", "--json").json
    done = set_rules(fabric, tmp_path, REJECT, bad)
    assert done.code == 2
    assert "rules[1]" in done.err
    # And by the way that checks nothing here, so that the coordinator must.
    raw = fabric.shell.run("config", "set", "rules", json.dumps([REJECT, bad]))
    assert raw.code == 2
    assert "rules[1]" in raw.err
    assert (listed(fabric), fabric.shell.run("config", "history", "--json").json) == before


def test_rules_are_versions_of_the_configuration_told_of_and_rolled_back(
    fabric: Fabric, client: SyncClient, tmp_path: Path
) -> None:
    shell = fabric.shell
    set_rules(fabric, tmp_path)
    version = set_rules(fabric, tmp_path, {"name": "one"}, rules_match="all").json["version"]
    newest = shell.run("config", "history", "--json").json[0]
    assert (newest["version"], newest["by"], newest["reason"]) == (version, "ann", "a test")
    told = shell.run("events", "--kind", "configuration_updated", "--json").lines[-1]
    assert (told["data"]["version"], told["data"]["by"], told["reason"]) == (version, "ann", "a test")
    assert "rules" in told["data"]["keys"]
    assert shell.run("config", "set", "queue.bound", "5000").code == 0
    assert listed(fabric)["version"] == version, "another key's version is not the rules'"
    until_sync(lambda: client.call("echo.echo", {"text": "x"}).rules == Ruling(version, ("one",)))
    shell.run("config", "rollback", str(version - 1))
    assert listed(fabric)["rules"] == []
    until_sync(lambda: client.call("echo.echo", {"text": "x"}).rules is None)


def test_rules_restart_no_worker(fabric: Fabric, client: SyncClient, tmp_path: Path) -> None:
    before = client.call("echo.echo", {"text": "x"}).worker
    set_rules(fabric, tmp_path, {"name": "calm"})
    until_sync(lambda: client.call("echo.echo", {"text": "x"}).rules is not None)
    assert client.call("echo.echo", {"text": "x"}).worker == before


def test_a_server_of_a_running_fabric_is_given_tags(
    fabric: Fabric, client: SyncClient, tmp_path: Path
) -> None:
    command = f"{sys.executable} {ECHO}"
    words = ("--command", command, "--capability", "echo", "--set", "tags=gpu,eu")
    added = fabric.shell.run("servers", "add", "tagged", *words, within=90)
    assert added.code == 0, added.err
    set_rules(fabric, tmp_path, {"name": "eu", "when": {"tenant": "eu-*"}, "then": {"tags": ["eu"]}})
    until_sync(lambda: client.call("echo.echo", {"text": "x"}, tenant="eu-1").rules is not None)
    served = {client.call("echo.echo", {"text": "x"}, tenant="eu-1").server for _ in range(10)}
    assert served == {"tagged"}
    assert fabric.shell.run("servers", "remove", "tagged", within=90).code == 0


def test_rules_change_under_load_and_every_call_goes_by_one_version_or_the_next(
    fabric: Fabric, client: SyncClient, tmp_path: Path
) -> None:
    first = set_rules(fabric, tmp_path, {"name": "v"}).json["version"]
    until_sync(lambda: client.call("echo.echo", {"text": "x"}).rules == Ruling(first, ("v",)))
    seen: list[int] = []
    over = threading.Event()

    def load() -> None:
        while not over.wait(0.02):
            rules = client.call("echo.echo", {"text": "x"}).rules
            seen.append(rules.version if rules else -1)

    thread = threading.Thread(target=load)
    thread.start()
    last = [set_rules(fabric, tmp_path, {"name": "v", "priority": n}).json["version"] for n in (1, 2)][-1]
    until_sync(lambda: seen[-1:] == [last])
    over.set()
    thread.join(timeout=10)
    assert seen == sorted(seen)
    assert set(seen) <= set(range(first, last + 1))
