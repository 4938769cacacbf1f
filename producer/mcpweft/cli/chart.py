"""A chart in one line of a terminal: eight heights, a column for each stretch of time.

Above stand the commands that draw. A column is the highest of what lies in it; where nothing is known it is
empty. This module must never know what it draws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 80
_HEIGHTS = "▁▂▃▄▅▆▇█"
_NAME, _MOST = 11, 13


def chart(
    name: str,
    points: Sequence[tuple[int, float | None]],
    first_ms: int,
    last_ms: int,
    form: str = "{:.0f}",
    width: int = WIDTH,
) -> str:
    """Draw points between two moments: the name, the columns, and what the highest of them is."""
    columns: list[float | None] = [None] * max(1, width - _NAME - _MOST)
    for at_ms, value in points:
        place = (at_ms - first_ms) * len(columns) // max(1, last_ms - first_ms)
        if value is not None and 0 <= place < len(columns):
            columns[place] = max(value, columns[place] or 0.0)
    known = [value for value in columns if value is not None]
    most = max(known, default=0.0)
    drawn = "".join(" " if value is None else _bar(value, most) for value in columns)
    told = f"most {form.format(most)}" if known else "unknown"
    return f"{name:<{_NAME}}{drawn} {told}"[:width].rstrip()


def _bar(value: float, most: float) -> str:
    return _HEIGHTS[round(value / most * (len(_HEIGHTS) - 1))] if most > 0 else _HEIGHTS[0]
