"""`mcpweft events`: what happened in the fleet, and, followed, what happens.

Below is the client. This module must never decide what an event means.
"""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mcpweft.cli import answer
from mcpweft.cli.exits import Exit, UsageError
from mcpweft.cli.option import FOUND, Fabric, Json
from mcpweft.cli.running import run
from mcpweft.cli.table import print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mcpweft import Event

_HEADS = ("when", "kind", "who", "pool", "server", "worker", "why", "more")


def events(
    *,
    follow: bool = False,
    since: str | None = None,
    kind: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    server: str | None = None,
    json: Json = False,
    fabric: Fabric = FOUND,
) -> int:
    """Show what happened in the fleet, oldest first.

    Parameters
    ----------
    follow
        Go on with each event as it comes, until Ctrl-C.
    since
        How far back to begin, such as 5m, or the id of an event to go on behind it. Unset: with all that are
        kept, or, when following, with what comes.
    kind
        Only events of this kind; may be given several times.
    server
        Only events of this server.
    json
        Print JSON, a line each.
    fabric
        Which fabric.

    """
    from mcpweft.pages import event_json  # once the command line is known to be right

    kinds = _kinds(kind)

    def wanted(event: Event) -> bool:
        if event.kind.value == "gap":
            return True
        return (not kinds or event.kind.value in kinds) and server in {None, event.server}

    lines: list[tuple[str, ...]] = []

    def show(event: Event) -> None:
        if json:
            answer.print_json(event_json(event))
        elif follow:
            answer.print_line("  ".join(part for part in _row(event) if part))
        else:
            lines.append(_row(event))
        if follow:
            sys.stdout.flush()

    run(_events(fabric, since, lambda event: show(event) if wanted(event) else None, follow=follow))
    if not json and not follow:
        print_table(_HEADS, lines, empty="Nothing happened.")
    return Exit.OK


def _kinds(names: Sequence[str]) -> frozenset[str]:
    from mcpweft_schemas.errors import near  # not needed for --help
    from mcpweft_schemas.event import Kind

    known = [kind.value for kind in Kind]
    for name in names:
        if name not in known:
            close = near(name, known)
            hint = f"Did you mean {' or '.join(close)}?" if close else f"There are {', '.join(known)}."
            raise UsageError(f"There is no kind of event {name!r}. {hint}")
    return frozenset(names)


async def _events(fabric: Fabric, since: str | None, show: Callable[[Event], None], *, follow: bool) -> None:
    from mcpweft import Client  # once the command line is known to be right

    place = fabric.place()
    async with Client(place.url, namespace=place.namespace) as client:
        async for event in client.events(since, follow=follow):
            show(event)


def _row(event: Event) -> tuple[str, ...]:
    more = " ".join(f"{name}={value}" for name, value in event.data.items())
    when = dt.datetime.fromtimestamp(event.at_ms / 1000, dt.UTC).astimezone()
    return (
        when.isoformat(sep=" ", timespec="milliseconds")[:23], event.kind.value, event.who.value, event.pool,
        event.server, event.worker, " ".join(event.reason.split()), more,
    )  # fmt: skip
