"""How many workers one server should have, as the leader publishes it and everybody else reads it.

It holds all that a next leader needs to go on where the last one ended, and all that is shown. A field that
a newer version adds is passed over.

Above stand `scaler`, which writes it, `launcher`, which acts on it, and `endpoint`, which shows it. This
module must never know a store.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self, cast

from mcpweft_schemas.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Wanted:
    """One server. Times are ms of the store's clock."""

    wanted: int
    need: int
    """What the load asks for; `wanted` follows as the times allow."""
    least: int
    most: int
    running: int
    """Workers that live, whether or not they take work."""
    ready: int
    waiting: float
    """Its part of what waits in its pools."""
    reason: str
    """Why `wanted` changed last."""
    changed_ms: int
    raised_ms: int | None
    capabilities: tuple[str, ...]

    def packed(self) -> bytes:
        """Return it as it lies in the store."""
        return pack(asdict(self) | {"capabilities": list(self.capabilities)})

    @classmethod
    def read(cls, packed: bytes) -> Self | None:
        """Return what lies in the store, or None where it is another version's."""
        try:
            said = cast("dict[str, Any]", unpack(packed))
            known: dict[str, Any] = {field.name: said[field.name] for field in fields(cls)}
            known["capabilities"] = tuple(known["capabilities"])
        except (ValueError, KeyError, TypeError):
            return None
        return cls(**known)


def read_all(published: Mapping[str, bytes]) -> dict[str, Wanted]:
    """Return server → what is published of it, as far as it can be read."""
    found = {server: Wanted.read(packed) for server, packed in published.items()}
    return {server: wanted for server, wanted in found.items() if wanted is not None}


def shown(wanted: Mapping[str, Wanted]) -> dict[str, Any]:
    """Return the whole as plain values: by server, and by pool the sum of the servers that serve it."""
    servers = {
        name: {
            "wanted": each.wanted, "need": each.need, "min": each.least, "max": each.most,
            "running": each.running, "ready": each.ready, "waiting": each.waiting, "reason": each.reason,
            "last_change_ms": each.changed_ms, "pools": list(each.capabilities),
        }
        for name, each in sorted(wanted.items())
    }  # fmt: skip
    return {"servers": servers, "pools": by_pool(wanted)}


def by_pool(wanted: Mapping[str, Wanted]) -> dict[str, dict[str, Any]]:
    """Return pool → the sums of its servers, with the reason and time of the latest change."""
    pools: dict[str, dict[str, Any]] = {}
    for each in sorted(wanted.values(), key=lambda each: each.changed_ms):
        for capability in each.capabilities:
            pool = pools.setdefault(capability, {"wanted": 0, "running": 0, "ready": 0})
            pool["wanted"] += each.wanted
            pool["running"] += each.running
            pool["ready"] += each.ready
            pool |= {"reason": each.reason, "last_change_ms": each.changed_ms}
    return dict(sorted(pools.items()))
