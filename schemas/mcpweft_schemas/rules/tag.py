"""Tags: the pool of those servers of a capability that carry them.

    search, tags gpu and eu → search--eu-gpu

A server serves, beside each of its capabilities, a pool for every set of its own tags. So a request that
must have tags is in a pool that no other server takes from, and the moves of the protocol need know nothing
of it.

Above stand the configuration of servers and the producers. This module must never know which servers there
are.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LEGAL = re.compile(r"[a-z0-9_]{1,16}")
"""What a tag looks like; it has no `-`, which parts tags from each other."""
MOST = 3
"""Tags of one server: each one doubles its pools."""
MARK = "--"
"""Parts a capability from its tags."""


def check(tag: str) -> str:
    """Return `tag` if it is one. Raises ValueError."""
    if not LEGAL.fullmatch(tag):
        raise ValueError(f"Write {tag!r} as 1 to 16 of a-z, 0-9 and _")
    return tag


def tagged(capability: str, tags: Iterable[str]) -> str:
    """Return the pool of the servers of `capability` that carry all of `tags`; with none, itself.

    A capability may be such a pool already: then its servers carry all of both.
    """
    plain, own = untagged(capability)
    words = sorted({*own, *tags})
    return plain + MARK + "-".join(words) if words else plain


def pools(capability: str, tags: Iterable[str]) -> tuple[str, ...]:
    """Return every pool of `capability` that a server with these tags serves, that without tags first."""
    words = sorted(set(tags))
    sets = (each for size in range(len(words) + 1) for each in combinations(words, size))
    return tuple(tagged(capability, each) for each in sets)


def untagged(pool: str) -> tuple[str, tuple[str, ...]]:
    """Return the capability and the tags that a pool's name is made of."""
    capability, _, words = pool.rpartition(MARK)
    return (capability, tuple(words.split("-"))) if capability else (pool, ())
