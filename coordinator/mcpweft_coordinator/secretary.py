"""The commands about the fleet's configuration and its strategies.

Above stands `clerk`, which hands them out. Below are `charter`, which writes, and `steward`, which knows what
is in force. This module must never know arq.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

from mcpweft_coordinator.charter import Charter
from mcpweft_coordinator.receipt import Command, ConfigReceipt, ConfigVersion, plain
from mcpweft_schemas.config import overlay
from mcpweft_schemas.config.fault import dotted
from mcpweft_schemas.config.layer import merged
from mcpweft_schemas.config.sections import StrategyName
from mcpweft_schemas.errors import InvalidConfigError, near
from mcpweft_schemas.event import Event, Kind, Who

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from mcpweft_coordinator.charter import Amendment, Trials
    from mcpweft_coordinator.steward import Steward
    from mcpweft_schemas.store import Store

_SECRET = ("env", "headers")
HIDDEN = "***"
"""Stands for a value that may be secret."""


class Secretary:
    """Carries out commands about the configuration."""

    def __init__(self, store: Store, steward: Steward, tell: Callable[[Event], None]) -> None:
        self.charter = Charter(store, steward)
        self._store = store
        self._steward = steward
        self._tell = tell

    def commands(self) -> Mapping[str, Callable[..., Awaitable[Any]]]:
        """Return every command by its name."""
        return {
            "config_get": self.get,
            "config_set": self.set,
            "config_unset": self.unset,
            "config_apply": self.apply,
            "config_history": self.history,
            "config_rollback": self.rollback,
            "strategy_show": self.strategies,
            "strategy_set": self.set_strategy,
        }

    async def get(self, key: str | None) -> Any:
        """Tell what is in force here at `key`, or the whole; what may be secret is hidden."""
        await self._steward.catch_up()
        tree: Any = _shown(self._steward.config.model_dump(mode="json"))
        path = () if key is None else overlay.key_of(key)
        for depth, part in enumerate(path):
            if not isinstance(tree, dict) or part not in tree:
                close = near(part, tree, most=1) if isinstance(tree, dict) else []
                advice = f"Did you mean {dotted((*path[:depth], close[0]))}?" if close else ""
                raise InvalidConfigError(f"{dotted(path)} is no known key", advice=advice)
            tree = tree[part]
        return {"version": self._steward.edition.version, "value": tree}

    async def set(self, key: str, text: str, by: str, reason: str) -> dict[str, Any]:
        """Set one key for the whole fleet."""
        path = overlay.key_of(key)
        value = overlay.value_of(path, text)
        return plain(await self.amend(lambda document: overlay.with_value(document, path, value), by, reason))

    async def unset(self, keys: list[str] | str, by: str, reason: str) -> dict[str, Any]:
        """Leave keys, or tables, to each process's own configuration again, all of them in one version."""
        paths = [overlay.key_of(key) for key in ([keys] if isinstance(keys, str) else keys)]
        return plain(await self.amend(lambda document: reduce(overlay.without, paths, document), by, reason))

    async def apply(self, tree: dict[str, Any], by: str, reason: str, how: str) -> dict[str, Any]:
        """Set a tree of settings for the fleet: `merge` it into what is set, or `replace` that."""
        return plain(
            await self.amend(
                lambda document: tree if how == "replace" else merged(document, tree), by, reason
            )
        )

    async def history(self) -> list[dict[str, Any]]:
        """Tell of the last versions, newest first."""
        return [
            plain(ConfigVersion(each.version, each.by, each.reason, each.at_ms, _shown(each.document)))
            for each in await self.charter.history()
        ]

    async def rollback(self, version: int | None, by: str, reason: str) -> dict[str, Any]:
        """Set what an earlier version set, as a new version."""
        earlier = await self.charter.earlier(version)
        why = reason or f"back to version {earlier.version}"
        return plain(await self.amend(lambda _: earlier.document, by, why))

    async def strategies(self) -> dict[str, Any]:
        """Tell which strategy each pool has, and which decides beside it."""
        await self._steward.catch_up()
        asked = self._steward.config.strategy
        pools = sorted({*await self._store.pools(), *asked.pools, *asked.shadows})
        return {
            pool: [asked.of(pool).value, "" if (beside := asked.shadow_of(pool)) is None else beside.value]
            for pool in pools
        }

    async def set_strategy(
        self, pool: str | None, name: str | None, shadow: str | None, by: str, reason: str
    ) -> dict[str, Any]:
        """Set the strategy of a pool, or of all without one of their own; `shadow`: what decides beside it.

        None leaves it as it is; an empty text leaves it to what stands for all pools.
        """
        await self._check_pool(pool)
        mine, beside = (("name",), ("shadow",)) if pool is None else (("pools", pool), ("shadows", pool))
        words = {mine: name, beside: shadow}

        def change(document: Mapping[str, Any]) -> Mapping[str, Any]:
            for key, word in words.items():
                if word is not None:
                    path = ("strategy", *key)
                    document = (
                        overlay.with_value(document, path, word) if word else overlay.without(document, path)
                    )
            return document

        for word in filter(None, words.values()):
            if word not in set(StrategyName):
                known = [each.value for each in StrategyName]
                close = near(word, known, most=1)
                advice = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known)}."
                raise InvalidConfigError(f"There is no strategy {word!r}", advice=advice)
        return plain(await self.amend(change, by, reason))

    async def _check_pool(self, pool: str | None) -> None:
        pools = await self._store.pools()
        if pool is not None and pool not in pools:
            close = near(pool, pools, most=1)
            known = f"Known: {', '.join(pools) or 'none'}."
            raise InvalidConfigError(
                f"There is no pool {pool!r}", advice=f"Did you mean {close[0]!r}?" if close else known
            )

    async def amend(
        self,
        change: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        by: str,
        reason: str,
        *,
        trials: Callable[[Trials], Trials] = lambda trials: trials,
    ) -> ConfigReceipt:
        """Change what is set for the fleet, and tell of it. Raises as `Charter.change`."""
        done: Amendment = await self.charter.change(change, Command(by, reason), trials=trials)
        if done.changed:
            keys = ", ".join(done.changed)
            data = {"version": done.version, "by": by, "keys": keys}
            self._tell(Event(Kind.CONFIGURATION_UPDATED, Who.ADMIN, reason=reason, data=data))
        return ConfigReceipt(done.version, done.changed, dict(done.at_start))


def _shown(tree: Any, *, secret: bool = False) -> Any:
    """Return a tree with what may be secret hidden."""
    if isinstance(tree, dict):
        return {key: _shown(value, secret=secret or key in _SECRET) for key, value in tree.items()}
    return HIDDEN if secret else tree
