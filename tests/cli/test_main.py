"""The root of the command line: names, help, errors, exit codes, and what it loads."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mcpweft.cli import exits
from mcpweft.cli.exits import Exit
from mcpweft.cli.main import COMMANDS, main
from mcpweft_schemas.errors import BY_CODE, ConnectionFailedError
from mcpweft_schemas.locate import locate

if TYPE_CHECKING:
    from pathlib import Path

    from cli.shell import Shell

NAMES = [entry.name for entries in COMMANDS.values() for entry in entries]
STORE_TOLD = {"call", "submit", "result", "map", "tools", "status"}

# A room's module → who may load it. `mcp` and `arq` are what makes a start slow.
HEAVY = ("mcp", "arq", "mcpweft_workers", "mcpweft_coordinator", "rich", "pydantic_settings")


def loaded_by(words: list[str], shell: Shell) -> set[str]:
    """The heavy packages that a command line loads."""
    code = (
        "import json, sys\n"
        "from mcpweft.cli.main import main\n"
        f"code = main({words!r})\n"
        f"print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=shell.env,
        cwd=shell.home,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stderr.splitlines()[-1])[1])


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"mcpweft {name}" in capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in NAMES)


def test_the_version_is_the_packages(shell: Shell) -> None:
    assert shell.run("--version").out.strip() == "0.1.0"


def test_both_ways_into_the_module_run_it(shell: Shell) -> None:
    for module in ("mcpweft", "mcpweft.cli.main"):
        done = subprocess.run(
            [sys.executable, "-m", module, "--version"],
            env=shell.env,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == "0.1.0"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cal", "x.y"], "There is no command 'cal'. Did you mean `mcpweft call`?"),
        (["call"], "CAP.TOOL"),
        (["call", "x.y", "--tiemout", "3"], "Did you mean --timeout?"),
        (["call", "x.y", "word"], "'word' is no argument. Write key=value, or key:=JSON."),
        (["call", "x.y", "a=1", "a=2"], "The argument 'a' is given twice."),
        (["call", "x.y", "a:=one"], "The value of 'a' is no JSON"),
        (["call", "x.y", "--json", "[1]"], "is no JSON object"),
        (["call", "x.y", "--json", "{"], "is no JSON"),
        (["call", "x.y", "--json", "@nope"], "nope: No such file or directory."),
        (["map", "nope.jsonl"], "nope.jsonl: No such file or directory."),
        (["result", "nonsense"], "is no request id"),
        (["worker"], "Which server to run is not said"),
    ],
)
def test_wrong_usage_is_one_message_and_never_a_traceback(words: list[str], said: str, shell: Shell) -> None:
    done = shell.run(*words)
    assert said in done.err
    assert done.err.startswith("mcpweft: ")
    assert done.err.count("\n") == 1
    assert done.out == ""
    assert done.code in {Exit.USAGE, Exit.FAILED}


def test_debug_shows_the_traceback(shell: Shell) -> None:
    code = "from mcpweft.cli.main import main; main(['call', 'x.y', '--debug'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=shell.env,
        cwd=shell.home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" in done.stderr
    assert "ConnectionFailedError" in done.stderr


@pytest.mark.parametrize(
    ("command", "missing", "line"),
    [
        ("worker", "mcp", "pip install 'mcpweft[worker]'"),
        ("coordinator", "arq", "pip install 'mcpweft[coordinator]'"),
        ("up", "arq", "pip install 'mcpweft[all]'"),
        ("up", "mcp", "pip install 'mcpweft[all]'"),
    ],
)
def test_a_missing_extra_is_named_with_its_install_line(
    command: str, missing: str, line: str, shell: Shell
) -> None:
    words = [command, "--store", "redis://127.0.0.1:1"] + (
        ["--command", "true"] if command == "worker" else []
    )
    # A finder that knows nothing of the module is what an environment without the extra looks like.
    code = (
        "import importlib.abc, importlib.machinery, sys\n"
        "real = importlib.machinery.PathFinder.find_spec\n"
        "def find(name, *rest):\n"
        f"    return None if name.partition('.')[0] == {missing!r} else real(name, *rest)\n"
        "importlib.machinery.PathFinder.find_spec = find\n"
        "from mcpweft.cli.main import main\n"
        f"sys.exit(main({words!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=shell.env,
        cwd=shell.home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.USAGE
    assert done.stderr == f"mcpweft: This command needs {missing}, which is not installed. Run: {line}\n"


@pytest.mark.parametrize(
    ("words", "may"),
    [
        (["--version"], {"rich"}),
        (["call", "x.y", "a=1", "--timeout=1s"], set[str]()),
        (["submit", "x.y", "a=1", "--timeout=1s"], set[str]()),
        (["result", "x~1"], set[str]()),
        (["map", "-", "x.y"], set[str]()),
        (["tools", "--json"], set[str]()),
        (["status", "--json"], set[str]()),
        (["dead", "list", "--json", "--store=redis://127.0.0.1:1"], set[str]()),
        (["check"], set[str]()),
        (["init", "-"], set[str]()),
        (["doctor", "--json"], set[str]()),
        (["--help"], {"rich"}),
        (["worker", "--help"], {"rich", "mcpweft_workers"}),
        (["coordinator", "--help"], {"rich", "mcpweft_coordinator"}),
        (["up", "--help"], {"rich", "mcpweft_coordinator"}),
    ],
)
def test_no_command_loads_a_room_that_it_does_not_use(words: list[str], may: set[str], shell: Shell) -> None:
    assert (
        loaded_by([*words, "--store=redis://127.0.0.1:1"] if words[0] in NAMES[3:11] else words, shell) <= may
    )


def test_every_error_has_an_exit_code() -> None:
    codes = {code: exits.exit_of(kind("it happened")) for code, kind in BY_CODE.items()}
    assert set(codes.values()) <= {1, 2, 4, 5}
    assert {code.value for code, exit_code in codes.items() if exit_code == Exit.TIMEOUT} == {"TIMEOUT"}
    assert exits.exit_of(KeyboardInterrupt()) == 130
    assert exits.exit_of(RuntimeError()) == 1


def test_a_fabric_that_nobody_names_is_told_from_a_store_that_is_down(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailedError) as missing:
        locate(environ={"XDG_RUNTIME_DIR": str(tmp_path)}, directory=tmp_path)
    assert exits.exit_of(missing.value) == Exit.NO_FABRIC
    assert exits.exit_of(ConnectionFailedError("down")) == Exit.UNAVAILABLE
