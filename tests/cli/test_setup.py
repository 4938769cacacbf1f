"""`init`, `check`, `doctor`, `completion`: before there is a fabric."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING

from cli.shell import ECHO, write_mcp_json
from mcpweft_schemas.config import load_config

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Fabric
    from cli.shell import Shell


def test_init_writes_a_file_that_changes_nothing_and_passes_check(shell: Shell) -> None:
    assert shell.run("init").code == 0
    path = shell.home / "mcpweft.toml"
    assert load_config(path, environ={}).model_dump() == load_config(environ={}).model_dump()
    assert shell.run("check").code == 0


def test_every_key_that_init_comments_out_is_the_default(shell: Shell, tmp_path: Path) -> None:
    text, _, _ = shell.run("init", "-").out.partition("# The MCP servers")
    said = "\n".join(
        re.sub(r"^# (?=\w+ = )", "", line) for line in text.splitlines() if not line.endswith('""  # unset')
    )
    path = tmp_path / "mcpweft.toml"
    path.write_text(said, encoding="utf-8")
    assert tomllib.loads(said)["queue"]["bound"] == 10_000
    (tmp_path / "mcp.json").write_text('{"mcpServers": {}}', encoding="utf-8")
    assert load_config(path, environ={}).model_dump() == load_config(environ={}).model_dump()


def test_init_overwrites_only_when_told_to(shell: Shell) -> None:
    path = shell.home / "mcpweft.toml"
    path.write_text("mine", encoding="utf-8")
    refused = shell.run("init")
    assert (refused.code, path.read_text(encoding="utf-8")) == (2, "mine")
    assert "--force" in refused.err
    assert shell.run("init", "--force").code == 0
    assert path.read_text(encoding="utf-8") != "mine"


def test_check_names_what_is_wrong_with_file_and_line(shell: Shell) -> None:
    path = write_mcp_json(shell.home, {"echo": (str(ECHO),)})
    good = shell.run("check", "mcp.json", "--json")
    assert good.code == 0
    assert good.json["servers"]["echo"]["transport"] == "stdio"
    path.write_text('{"mcpServers": {\n "a": {"command": "${NO_SUCH}"}\n}}', encoding="utf-8")
    bad = shell.run("check")
    assert bad.code == 2
    assert f"a ({path}, line 2): command needs ${{NO_SUCH}}" in bad.out
    (shell.home / "mcpweft.toml").write_text("[queue]\nbuond = 3\n", encoding="utf-8")
    misspelt = shell.run("check")
    assert misspelt.code == 2
    assert "mcpweft.toml, line 2" in misspelt.err
    assert "Did you mean queue.bound?" in misspelt.err


def test_check_without_anything_to_check_says_so(shell: Shell) -> None:
    done = shell.run("check")
    assert done.code == 2
    assert "mcpweft init" in done.err


def test_doctor_names_what_is_to_be_repaired(shell: Shell) -> None:
    table = {"mcpServers": {"a": {"command": "no-such-program"}, "b": {"command": "${NO_SUCH}"}}}
    (shell.home / "mcp.json").write_text(json.dumps(table), encoding="utf-8")
    done = shell.run("doctor", "--store", "redis://127.0.0.1:1")
    assert done.code == 1
    assert "fail  server a" in done.out
    assert "no-such-program is not on PATH" in done.out
    assert "NO_SUCH" in done.out
    assert "could not be reached" in done.out
    assert done.out.endswith("3 to repair\n")


def test_doctor_finds_nothing_to_repair_with_a_running_fabric(fabric: Fabric) -> None:
    done = fabric.shell.run("doctor", "--json")
    assert done.code == 0
    marks = {(finding["about"], finding["mark"]) for finding in done.json}
    assert {("python", "ok"), ("fabric", "ok"), ("store version", "ok"), ("pool echo", "ok")} <= marks


def test_completion_knows_every_command(shell: Shell) -> None:
    script = shell.run("completion", "bash").out
    for name in ("call", "up", "worker", "--idempotency-key"):
        assert name in script
    installed = shell.run("--install-completion", "bash")
    assert installed.code == 0
    assert list(shell.home.rglob("*completion*/**/mcpweft"))
