"""`mcpweft call` and `mcpweft submit`: one request from a command line.

Below is the client, loaded once the command line is known to be right. This module must never know how a
request travels.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from cyclopts import Parameter

from mcpweft.cli import answer
from mcpweft.cli.argument import read_arguments
from mcpweft.cli.exits import Exit, UsageError
from mcpweft.cli.option import FOUND, Fabric
from mcpweft.cli.running import run
from mcpweft_schemas.errors import InvalidArgumentsError

if TYPE_CHECKING:
    from mcpweft.result import Progress
    from mcpweft.terms import CallOptions
    from mcpweft_schemas.locate import Place


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What may be asked for beside the tool and its arguments. Durations are written 20s, 500ms, 1h30m."""

    tool: str | None = None
    """The tool's name, where CAP.TOOL is a capability alone."""
    priority: str | None = None
    """0 to 10, or critical, high, normal, low."""
    timeout: str | None = None
    """Total time until the outcome."""
    start_within: str | None = None
    """How long it may wait for a worker."""
    attempt_timeout: str | None = None
    """Time of one attempt."""
    max_attempts: int | None = None
    """Attempts at most."""
    delay: str | None = None
    """Do not start it before that time has passed."""
    idempotency_key: str | None = None
    """Calls with the same key share one request and its outcome."""
    idempotent: Annotated[bool | None, Parameter(negative="--no-idempotent")] = None
    """Whether running it twice does no harm. Unset: as the operator or the tool says."""
    when_full: Literal["wait", "raise"] | None = None
    """What to do about a full queue."""
    when_unavailable: Literal["queue", "raise"] | None = None
    """What to do where no worker serves the capability."""
    tenant: str | None = None
    """Whose request it is."""

    def options(self) -> CallOptions:
        """Return what was said, as the client takes it."""
        said: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.priority is not None and self.priority.isdecimal():
            said["priority"] = int(self.priority)
        return cast("CallOptions", {key: value for key, value in said.items() if value is not None})


UNSAID = Terms()

Json = Annotated[str | None, Parameter(name="--json")]

_TARGET = "What to call, as CAPABILITY.TOOL."
_PAIRS = "Arguments, as key=value (JSON where it is JSON, else text) or key:=JSON."

_AS_TEXT = "(A value is read as JSON where it is JSON; key:='\"5\"' is the text 5.)"


def call(
    target: Annotated[str, Parameter(name="CAP.TOOL", help=_TARGET)],
    /,
    *pairs: Annotated[str, Parameter(name="KEY=VALUE", help=_PAIRS)],
    json: Json = None,
    progress: bool = False,
    terms: Terms = UNSAID,
    fabric: Fabric = FOUND,
) -> int:
    """Call a tool and print its answer.

    Parameters
    ----------
    target
        What to call.
    pairs
        Its arguments.
    json
        Print JSON. With a value ('{…}', - for standard input, @file) it brings the arguments as well.
    progress
        Show the tool's progress on standard error.
    terms
        What else is asked for.
    fabric
        Which fabric to call.

    """
    arguments = read_arguments(pairs, json)
    options = terms.options()
    if progress:
        options["on_progress"] = _show
    try:
        return run(_call(fabric.place(), target, arguments, options, as_json=json is not None))
    except InvalidArgumentsError as error:
        if any(not isinstance(arguments[pair.partition("=")[0].rstrip(":")], str) for pair in pairs):
            error.advice = f"{error.advice} {_AS_TEXT}"
        raise


async def _call(
    place: Place, target: str, arguments: dict[str, Any], options: CallOptions, *, as_json: bool
) -> int:
    from mcpweft import Client  # once the command line is known to be right

    async with Client(place.url, namespace=place.namespace) as client:
        result = await client.call(target, arguments, **options)
    if as_json:
        answer.print_json(answer.result_json(result))
    else:
        answer.print_result(result)
    return Exit.OK


def _show(progress: Progress) -> None:
    total = f" of {progress.total:g}" if progress.total is not None else ""
    sys.stderr.write(f"{progress.progress:g}{total} {progress.message or ''}".rstrip() + "\n")


def submit(
    target: Annotated[str, Parameter(name="CAP.TOOL", help=_TARGET)],
    /,
    *pairs: Annotated[str, Parameter(name="KEY=VALUE", help=_PAIRS)],
    json: Json = None,
    terms: Terms = UNSAID,
    fabric: Fabric = FOUND,
) -> int:
    """Enqueue a call, print its id, and do not wait. `mcpweft result ID` prints its outcome.

    Parameters
    ----------
    target
        What to call.
    pairs
        Its arguments.
    json
        Print JSON. With a value ('{…}', - for standard input, @file) it brings the arguments as well.
    terms
        What else is asked for.
    fabric
        Which fabric to call.

    """
    arguments = read_arguments(pairs, json)
    if not target:
        raise UsageError("What to call is empty.")
    return run(_submit(fabric.place(), target, arguments, terms.options(), as_json=json is not None))


async def _submit(
    place: Place, target: str, arguments: dict[str, Any], options: CallOptions, *, as_json: bool
) -> int:
    from mcpweft import Client  # once the command line is known to be right

    async with Client(place.url, namespace=place.namespace) as client:
        handle = await client.submit(target, arguments, **options)
    if as_json:
        answer.print_json({"id": handle.id})
    else:
        sys.stdout.write(handle.id + "\n")
    return Exit.OK
