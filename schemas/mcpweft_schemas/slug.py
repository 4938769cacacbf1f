"""The rule that makes a legal capability name of any server's name.

A capability is `[a-z0-9][a-z0-9_-]{0,63}`, and a server's own has no `--`, which stands before tags. A name
that is one already stays as it is. Of any other name:

1. accents are taken off and letters made small;
2. every run of `-` and other characters becomes one `-`; `-` and `_` are taken off the front, `-` off the
   end;
3. what is longer than 64 characters is cut, and ends in `-` and eight hex digits of the name's hash;
4. where nothing is left, it is `server-` and those eight digits;
5. where several names come to the same slug, the name that was legal as written keeps it, and each other
   one ends in `-` and its hash. So a slug depends on the names, never on their order.

Above stand the config models. This module must never know where a name comes from.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LEGAL = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""What a capability or a namespace looks like; use `fullmatch`."""

FORM = "1 to 64 of a-z, 0-9, - and _, the first one a letter or digit"
"""What to write where such a name is asked for."""

_LONGEST = 64
_FOREIGN = re.compile(r"[^a-z0-9_]+")


def slug(name: str) -> str:
    """Return the capability that `name` gives when no other name is in its way (rules 1 to 4)."""
    if LEGAL.fullmatch(name) and "--" not in name:
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    # A letter that has no plain form leaves nothing behind: its place is a gap like any other.
    if not plain.strip():
        return f"server-{_digest(name)}"
    tidy = _FOREIGN.sub("-", plain).lstrip("-_").rstrip("-")
    if not tidy:
        return f"server-{_digest(name)}"
    return tidy if len(tidy) <= _LONGEST else _marked(tidy, name)


def slugs(names: Iterable[str]) -> dict[str, str]:
    """Return the capability of each of `names`, all of them different (rules 1 to 5)."""
    plain = {name: slug(name) for name in names}
    shared = Counter(plain.values())
    taken = {short for name, short in plain.items() if short == name or shared[short] == 1}
    found: dict[str, str] = {}
    for name, short in sorted(plain.items()):
        if short == name or shared[short] == 1:
            found[name] = short
            continue
        unique, salt = _marked(short, name), 0
        while unique in taken or unique in found.values():  # a name that looks like another's marked slug
            salt += 1
            unique = _marked(short, f"{name}\0{salt}")
        found[name] = unique
    return {name: found[name] for name in plain}


def _digest(name: str) -> str:
    return hashlib.blake2s(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def _marked(short: str, name: str) -> str:
    return f"{short[: _LONGEST - 9].rstrip('-')}-{_digest(name)}"
