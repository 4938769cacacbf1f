"""The root of the command line: it knows every command's name and loads a command's room when it is used.

    mcpweft = mcpweft.cli.main:main        also `python -m mcpweft` and `python -m mcpweft.cli.main`

Below stand the commands, here and in the workers' and the coordinator's rooms, named by import path. Whatever
a command raises becomes one message and an exit code here. This module must never import a room.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cyclopts import App, CycloptsError, Group, Parameter

from mcpweft.cli.exits import Exit, UsageError, exit_of, message_of
from mcpweft_schemas.errors import McpweftError, near

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Entry:
    """A command that nobody has loaded yet."""

    name: str
    path: str
    help: str
    extra: str | None = None
    """The extra of pip's that it needs."""


_HERE = "mcpweft.cli."

COMMANDS: dict[str, tuple[Entry, ...]] = {
    "Run": (
        Entry("up", "mcpweft_coordinator.up:up", "Run a whole fabric in this terminal.", "all"),
        Entry(
            "worker", "mcpweft_workers.command:worker", "Run one worker, bound to one MCP server.", "worker"
        ),
        Entry(
            "coordinator",
            "mcpweft_coordinator.command:coordinator",
            "Run a coordinator, the control plane.",
            "coordinator",
        ),
    ),
    "Call": (
        Entry("call", _HERE + "call:call", "Call a tool and print its answer."),
        Entry("submit", _HERE + "call:submit", "Enqueue a call and print its id."),
        Entry("result", _HERE + "request:result", "Print the outcome of a submitted call."),
        Entry("cancel", _HERE + "request:cancel", "Cancel a call, from anywhere."),
        Entry("map", _HERE + "bulk:bulk", "Make the calls that a JSON lines file lists; resumable."),
    ),
    "Look": (
        Entry("tools", _HERE + "fleet:tools", "List the tools that the fabric offers."),
        Entry("status", _HERE + "fleet:status", "Show pools, queues and workers."),
        Entry("events", _HERE + "events:events", "Show what happened in the fleet, and follow it."),
        Entry("analytics", _HERE + "analytics:analytics", "Show what was measured, and what to change."),
        Entry("inspect", _HERE + "request:inspect", "Show where one call stands, and each attempt."),
        Entry("dead", _HERE + "dead:app", "List, show, replay or purge dead letters."),
    ),
    "Manage": (
        Entry(
            "servers",
            "mcpweft_coordinator.cli.servers:app",
            "List servers; add, remove, drain them, take them out.",
            "coordinator",
        ),
        Entry(
            "config",
            "mcpweft_coordinator.cli.settings:app",
            "Show and change the whole fleet's configuration.",
            "coordinator",
        ),
        Entry(
            "strategy",
            "mcpweft_coordinator.cli.strategies:app",
            "Show and set how pools divide their work.",
            "coordinator",
        ),
        Entry(
            "rules",
            "mcpweft_coordinator.cli.rules:app",
            "Show, try out and set routing rules.",
            "coordinator",
        ),
    ),
    "Set up": (
        Entry("init", _HERE + "init:init", "Write a commented mcpweft.toml."),
        Entry("check", _HERE + "check:check", "Check mcpweft.toml and mcp.json."),
        Entry("doctor", _HERE + "doctor:doctor", "Look for what keeps the fabric from working here."),
        Entry("completion", _HERE + "completion:completion", "Print or install shell completion."),
    ),
}
"""Every command, by the heading it stands under in `--help`."""

_TAKES_ARGUMENTS = {"call", "submit"}


def build() -> App:
    """Return the application, with no command loaded."""
    app = App(
        name="mcpweft",
        version=_version,
        suppress_keyboard_interrupt=False,
        default_parameter=Parameter(negative=(), show_default=False),
        group_commands=Group("Options", sort_key=len(COMMANDS)),
        help="A worker fabric for MCP servers: enqueue tool calls, let workers pull them.",
        help_epilogue=(
            "`--debug` before or behind a command shows the traceback of what went wrong. "
            "Exit codes: 0 done, 1 an error was answered, 2 wrong usage, 3 no fabric found, 4 out of time, "
            "5 unavailable, 130 interrupted."
        ),
    )
    for position, (heading, entries) in enumerate(COMMANDS.items()):
        group = Group(heading, sort_key=position)
        for place, entry in enumerate(entries):
            app.command(entry.path, name=entry.name, help=entry.help, group=group, sort_key=place)
    app.command(_HERE + "completion:install", name="--install-completion", show=False)
    return app


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line (the process's own by default); return the exit code."""
    given, debug = _without_debug(list(sys.argv[1:] if words is None else words))
    try:
        _check_command(given)
        code = build()(
            _with_json_settled(given),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()  # a reader who has gone is noticed here, not after the last line
    except CycloptsError as error:
        if debug:
            raise
        _say(f"{error} {_usage_hint(given)}")
        return Exit.USAGE
    except (Exception, KeyboardInterrupt) as error:  # whatever it was: one message
        if debug:
            raise
        return _fail(error, given)
    return code if isinstance(code, int) else Exit.OK


def _check_command(given: list[str]) -> None:
    """Refuse an unknown command: the parser would load every room to say the same."""
    if not given or given[0].startswith("-") or given[0] in _names():
        return
    close = near(given[0], _names(), most=1)
    raise UsageError(
        f"There is no command {given[0]!r}." + (f" Did you mean `mcpweft {close[0]}`?" if close else "")
    )


def _names() -> list[str]:
    return [entry.name for entries in COMMANDS.values() for entry in entries]


def _fail(error: BaseException, given: list[str]) -> int:
    if isinstance(error, BrokenPipeError):
        # The interpreter flushes stdout once more as it ends, which would print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE
    if isinstance(error, McpweftError) and _asks_for_json(given):
        from mcpweft.cli.answer import error_json, print_json  # here only

        print_json(error_json(error))
        sys.stdout.flush()
    entry = next((e for entries in COMMANDS.values() for e in entries if given[:1] == [e.name]), None)
    text = message_of(error, entry.extra if entry else None)
    _say(f"{text} {_usage_hint(given)}" if isinstance(error, UsageError) else text)
    return exit_of(error)


def _asks_for_json(given: list[str]) -> bool:
    end = given.index("--") if "--" in given else len(given)
    return any(word == "--json" or word.startswith("--json=") for word in given[:end])


def _say(text: str) -> None:
    print(f"mcpweft: {text}", file=sys.stderr)  # noqa: T201  # a command line prints


def _usage_hint(given: list[str]) -> str:
    command = f" {given[0]}" if given and given[0] in _names() else ""
    return f"`mcpweft{command} --help` shows how it is used."


def _without_debug(words: list[str]) -> tuple[list[str], bool]:
    """Return the words without `--debug`, which every command takes, and whether it was there."""
    end = words.index("--") if "--" in words else len(words)
    debug = "--debug" in words[:end]
    return [word for word in words[:end] if word != "--debug"] + words[end:], debug


def _with_json_settled(words: list[str]) -> list[str]:
    """Return the words with the value that `--json` may have bound to it, in `call` and `submit`.

    There `--json '{…}'`, `--json -` and `--json @file` bring arguments, and a bare `--json` only asks for
    JSON to be printed: what follows it tells, because an argument as `key=value` begins like none of these.
    """
    if not words or words[0] not in _TAKES_ARGUMENTS:
        return words
    settled: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*settled, word, *rest]
        if word == "--json":
            brings = bool(rest) and (
                rest[0] == "-" or rest[0].lstrip()[:1] in {"{", "["} or rest[0][:1] == "@"
            )
            word = f"--json={rest.pop(0)}" if brings else "--json="
        settled.append(word)
    return settled


def _version() -> str:
    from importlib.metadata import version  # slow, and asked for by one flag only

    return version("mcpweft")


if __name__ == "__main__":
    sys.exit(main())
