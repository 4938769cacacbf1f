"""`init --preset` and `check --production`: from a purpose to a file, from a file to what is amiss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mcpweft_schemas.config import load_config
from mcpweft_schemas.presets import PRESETS
from mcpweft_schemas.presets.written import EXAMPLE

if TYPE_CHECKING:
    from cli.shell import Shell

RISKY = """
[redis]
url = "rediss://:hunter2@store.example.com"
[call]
max_attempts = 1
[servers.search]
command = "search-server"
"""


@pytest.mark.parametrize("name", PRESETS)
def test_init_writes_a_preset_that_check_lets_pass(name: str, shell: Shell) -> None:
    assert shell.run("init", "--preset", name).code == 0
    config = load_config(shell.home / "mcpweft.toml", environ={})
    assert config.model_dump() == PRESETS[name].config(EXAMPLE).model_dump()
    assert shell.run("check").code == 0


def test_init_refuses_a_file_that_is_there_and_a_preset_that_is_not(shell: Shell) -> None:
    path = shell.home / "mcpweft.toml"
    path.write_text("mine", encoding="utf-8")
    refused = shell.run("init", "--preset", "testing")
    assert (refused.code, path.read_text(encoding="utf-8")) == (2, "mine")
    assert "--force" in refused.err
    unknown = shell.run("init", "-", "--preset", "production")
    assert unknown.code == 2
    assert "production_small" in unknown.err
    assert shell.run("init", "-", "--preset", "testing").out.startswith("# mcpweft, preset testing")


def test_a_production_preset_passes_the_look_before_production(shell: Shell) -> None:
    shell.run("init", "--preset", "production_small")
    done = shell.run("check", "--production")
    assert done.code == 0
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert lines[0] == ["severity", "key", "reason", "write"]
    assert {(line[0], line[1]) for line in lines[1:]} == {
        ("warning", "redis.url"),
        ("recommendation", "redis.durability"),
        ("recommendation", "servers.time.args"),
    }
    assert done.err == "0 errors, 1 warning, 2 recommendations\n"


def test_errors_end_the_look_with_a_code_that_tells_of_them(shell: Shell) -> None:
    (shell.home / "mcpweft.toml").write_text(RISKY, encoding="utf-8")
    done = shell.run("check", "--production", "--json")
    assert done.code == 2
    assert done.json["passed"] is False
    assert {each["key"] for each in done.json["errors"]} == {"servers.search.workers", "call.max_attempts"}
    assert "redis.url" in [each["key"] for each in done.json["warnings"]]
    assert "hunter2" not in done.out
    assert shell.run("check").code == 0  # without the flag it is what it was


def test_a_secret_from_the_environment_lies_in_no_file(shell: Shell) -> None:
    (shell.home / "mcpweft.toml").write_text(RISKY.replace(":hunter2@", ""), encoding="utf-8")
    url = {"MCPWEFT_URL": "rediss://:hunter2@store.example.com"}
    done = shell.run("check", "--production", "--json", env=url)
    assert "redis.url" not in [each["key"] for each in done.json["warnings"]]


def test_nothing_to_find_is_said(shell: Shell) -> None:
    shell.run("init", "--preset", "production_small")
    path = shell.home / "mcpweft.toml"
    said = path.read_text(encoding="utf-8").replace('"mcp-server-time"', '"mcp-server-time==1.0"')
    path.write_text(said + '\n[redis]\nurl = "rediss://store"\ndurability = "fsync"\n', encoding="utf-8")
    done = shell.run("check", "--production")
    assert (done.code, done.out) == (0, "")
    assert "Nothing was found." in done.err
