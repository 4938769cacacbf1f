"""A ruling: which rules fitted a request, and at which version of them.

Above stand the producer, which has it travel with the request, and whoever reads an outcome or a record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules came to, in names."""

    version: int
    """Of the fleet's configuration; 0: the producer's own file said so."""
    names: tuple[str, ...]
    """The rules that fitted, in the order in which they were asked."""

    def write(self) -> str:
        """Return it as it travels: `7 no-deletes search-first`."""
        return " ".join((str(self.version), *self.names))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read what `write` wrote; None for an empty text, or one that a later version may have written."""
        version, *names = text.split() or ("",)
        return cls(int(version), tuple(names)) if version.isdecimal() else None
