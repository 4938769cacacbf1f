"""Every key name of the fabric, as functions: nothing else spells a key.

A capability's keys share one hash tag, so that each move touches one slot and is atomic on a Cluster.
What belongs to the whole namespace lies under the tag `_`, which no capability can be called.
The scripts build the same names from the pool key that they are handed (`lua/_ground.lua`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcpweft_schemas.errors import InvalidConfigError

if TYPE_CHECKING:
    from mcpweft_schemas.life import Class

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""What a capability, a namespace or a server may be called."""

PARTY = re.compile(r"[A-Za-z0-9_.-]{1,96}")
"""What a worker, producer or coordinator id looks like: it becomes part of a key."""


def check_name(name: str, what: str) -> str:
    """Return `name` if it can be part of a key; raise InvalidConfigError if not."""
    if not NAME.fullmatch(name):
        raise InvalidConfigError(
            f"{what} {name!r} is not a valid name",
            advice="Use 1 to 64 of a-z, 0-9, '_' and '-', the first a letter or a digit.",
        )
    return name


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one capability in one namespace."""

    namespace: str
    capability: str

    def __post_init__(self) -> None:
        check_name(self.namespace, "namespace")
        check_name(self.capability, "capability")

    @property
    def prefix(self) -> str:
        """What every key of this capability starts with."""
        return f"mcpweft:{self.namespace}:{{{self.capability}}}:"

    @property
    def pool(self) -> str:
        """Hash: the pool's settings and the store's incarnation. Handed to every script."""
        return self.prefix + "pool"

    @property
    def tools(self) -> str:
        """Hash `<server>/<tool>` → msgpack of the tool's description, schema and hints."""
        return self.prefix + "tools"

    def stream(self, which: Class | str) -> str:
        """Name the work stream of a class (or `due`, through which delayed requests are delivered)."""
        return f"{self.prefix}q:{which}"

    @property
    def bell(self) -> str:
        """Sorted set of at most one token: there may be work."""
        return self.prefix + "bell"

    @property
    def shares(self) -> str:
        """Hash worker → what it may take of the pool, by the leader. Gone with its TTL."""
        return self.prefix + "shares"

    @property
    def stir(self) -> str:
        """Stream of one entry: what is delayed has changed. For workers that hold back; gone with its TTL."""
        return self.prefix + "stir"

    def reply(self, producer: str) -> str:
        """Name the stream on which one producer process hears its outcomes."""
        return f"{self.prefix}reply:{producer}"

    def control(self, worker: str) -> str:
        """Name the stream on which one worker hears cancels and what became of its breaker."""
        return f"{self.prefix}ctl:{worker}"

    def breaker(self, name: str) -> str:
        """Name the hash of the breaker that an instance shares, or that was ordered for a server."""
        return f"{self.prefix}breaker:{name}"

    def slot(self, width_s: int, start_s: int) -> str:
        """Name the hash of what was counted in one stretch of time. Gone with its TTL."""
        return f"{self.prefix}a:{width_s}:{start_s}"

    def record(self, request_id: str) -> str:
        """Name the hash that is the truth about one request."""
        return f"{self.prefix}r:{request_id}"

    def chunk(self, request_id: str, entry: str, index: int) -> str:
        """Name one piece of an outcome too large to travel whole, by the delivery that made it."""
        return f"{self.prefix}c:{request_id}:{entry}:{index}"


@dataclass(frozen=True, slots=True)
class FleetKeys:
    """The keys of a namespace that belong to no capability."""

    namespace: str

    def __post_init__(self) -> None:
        check_name(self.namespace, "namespace")

    @property
    def prefix(self) -> str:
        """What every key of the fleet starts with."""
        return f"mcpweft:{self.namespace}:{{_}}:"

    @property
    def pools(self) -> str:
        """Hash capability → msgpack of what is registered about its pool."""
        return self.prefix + "pools"

    @property
    def events(self) -> str:
        """Stream: what happened in the fleet, the newest `events.keep` or so."""
        return self.prefix + "events"

    @property
    def wanted(self) -> str:
        """Hash server → msgpack of how many workers it should have, by the leader. Gone with its TTL."""
        return self.prefix + "wanted"

    @property
    def launchers(self) -> str:
        """Sorted set `<server> <launcher>` → until when that launcher counts as there."""
        return self.prefix + "launchers"

    @property
    def config(self) -> str:
        """Hash: the edition in force of what the fleet sets over each process's own configuration."""
        return self.prefix + "config"

    @property
    def config_history(self) -> str:
        """List: the last editions, oldest first, the one in force among them."""
        return self.config + ":history"

    @property
    def rules(self) -> str:
        """Hash: of that edition, what producers follow."""
        return self.prefix + "rules"

    def lease(self, name: str) -> str:
        """Name the hash of one lease: `lead`, or `server.<name>` for an exclusive server."""
        return f"{self.prefix}lease:{name}"


def capability_of(request_id: str) -> str:
    """Return the capability that a request id (`<capability>~<uuid7>`) carries; ValueError if none."""
    capability, tilde, _ = request_id.partition("~")
    if not tilde or not NAME.fullmatch(capability):
        raise ValueError(f"{request_id!r} is not a request id")
    return capability
