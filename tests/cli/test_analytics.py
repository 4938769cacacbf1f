"""`mcpweft analytics` as a user sees it, on a fabric that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waiting import until_sync

if TYPE_CHECKING:
    from cli.conftest import Fabric


def test_what_was_called_is_told_by_server_tool_and_class(fabric: Fabric) -> None:
    for word in ("a", "b"):
        assert fabric.shell.run("call", "echo.echo", f"text={word}").code == 0

    def booked() -> bool:
        (pool,) = fabric.shell.run("analytics", "echo", "--since", "5m", "--json").json["pools"]
        return any(one["tool"] == "echo" and one["answered"] >= 2 for one in pool["series"])

    until_sync(booked, within=30)
    head, total, *rows = fabric.shell.run("analytics", "echo").out.splitlines()
    assert head.split("\t")[:5] == ["pool", "server", "tool", "class", "answers"]
    assert total.split("\t")[:4] == ["echo", "", "", ""]
    assert any(row.split("\t")[:4] == ["echo", "echo", "echo", "normal"] for row in rows)


def test_other_strategies_are_rehearsed_where_that_is_asked_for_and_only_there(fabric: Fabric) -> None:
    assert fabric.shell.run("analytics", "echo", "--json").json["rehearsals"] == []
    (told,) = fabric.shell.run("analytics", "echo", "--since", "5m", "--rehearse", "--json").json[
        "rehearsals"
    ]
    assert (told["pool"], told["better"]) == ("echo", None)
    assert told["reason"], "a few calls are no load"
    said = fabric.shell.run("analytics", "echo", "--since", "5m", "--rehearse").out
    assert "echo: the simulator recommends no other strategy: " in said


def test_a_pool_or_a_time_that_there_is_not_is_refused(fabric: Fabric) -> None:
    assert "nowhere" in fabric.shell.run("analytics", "nowhere").err
    assert "since" in fabric.shell.run("analytics", "--since", "yesterday").err
