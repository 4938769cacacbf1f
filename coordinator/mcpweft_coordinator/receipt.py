"""What an admin command answers, as plain frozen values.

They travel as maps of plain values (`plain`, `read`), so that a newer version's extra fields are passed over.

Above stand `clerk`, which makes them, and `admin`, whose caller gets them. This module must never know how a
command is carried out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody has ordered of a server, and stands until it is undone."""

    state: str
    """forced_open, cordoned, disabled or metrics_only."""
    by: str
    reason: str
    at_ms: int
    """When, by the store's clock."""


@dataclass(frozen=True, slots=True)
class ServerRow:
    """One server of the fleet at one moment."""

    name: str
    """As it is configured; as its workers register, where it is not."""
    server: str
    """As its workers register."""
    kind: str
    """stdio, http, sse or app."""
    capabilities: tuple[str, ...]
    configured: bool
    """Whether the configuration in force names it; else a worker that somebody started brought it along."""
    state: str
    """up, not ready, down, asleep, disabled, broken, or the state that was ordered."""
    health: str | None
    """The worst that a living worker says; None where nobody says anything."""
    breaker: str
    workers: int
    """Workers that live."""
    usable: int
    """Workers that take work."""
    in_flight: int
    reason: str = ""
    """Why it takes no work, where it takes none."""
    order: Order | None = None


@dataclass(frozen=True, slots=True)
class OrderReceipt:
    """What became of an order to a server."""

    server: str
    state: str
    """Of its breaker, from now on."""
    changed: bool
    """Whether this command changed anything."""
    order: Order | None
    """What stands from now on."""


_NESTED: dict[str, type[Any]] = {"order": Order}


def plain(receipt: Any) -> dict[str, Any]:
    """Return a receipt as it travels."""
    return asdict(receipt)


def read(kind: type[_T], said: Mapping[str, Any]) -> _T:
    """Return the receipt that `plain` wrote. Raises KeyError where a field is missing."""
    values: dict[str, Any] = {}
    for each in fields(cast("Any", kind)):
        value = said[each.name]
        if each.name in _NESTED and value is not None:
            value = read(_NESTED[each.name], value)
        values[each.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


@dataclass(frozen=True, slots=True)
class Command:
    """Who gives a command, and why."""

    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ConfigReceipt:
    """What became of a change to the fleet's configuration."""

    version: int
    """In force from now on."""
    changed: tuple[str, ...]
    """The keys that are another way now; none where there was nothing to change."""
    needs_restart: Mapping[str, str]
    """Those among them that some processes read only as they start: key → which."""


@dataclass(frozen=True, slots=True)
class ConfigVersion:
    """One version of what is set for the fleet."""

    version: int
    by: str
    reason: str
    at_ms: int
    document: Mapping[str, Any]
    """In the shape of mcpweft.toml."""


@dataclass(frozen=True, slots=True)
class PoolStrategy:
    """How the work of one pool is divided."""

    pool: str
    name: str
    """The strategy that is asked for."""
    shadow: str | None
    """The one that decides beside it and does not act, if there is one."""


@dataclass(frozen=True, slots=True)
class ServerReceipt:
    """What became of a server that was added or removed."""

    server: str
    changed: bool
    """Whether this command changed anything."""
    version: int
    """Of the fleet's configuration that holds it, or does not."""
    workers: int
    """Those that take work; of a removed server, those that somebody started by hand and that live on."""
    waited_s: float
    """Until it was ready, or gone."""
