"""`mcpweft events` as a user sees it, on a fabric that runs."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from waiting import until_sync

if TYPE_CHECKING:
    from cli.conftest import Fabric


def test_what_happened_is_shown_and_chosen_from(fabric: Fabric) -> None:
    until_sync(lambda: "server_ready" in fabric.shell.run("events").out)
    done = fabric.shell.run("events", "--json")
    kinds = [line["kind"] for line in done.lines]
    assert {"pool_declared", "worker_started", "worker_joined", "server_ready"} <= set(kinds)
    chosen = fabric.shell.run("events", "--json", "--kind", "server_ready", "--kind", "worker_joined").lines
    assert {line["kind"] for line in chosen} == {"server_ready", "worker_joined"}
    assert {line["server"] for line in fabric.shell.run("events", "--json", "--server", "echo").lines} == {
        "echo"
    }
    assert fabric.shell.run("events", "--server", "nobody").err == "Nothing happened.\n"
    assert fabric.shell.run("events", "--json", "--since", chosen[-1]["id"]).code == 0


def test_following_goes_on_until_ctrl_c(fabric: Fabric) -> None:
    process = fabric.shell.start("events", "--follow", "--since", "1h", "--json")
    assert process.stdout is not None
    assert '"kind"' in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_a_kind_that_is_not_there_is_refused_with_the_nearest(fabric: Fabric) -> None:
    done = fabric.shell.run("events", "--kind", "breaker_move")
    assert done.code == 2
    assert "breaker_moved" in done.err
