"""The servers of `mcpweft up` on a terminal, as a table that changes; elsewhere as a line for each change.

Above stands `up`. Below are the launcher's views. This module must never know how a server is run.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from mcpweft_coordinator.view import CrewState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from rich.table import Table

    from mcpweft_coordinator.view import ServerView

_COLOURS = {
    CrewState.UP: "green",
    CrewState.STARTING: "yellow",
    CrewState.NOT_READY: "yellow",
    CrewState.RESTARTING: "yellow",
    CrewState.STOPPING: "yellow",
    CrewState.CRASHING: "red",
    CrewState.BROKEN: "red",
}
_LAST_LINES = 3


class Display(Protocol):
    """What `up` shows its servers on. `with` it."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(self, *_: object) -> None:
        """End; what was said stays."""
        ...

    def show(self, views: Sequence[ServerView]) -> None:
        """Show the servers as they are."""
        ...

    def say(self, text: str) -> None:
        """Print a line that stays."""
        ...


def display() -> Display:
    """Return what fits standard output: a table on a terminal, lines elsewhere."""
    return LiveTable() if sys.stdout.isatty() else Lines()


class Lines:
    """A line for each change."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, views: Sequence[ServerView]) -> None:
        """Print a line for each server that has changed."""
        for view in views:
            line = f"{view.name}: {told(view)}"
            if self._said.get(view.name) != line:
                self._said[view.name] = line
                self.say(line)
                if view.state is CrewState.CRASHING:
                    for last in view.last_lines[-_LAST_LINES:]:
                        self.say(f"  | {last}")

    def say(self, text: str) -> None:
        """Print a line."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


class LiveTable:
    """A table at the lower end of the terminal, drawn anew with each change."""

    def __init__(self) -> None:
        from rich.console import Console  # needed on a terminal only
        from rich.live import Live

        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False)
        self._shown: Sequence[ServerView] | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, views: Sequence[ServerView]) -> None:
        """Draw the table, if it has changed."""
        if views != self._shown:
            self._shown = views
            self._live.update(drawn(views), refresh=True)

    def say(self, text: str) -> None:
        """Print a line above the table."""
        self._console.print(text, markup=False, highlight=False)


def drawn(views: Sequence[ServerView]) -> Table:
    """Return the table of `views`."""
    from rich import box  # needed on a terminal only
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("server", "state", "workers", "tools", "capabilities", "reason"):
        table.add_column(head, overflow="fold")
    for view in views:
        last = view.last_lines[-_LAST_LINES:] if view.state is CrewState.CRASHING else ()
        table.add_row(
            Text(view.name),
            Text(str(view.state), style=_COLOURS.get(view.state, "")),
            f"{view.up}/{view.wanted}",
            _figure(view.tools),
            Text(", ".join(view.capabilities)),
            Text("\n".join((view.reason, *last)).strip()),  # what a server wrote is text, never markup
        )
    return table


def told(view: ServerView) -> str:
    """Return a server's state in words: `up, 1 of 2 workers, 7 tools: why`."""
    parts = [str(view.state)]
    if view.state is not CrewState.BROKEN:
        parts.append(f"{view.up} of {view.wanted} workers")
    if view.tools is not None:
        parts.append(f"{view.tools} tools")
    reason = view.reason.removeprefix(f"{view.name} ")
    return ", ".join(parts) + (f": {reason}" if reason else "")


def _figure(value: int | None) -> str:
    return "?" if value is None else str(value)
