"""The bulletin: of what a fleet has set, the part that producers read, which is its rules.

It is written with the edition that it is a part of, in one move, and has the version of the edition with
which it changed last. Producers may not read the editions themselves, which hold the commands of servers.

Above stand the store and the producer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS: tuple[str, ...] = ("rules", "rules_match")
"""The keys of the configuration that it holds."""


@dataclass(frozen=True, slots=True)
class Bulletin:
    """The rules of a fleet at one version."""

    version: int = 0
    """0: nobody has ever set any."""
    said: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Those of `KEYS` that are set for the fleet; the others are each producer's own."""

    @classmethod
    def read(cls, version: str, document: str) -> Self:
        """Read what lies in the store. Raises ValueError where it is none."""
        said = json.loads(document) if document else {}
        if not isinstance(said, dict):
            raise ValueError("what lies in the store are no rules")  # noqa: TRY004  # the text is wrong
        return cls(int(version or 0), cast("dict[str, Any]", said))


def document_of(edition: Mapping[str, Any]) -> str:
    """Return the part of an edition's document that producers read; the same for the same rules."""
    said = {key: edition[key] for key in KEYS if key in edition}
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False) if said else ""
