"""An edition: one version of what the fleet sets over each process's own configuration, by whom and why.

Its document is in the shape of `mcpweft.toml`. It lies as JSON, so that an operator can read it in the store.

Above stand the store, the coordinator, which makes editions, and whoever follows them. This module must never
know which keys there are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, cast

from mcpweft_schemas.packing import unpack

if TYPE_CHECKING:
    from collections.abc import Mapping

KEEP = 50
"""Editions that are kept to go back to."""
MAX_BYTES = 256 * 1024
"""Bytes of a document at most."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A server that is added and not announced yet: it must be ready in time, or it is taken out again."""

    server: str
    """As it is configured."""
    seconds: float
    """How long it has, from when it is first seen."""
    by: str
    mark: str
    """Of the command that waits for it."""


@dataclass(frozen=True, slots=True)
class Edition:
    """One version."""

    version: int = 0
    """0: nobody has ever set anything."""
    document: Mapping[str, Any] = field(default_factory=dict[str, Any])
    by: str = ""
    reason: str = ""
    at_ms: int = 0
    trials: tuple[Trial, ...] = ()
    turn: int = 0
    """Which write it was; what is decided on one is refused after another."""

    @classmethod
    def read(cls, said: Mapping[str, str]) -> Self:
        """Read what lies in the store. Raises ValueError where it is no edition."""
        if not said:
            return cls()
        try:
            return cls(
                int(said["version"]), read_document(said["document"]), said["by"], said["reason"],
                int(said["at"]), tuple(Trial(**each) for each in json.loads(said["trials"] or "[]")),
                int(said["turn"]),
            )  # fmt: skip
        except (KeyError, TypeError) as error:
            raise ValueError(f"no edition: {error!r}") from error

    @classmethod
    def recall(cls, packed: bytes) -> Self:
        """Read an entry of the history. Raises ValueError where it is none."""
        version, document, by, reason, at = cast("list[str]", unpack(packed, 2 * MAX_BYTES))
        return cls(int(version), read_document(document), by, reason, int(at))


def write_document(document: Mapping[str, Any]) -> str:
    """Return a document as it lies in the store; the same for the same settings."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read_document(text: str) -> dict[str, Any]:
    """Return what `write_document` wrote. Raises ValueError where it is none."""
    document = json.loads(text) if len(text) <= MAX_BYTES else None
    if not isinstance(document, dict):
        raise ValueError("no document")  # noqa: TRY004  # the text is wrong, not a type
    return cast("dict[str, Any]", document)
