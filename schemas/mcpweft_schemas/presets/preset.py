"""What a preset is: settings with a reason each, for a purpose, with the load that they are meant for.

A preset does not know whose servers it is for. `Preset.tree` lays its settings under those servers, and
what comes of it is an ordinary configuration. Above stand `catalog`, `custom` and `optimiser`, which make
presets, and `written`, which writes one down. This module must never read or write a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mcpweft_schemas.config import Config, fault
from mcpweft_schemas.config.layer import Layer, merged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_schemas.config.layer import Key


class Purpose(StrEnum):
    """What a configuration is for, and so how strictly it is looked at."""

    PRODUCTION = "production"
    """People depend on it: everything that an experienced operator would look at."""
    DEVELOPMENT = "development"
    """One person's machine: it must hold together, and may stop."""
    TESTING = "testing"
    """Automatic tests: it must hold together, and be quick to notice things."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key with its value, as TOML would hold it, and why it has this value here."""

    key: Key
    value: Any
    reason: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A setting of the original system that has no equal key here."""

    setting: str
    why: str


@dataclass(frozen=True, slots=True)
class Load:
    """Calls a second, from and to, with the time that a server takes for one (seconds)."""

    least_qps: float
    most_qps: float
    service_time: float


@dataclass(frozen=True, slots=True)
class Size:
    """How many processes of a server the fleet has: at least, usually at the full load, and at most."""

    least: int
    usual: int
    most: int

    @property
    def scaled(self) -> bool:
        """Whether the number follows the load."""
        return self.least != self.most


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A configuration for servers that are still to be named."""

    name: str
    purpose: Purpose
    """What its configuration is validated for."""
    character: str
    size: Size
    load: Load
    concurrency: Setting
    settings: tuple[Setting, ...] = ()
    """What is set beside the servers, in the order in which it is written down."""
    left_out: tuple[LeftOut, ...] = ()

    def value(self, *key: str) -> Any:
        """Return what is set at `key`, or None where the default stays."""
        return next((each.value for each in self.settings if each.key == key), None)

    def server(self, said: Mapping[str, Any]) -> tuple[Setting, ...]:
        """Return what is set of a server of which `said` says the rest; its own words go first."""
        number = () if {"workers", "min", "max"} & said.keys() else self._number(said)
        return tuple(each for each in (*number, self.concurrency) if each.key[-1] not in said)

    def _number(self, said: Mapping[str, Any]) -> tuple[Setting, ...]:
        if said.get("state", "none") != "none":
            return (Setting(("workers",), 1, "It has state, so one worker in the whole fleet serves it."),)
        if said.get("url"):
            count = 1 if self.purpose is not Purpose.PRODUCTION else 2
            why = "One worker is enough for one URL." if count == 1 else (
                "The workers of one URL divide its concurrency, so more of them take no more calls; a second "
                "one goes on when the first dies. Add servers by adding URLs with the same capabilities."
            )  # fmt: skip
            return (Setting(("workers",), count, why),)
        size = self.size
        if not size.scaled:
            return (Setting(("workers",), size.usual, "A fixed number: nothing here follows the load."),)
        return (
            Setting(("min",), size.least, _least(size, self.purpose)),
            Setting(
                ("max",), size.most, f"The number follows the load up to here; about {size.usual} is usual."
            ),
        )

    def tree(self, servers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Return the settings as nested tables, with these servers."""
        layer = Layer()
        for each in self.settings:
            layer.put(each.key, each.value, "")
        for name, said in servers.items():
            for each in self.server(said):
                layer.put(("servers", name, *each.key), each.value, "")
        return merged(layer.tree, {"servers": servers} if servers else {})

    def config(
        self, servers: Mapping[str, Mapping[str, Any]], over: Mapping[str, Any] | None = None
    ) -> Config:
        """Return the configuration of these servers, each a table as in `mcpweft.toml`; `over` lies over all.

        Raises:
            InvalidConfigError: what a server or `over` says is wrong.

        """
        try:
            return Config.model_validate(merged(self.tree(servers), over or {}))
        except ValidationError as error:
            raise fault.refusal(fault.faults(error), lambda _: "") from None


def _least(size: Size, purpose: Purpose) -> str:
    if size.least == 1 or purpose is not Purpose.PRODUCTION:
        return "As many are there while nothing is to be done."
    return f"While one of {size.least} starts anew, the others serve."
