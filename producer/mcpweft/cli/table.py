"""Tables for people. Rich is loaded when one is printed, and not before.

Above stand the commands that print tables. This module must never know what they are about.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print rows under their heads: drawn on a terminal, parted by tabs elsewhere; `empty` for no rows."""
    lines = list(rows)
    if not lines:
        sys.stderr.write(empty + "\n")
    elif not sys.stdout.isatty():
        sys.stdout.writelines("\t".join(map(_flat, line)) + "\n" for line in (heads, *lines))
    else:
        from rich import box  # slow to import, and needed for a drawing only
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for head in heads:
            table.add_column(head, overflow="fold")
        for line in lines:
            table.add_row(*map(Text, line))  # what a server said is text, never markup
        Console().print(table)


def _flat(text: str) -> str:
    return " ".join(text.split())


def ago(now_ms: int, then_ms: int) -> str:
    """Return how long ago something was: `12s ago`."""
    past = max(0, now_ms - then_ms)
    for unit, size in (("d", _DAY), ("h", _HOUR), ("m", _MINUTE)):
        if past >= size:
            return f"{past // size}{unit} ago"
    return f"{past // _SECOND}s ago"
