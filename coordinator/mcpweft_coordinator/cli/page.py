"""What the admin commands print: a value as JSON, or a table for people.

Above stand the commands. This module must never know what they are about.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def print_json(value: Any) -> None:
    """Print one value as one line of JSON."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


def print_line(text: str) -> None:
    """Print one line."""
    sys.stdout.write(text + "\n")


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print rows under their heads: drawn on a terminal, parted by tabs elsewhere; `empty` for no rows."""
    lines = list(rows)
    if not lines:
        sys.stderr.write(empty + "\n")
    elif not sys.stdout.isatty():
        flat = ([" ".join(word.split()) for word in line] for line in (heads, *lines))
        sys.stdout.writelines("\t".join(line) + "\n" for line in flat)
    else:
        from rich import box  # slow to import, and needed for a drawing only
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for head in heads:
            table.add_column(head, overflow="fold")
        for line in lines:
            table.add_row(*map(Text, line))  # what a person wrote is text, never markup
        Console().print(table)


def at(ms: int) -> str:
    """Return a time of the store's clock as people write it, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
