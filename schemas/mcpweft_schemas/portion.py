"""One party's part of a whole number that all who are there divide, each for itself.

Each reads the same sorted list and takes its part by its own place in it, so the parts add up to the whole
without a word between them. Above stand the workers of one HTTP server, which divide its slots, and the
launchers of a fleet, which divide a server's workers. This module must never know what is divided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def part_of(whole: int, present: Sequence[str], who: str) -> int:
    """Return the part of `who`; those of all that are `present` add up to `whole`. A stranger has none."""
    if who not in present:
        return 0
    each, rest = divmod(whole, len(present))
    return each + (present.index(who) < rest)
