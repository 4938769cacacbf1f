"""What lies in a pool's slots, read: tallies of its series, pictures of its counters, levels.

Above stands `summary`, which adds them up. Below is the store's answer. What cannot be read counts as
nothing: others may have written it. This module must never ask anybody anything.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcpweft_schemas.figure import COUNTERS, Tally, read_series
from mcpweft_schemas.life import Class
from mcpweft_schemas.packing import unpack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_schemas.store import Slot

Place = tuple[str, str, Class]
"""Server, tool, class."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A pool's counters at one moment."""

    at_ms: int
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Part:
    """One slot of one pool."""

    start_s: int
    series: dict[Place, Tally] = field(default_factory=dict[Place, Tally])
    pool: Tally = field(default_factory=Tally)
    servers: dict[str, Tally] = field(default_factory=dict[str, Tally])
    picture: Picture | None = None


def read_slot(slot: Slot) -> Part:
    """Read one slot."""
    series: dict[Place, Tally] = {}
    servers: dict[str, Tally] = {}
    for name, packed in slot.fields.items():
        if name.startswith("@"):
            servers[name[1:]] = Tally.read(packed)
        elif name not in {"#", "="}:
            with contextlib.suppress(ValueError):
                server, tool, klass = read_series(name)
                series[server, tool, Class(klass)] = Tally.read(packed)
    pool = Tally.read(slot.fields.get("=", b""))
    return Part(slot.start_s, series, pool, servers, _picture(slot.fields.get("#")))


def _picture(packed: bytes | None) -> Picture | None:
    try:
        told = unpack(packed) if packed else None
    except ValueError:
        return None
    if not isinstance(told, list) or not told or not all(isinstance(n, int) for n in told):
        return None
    at, *counts = told
    return Picture(at, dict(zip(COUNTERS, counts, strict=False)))
