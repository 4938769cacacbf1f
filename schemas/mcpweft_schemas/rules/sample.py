"""A sample request: what rules would make of it, without a fabric.

Above stands the command line. Below are the compiled rules. This module must never read a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

from mcpweft_schemas import duration
from mcpweft_schemas.config.sections import CallConfig
from mcpweft_schemas.errors import InvalidConfigError, near
from mcpweft_schemas.life import Class
from mcpweft_schemas.rules.ruleset import Facts, Ruleset

KEYS = (
    "name", "capability", "tool", "arguments", "tenant", "metadata", "priority", "timeout", "max_attempts",
)  # fmt: skip
"""What a sample may say: what a call takes."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a request would go, with rules or without."""

    pool: str
    klass: Class
    timeout: float
    max_attempts: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What rules make of one request."""

    name: str
    matched: tuple[str, ...]
    before: Way
    after: Way | None
    """None where it is rejected."""
    rejected: str = ""
    """Why."""

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """What is another way with the rules: name → without, with."""
        if self.after is None:
            return {}
        pairs = {
            "pool": (self.before.pool, self.after.pool),
            "class": (self.before.klass.value, self.after.klass.value),
            "timeout": (self.before.timeout, self.after.timeout),
            "max_attempts": (self.before.max_attempts, self.after.max_attempts),
        }
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def plain(self) -> dict[str, Any]:
        """Return it as JSON shows it."""
        way = self.after
        return {
            "request": self.name,
            "rules": list(self.matched),
            "rejected": self.rejected or None,
            "changes": {name: list(pair) for name, pair in self.changes.items()},
            "routing": None
            if way is None
            else {
                "pool": way.pool, "class": way.klass.value, "timeout": way.timeout,
                "max_attempts": way.max_attempts,
            },
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """One request as a caller would make it."""

    name: str
    facts: Facts
    way: Way

    @classmethod
    def read(cls, said: object, place: str) -> Self:
        """Read a sample. Raises InvalidConfigError, which names the key and `place`."""
        if not isinstance(said, dict):
            raise InvalidConfigError(
                f"{place} is no request", advice='Write one as {"name": "capability.tool", "arguments": {…}}.'
            )
        for key in said:
            if key not in KEYS:
                close = near(str(key), KEYS, most=1)
                advice = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(KEYS)}."
                raise InvalidConfigError(f"{place}: {key} is no part of a request", advice=advice)
        return cls._made(_Said(cast("dict[str, Any]", said), place))

    @classmethod
    def _made(cls, said: _Said) -> Self:
        capability, _, tool = said.text("name").partition(".")
        capability, tool = said.text("capability") or capability, said.text("tool") or tool
        if not capability:
            raise InvalidConfigError(
                f"{said.place} names no capability", advice='Write "name": "search.find".'
            )
        facts = Facts(
            capability, tool, said.klass(), said.text("tenant"), said.map("arguments"), said.map("metadata")
        )
        way = Way(capability, facts.klass, said.timeout(), said.attempts())
        return cls(f"{capability}.{tool}" if tool else capability, facts, way)

    def tried(self, rules: Ruleset) -> Trial:
        """Return what `rules` make of it."""
        decision = rules.decide(self.facts)
        if decision.rejected is not None:
            return Trial(self.name, decision.matched, self.way, None, decision.rejected.reason)
        after = Way(
            decision.pool(self.facts.capability),
            decision.klass or self.way.klass,
            self.way.timeout if decision.timeout is None else decision.timeout,
            decision.max_attempts or self.way.max_attempts,
        )
        return Trial(self.name, decision.matched, self.way, after)


@dataclass(frozen=True, slots=True)
class _Said:
    """What a sample says, read key by key."""

    tree: Mapping[str, Any]
    place: str

    def _wrong(self, key: str, advice: str) -> InvalidConfigError:
        return InvalidConfigError(f"{self.place}: {key} is {self.tree[key]!r}", advice=advice)

    def text(self, key: str) -> str:
        value = self.tree.get(key, "")
        if not isinstance(value, str):
            raise self._wrong(key, "Write text.")
        return value

    def map(self, key: str) -> Mapping[str, Any]:
        value: object = self.tree.get(key, {})
        if not isinstance(value, Mapping):
            raise self._wrong(key, "Write a table of names and values.")
        return cast("Mapping[str, Any]", value)

    def klass(self) -> Class:
        value: Any = self.tree.get("priority", Class.NORMAL.value)
        try:
            return Class.of(value) if isinstance(value, int) and not isinstance(value, bool) else Class(value)
        except ValueError:
            raise self._wrong("priority", f"Write 0 to 10, or one of {', '.join(Class)}.") from None

    def timeout(self) -> float:
        if "timeout" not in self.tree:
            return CallConfig().timeout
        try:
            return duration.seconds(self.tree["timeout"])
        except ValueError as error:
            raise self._wrong("timeout", f"{error}.") from None

    def attempts(self) -> int:
        value: object = self.tree.get("max_attempts", CallConfig().max_attempts)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._wrong("max_attempts", "Write a whole number from 1 on.")
        return value
