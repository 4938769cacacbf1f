"""The fleet's configuration, changed by command: decided on what is in force, checked whole, written once.

    look ─▶ change ─▶ the same? nothing to do
                      wrong as a whole? refused, nothing is written
                      write, if the edition is still the one that was looked at ─ else once more

What is wrong is wrong by this coordinator's own files; another one may have other files (`steward`).

Above stands `secretary`. Below are the store's moves, and the steward, which applies what was written. This
module must never know how a command came here.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.config import overlay
from mcpweft_schemas.config.fault import dotted
from mcpweft_schemas.connect import StoreUnreachableError
from mcpweft_schemas.edition import MAX_BYTES, Edition, Trial, write_document
from mcpweft_schemas.errors import ConnectionFailedError, InvalidConfigError
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcpweft_coordinator.receipt import Command
    from mcpweft_coordinator.steward import Steward
    from mcpweft_schemas.store import Store

_TRIES = 20
Trials = tuple[Trial, ...]


@dataclass(frozen=True, slots=True)
class Amendment:
    """What a change came to."""

    version: int
    changed: tuple[str, ...]
    """The keys that are another way now, as one writes them."""
    at_start: Mapping[str, str]
    """Those among them that some processes read only as they start: key → who."""


class Charter:
    """Changes the fleet's configuration."""

    def __init__(self, store: Store, steward: Steward) -> None:
        self._store = store
        self._steward = steward

    async def change(
        self,
        change: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        command: Command,
        *,
        trials: Callable[[Trials], Trials] = lambda trials: trials,
    ) -> Amendment:
        """Write what `change` makes of the document in force, and have it applied here before returning.

        `trials` likewise makes the servers on trial of those that are.

        Raises:
            InvalidConfigError: it is wrong as a whole; nothing was written.
            ConnectionFailedError: the store did not answer, or others were always faster.

        """
        mark, written = uuid.uuid4().hex, None
        for _ in range(_TRIES):
            try:
                before = await self._store.edition()
                after = dict(change(before.document))
                keys = overlay.changed(before.document, after)
                edition = replace(
                    before,
                    document=after,
                    by=command.by,
                    reason=command.reason,
                    trials=trials(before.trials),
                )
                if written is None and not keys and edition.trials == before.trials:
                    return await self._done(before.version, ())
                self._check(edition)
                written = written or keys
                word, version = await self._store.amend(edition, mark)
            except StoreUnreachableError:
                continue  # where it was carried out, the mark says so
            if word is not Word.STALE:
                return await self._done(version, written)
            written = None
        raise ConnectionFailedError(
            "The configuration was not written", advice="`mcpweft config history` shows what is in force."
        )

    def _check(self, edition: Edition) -> None:
        """Refuse what is wrong as a whole."""
        if len(write_document(edition.document)) > MAX_BYTES:
            raise InvalidConfigError(
                f"What is set for the fleet would take more than {MAX_BYTES} bytes",
                advice="Put what does not change into files.",
            )
        self._steward.base.config(edition.document)

    async def _done(self, version: int, keys: tuple[tuple[str, ...], ...]) -> Amendment:
        await self._steward.catch_up()
        return Amendment(version, tuple(map(dotted, keys)), overlay.at_start(keys))

    async def history(self) -> tuple[Edition, ...]:
        """Return the last editions, newest first."""
        return tuple(reversed(await self._store.editions()))

    async def earlier(self, version: int | None) -> Edition:
        """Return that version, or the one before the present. Raises InvalidConfigError for one not kept."""
        editions = {edition.version: edition for edition in await self.history()}
        present = (await self._store.edition()).version
        wanted = present - 1 if version is None else version
        if wanted == 0 and present:
            return Edition()
        if wanted not in editions:
            known = ", ".join(map(str, editions)) or "none"
            raise InvalidConfigError(f"There is no version {wanted} to go back to", advice=f"Kept: {known}.")
        return editions[wanted]
