"""An `mcp.json` of any dialect is imported; what is wrong with one server breaks that one only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft_schemas import envfile, jsonc, mcpjson
from mcpweft_schemas.config import Config, Transport, load_config
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_schemas.expansion import Expander

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Import = Callable[..., mcpjson.Imported]

VSCODE = """\
// written by an editor
{
  "inputs": [{ "type": "promptString", "id": "token" }],
  "servers": {
    "github": {
      "type": "http",
      "url": "https://api.example.com/mcp/", // the remote one
      "headers": { "Authorization": "Bearer ${input:token}" },
    },
    /* a local
       one */
    "memory": {
      "type": "stdio",
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-memory", "//not-a-comment", "a,]"],
      "envFile": "${workspaceFolder}/.env",
    },
  },
}
"""

CLAUDE = """\
{
  "mcpServers": {
    "time": { "command": "uvx", "args": ["mcp-server-time", "--zone=${ZONE:-UTC}"] },
    "api": {
      "type": "http",
      "url": "${API:-https://api.example.com}/mcp",
      "headers": { "X-Key": "${KEY}" }
    },
    "old": { "type": "sse", "url": "https://example.com/events" }
  }
}
"""

CURSOR = """\
{
  "mcpServers": {
    "files": {
      "command": "${workspaceFolder}/bin/files",
      "args": ["${userHome}", "${workspaceFolderBasename}", "a${/}b"],
      "env": { "TOKEN": "${env:TOKEN}", "DEBUG": true, "PORT": 8080, "GONE": null }
    },
    "remote": { "url": "https://example.com/sse" }
  }
}
"""


@pytest.fixture
def load(tmp_path: Path) -> Import:
    """Write an `mcp.json` and import it."""

    def load(content: str | dict[str, Any], *, at: str = "mcp.json", **environ: str) -> mcpjson.Imported:
        file = tmp_path / at
        file.parent.mkdir(exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
        return mcpjson.read(file, environ)

    return load


def one(load: Import, server: Any, **environ: str) -> mcpjson.Imported:
    return load({"mcpServers": {"it": server}}, **environ)


def test_what_vscode_writes_is_read(load: Import, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\n")
    found = load(VSCODE, at=".vscode/mcp.json")
    memory = found.servers["memory"]
    assert memory.line == 12
    assert memory.settings == {
        "disabled": False,
        "command": "npx",
        "args": ["-y", "@modelcontextprotocol/server-memory", "//not-a-comment", "a,]"],
        "env": {"A": "1"},
        "workers": 1,
    }
    (broken,) = found.broken
    assert str(broken) == (
        f"github ({tmp_path}/.vscode/mcp.json, line 8): headers.Authorization needs ${{input:token}}, which "
        "only an editor can ask for. Write ${TOKEN} instead, and set that variable."
    )
    assert found.warnings == ()


def test_what_claude_writes_is_read(load: Import) -> None:
    found = load(CLAUDE, KEY="k", API="https://other.example.com")
    assert found.servers["time"].settings["args"] == ["mcp-server-time", "--zone=UTC"]
    assert found.servers["api"].settings == {
        "disabled": False,
        "url": "https://other.example.com/mcp",
        "headers": {"X-Key": "k"},
        "transport": "http",
    }
    assert found.servers["old"].settings["transport"] == "sse"
    assert found.broken == ()


def test_what_cursor_writes_is_read(load: Import, tmp_path: Path) -> None:
    found = load(CURSOR, at=".cursor/mcp.json", HOME="/home/me", TOKEN="t")  # noqa: S106  # no secret
    files = found.servers["files"].settings
    assert files["command"] == f"{tmp_path}/bin/files"
    assert files["args"] == ["/home/me", tmp_path.name, "a/b"]
    assert files["env"] == {"TOKEN": "t", "DEBUG": "true", "PORT": "8080"}
    assert "transport" not in found.servers["remote"].settings


def test_an_unset_variable_breaks_its_server_only_and_names_file_and_line(
    load: Import, tmp_path: Path
) -> None:
    found = load(CLAUDE)
    assert sorted(found.servers) == ["old", "time"]
    (broken,) = found.broken
    assert broken == mcpjson.BrokenServer(
        name="api",
        file=tmp_path / "mcp.json",
        line=7,
        reason="headers.X-Key needs ${KEY}, which is not set",
        advice="Set KEY in the environment, or write ${KEY:-default}.",
    )


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ({}, "it has no command"),
        ({"type": "http"}, "it has no url"),
        ("npx", "it is no table"),
        ({"type": "carrier-pigeon", "command": "x"}, "its type 'carrier-pigeon' is not known"),
        ({"type": "stdio", "url": "http://x"}, 'its type is stdio, and it has a url but no "command"'),
        ({"command": "x", "args": "y"}, "its args are no list"),
        ({"command": 5}, None),
        ({"command": ["x"]}, "its command is no text"),
        ({"command": " "}, "its command is empty"),
        ({"command": "x", "args": [["y"]]}, "its args is no text"),
        ({"command": "x", "env": ["A=1"]}, "its env is no table"),
        ({"command": "x", "env": {"A": {}}}, "its env.A is no text"),
        ({"command": "x", "timeout": "soon"}, "its timeout 'soon' is no duration"),
        ({"command": "x", "timeout": 0}, "its timeout is 0"),
    ],
)
def test_a_server_that_cannot_run_says_why(load: Import, server: Any, reason: str | None) -> None:
    found = one(load, server)
    assert [broken.reason for broken in found.broken] == ([reason] if reason else [])
    assert all(broken.advice for broken in found.broken)


@pytest.mark.parametrize(("said", "span"), [(60, 60), (999, 999), (1000, 1), (60_000, 60), ("90s", 90)])
def test_a_timeout_is_seconds_or_milliseconds_by_its_size(load: Import, said: object, span: float) -> None:
    found = one(load, {"command": "x", "timeout": said})
    assert found.servers["it"].settings["attempt_timeout"] == span


@pytest.mark.parametrize("word", ["http", "streamable-http", "streamableHttp"])
@pytest.mark.parametrize("key", ["url", "serverUrl", "httpUrl"])
def test_streamable_http_goes_by_several_names(load: Import, word: str, key: str) -> None:
    settings = one(load, {"type": word, key: "http://x/mcp"}).servers["it"].settings
    assert (settings["url"], settings["transport"]) == ("http://x/mcp", "http")


def test_unknown_keys_warn_and_name_the_near_one(load: Import, tmp_path: Path) -> None:
    found = load({"mcpServers": {"it": {"command": "x", "arg": [], "gallery": 1, "headers": {}}}, "theme": 1})
    place = tmp_path / "mcp.json"
    assert found.warnings == (
        f"{place}: theme at the top level have no effect here.",
        f"{place}: it.arg has no effect here; did you mean args?",
        f"{place}: it.gallery has no effect here.",
        f"{place}: it.headers has no effect here.",
    )
    assert "it" in found.servers


def test_a_variable_of_an_unknown_form_stays_as_it_is(load: Import) -> None:
    found = one(load, {"command": "x", "args": ["${a.b}", "$HOME", "${}"]})
    assert found.servers["it"].settings["args"] == ["${a.b}", "$HOME", "${}"]


def test_an_empty_variable_takes_the_default_where_there_is_one(load: Import) -> None:
    found = one(load, {"command": "x", "args": ["${A:-b}", "${A}", "${env:B:-c}"]}, A="")
    assert found.servers["it"].settings["args"] == ["b", "", "c"]


def test_what_env_says_stands_above_the_env_file(load: Import, tmp_path: Path) -> None:
    (tmp_path / "keys.env").write_text("A=1\nB=2\n")
    found = one(load, {"command": "x", "envFile": "keys.env", "env": {"B": "3"}})
    assert found.servers["it"].settings["env"] == {"A": "1", "B": "3"}


def test_an_env_file_that_is_not_there_or_wrong_breaks_its_server(load: Import, tmp_path: Path) -> None:
    (broken,) = one(load, {"command": "x", "envFile": "no.env"}).broken
    assert broken.reason == f"its envFile {tmp_path}/no.env cannot be read (No such file or directory)"
    assert broken.line == 5
    (tmp_path / "no.env").write_text("A=1\ns3cret\n")
    (broken,) = one(load, {"command": "x", "envFile": "no.env"}).broken
    assert broken.reason == f"its envFile {tmp_path}/no.env is wrong: line 2 is not NAME=value"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON: "),
        ("[]", 'has no table of servers. Put them under "mcpServers" (or "servers"), by name.'),
        ('{"mcpServers": []}', "has no table of servers"),
        ("[" * 100_000, "is no JSON: "),
    ],
)
def test_a_file_that_is_none_is_refused(load: Import, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        load(text)
    assert str(caught.value).startswith(f"{tmp_path / 'mcp.json'} {said}")


def test_vscode_settings_hold_servers_one_level_down(load: Import) -> None:
    assert list(load({"mcp": {"servers": {"a": {"command": "x"}}}}).servers) == ["a"]


def test_a_name_that_also_stands_elsewhere_keeps_its_own_line(load: Import) -> None:
    found = load('{"mcpServers": {\n"env": {"command": "x",\n"env": {"y": "1"}},\n"y": {"command": "z"}}}')
    assert [(name, server.line) for name, server in found.servers.items()] == [("env", 2), ("y", 4)]


# From here on: through the whole configuration.


def loaded(directory: Path, mcp: Any, toml: str = "", **environ: str) -> Config:
    (directory / "mcp.json").write_text(mcp if isinstance(mcp, str) else json.dumps({"mcpServers": mcp}))
    (directory / "mcpweft.toml").write_text(toml)
    return load_config(directory / "mcpweft.toml", {}, environ)


def test_imported_servers_become_servers_of_the_configuration(tmp_path: Path) -> None:
    config = loaded(tmp_path, CLAUDE, KEY="k")
    assert {name: (server.transport, server.workers) for name, server in config.servers.items()} == {
        "time": (Transport.STDIO, 1),
        "api": (Transport.HTTP, 1),
        "old": (Transport.SSE, 1),
    }
    assert config.broken == ()


def test_a_section_of_the_same_name_is_laid_over_the_import(tmp_path: Path) -> None:
    config = loaded(tmp_path, CLAUDE, '[servers.time]\nworkers = 4\n[servers.time.env]\nA = "1"\n', KEY="k")
    time = config.servers["time"]
    assert (time.command, time.workers, time.env) == ("uvx", 4, {"A": "1"})


def test_a_section_may_say_anew_what_a_server_is(tmp_path: Path) -> None:
    config = loaded(tmp_path, CLAUDE, '[servers.time]\nurl = "http://time/mcp"\n', KEY="k")
    time = config.servers["time"]
    assert (time.command, time.args, time.url, time.transport) == (
        None,
        (),
        "http://time/mcp",
        Transport.HTTP,
    )


def test_a_broken_import_is_listed_and_takes_what_is_added_to_it_along(tmp_path: Path) -> None:
    config = loaded(tmp_path, CLAUDE, "[servers.api]\nworkers = 4\n", MCPWEFT_SERVERS__API__CONCURRENCY="2")
    assert sorted(config.servers) == ["old", "time"]
    assert [broken.name for broken in config.broken] == ["api"]


def test_a_section_that_stands_alone_mends_a_broken_import(tmp_path: Path) -> None:
    config = loaded(tmp_path, CLAUDE, '[servers.api]\nurl = "http://x/mcp"\n')
    assert config.servers["api"].url == "http://x/mcp"
    assert config.broken == ()


def test_an_import_that_the_models_refuse_is_broken_and_the_others_run(tmp_path: Path) -> None:
    config = loaded(tmp_path, {"bad": {"url": "ftp://x"}, "good": {"command": "x"}})
    assert list(config.servers) == ["good"]
    (broken,) = config.broken
    assert (broken.name, broken.line) == ("bad", 1)
    assert broken.advice == "Write a URL that starts with http:// or https://."


def test_a_wrong_key_in_the_section_over_an_import_is_the_sections_fault(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidConfigError, match=r"servers\.time\.workers is \"x\" \(.*mcpweft\.toml, line 2\)"
    ):
        loaded(tmp_path, CLAUDE, '[servers.time]\nworkers = "x"\n', KEY="k")


def test_a_disabled_server_is_kept_and_nobody_hears_what_it_lacks(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        {
            "off": {"command": "x", "disabled": True},
            "out": {"command": "x", "enabled": False},
            "lacks": {"command": "${NO}", "disabled": True},
        },
    )
    assert sorted(config.servers) == ["off", "out"]
    assert (config.active, config.broken) == ({}, ())


def test_of_two_files_the_later_wins_and_says_so(tmp_path: Path) -> None:
    for name, command in (("a.json", "x"), ("b.json", "y")):
        (tmp_path / name).write_text(json.dumps({"servers": {"it": {"command": command}}}))
    config = load_config(None, {"include": ["a.json", "b.json"]}, {}, directory=tmp_path)
    assert config.servers["it"].command == "y"
    assert config.warnings == (
        f"Server 'it' is both in {tmp_path}/a.json and in {tmp_path}/b.json: the latter is taken.",
    )


def test_only_the_default_file_may_be_missing(tmp_path: Path) -> None:
    assert load_config(None, {}, {}, directory=tmp_path).servers == {}
    with pytest.raises(InvalidConfigError, match=r"is to be imported \(include\), and is not there"):
        load_config(None, {"include": ["mcp.json"]}, {}, directory=tmp_path)


def test_without_a_file_or_directory_nothing_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mcp.json").write_text(CLAUDE)
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {}, {}).servers == {}
    assert load_config(None, {"include": ["mcp.json"]}, {"KEY": "k"}).servers


def test_comments_and_commas_go_and_everything_else_stays_in_place() -> None:
    text = '{"a": "// \\" /* ,]", /* x\ny */ "b": [1, 2,], // z\n}'
    assert jsonc.loads(text) == {"a": '// " /* ,]', "b": [1, 2]}
    plain = jsonc.plain(text)
    assert len(plain) == len(text)
    assert [at for at, char in enumerate(plain) if char == "\n"] == [
        at for at, char in enumerate(text) if char == "\n"
    ]


def test_a_comment_between_a_comma_and_its_bracket_does_not_matter() -> None:
    assert jsonc.loads("[1, // one\n /* two */ ]") == [1]


def test_an_env_file_is_read_in_each_form() -> None:
    text = """\
# keys
export A=1
B = two words  # and a comment
C='single #1 $X'  # c
D="a\\nb \\"c\\" \\\\"
E=
F=a#b
"""
    assert envfile.parse(text) == {
        "A": "1",
        "B": "two words",
        "C": "single #1 $X",
        "D": 'a\nb "c" \\',
        "E": "",
        "F": "a#b",
    }


def test_the_workspace_is_above_an_editors_folder(tmp_path: Path) -> None:
    assert Expander(tmp_path / ".vscode" / "mcp.json", {}).workspace == tmp_path
    assert Expander(tmp_path / "mcp.json", {}).workspace == tmp_path
