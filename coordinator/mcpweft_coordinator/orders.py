"""Orders to a server: take it out, cordon it, undo either. Each is one move of the breaker that all share.

An order stands until another one or `reset`, whoever restarts meanwhile. It is decided on what stands at that
moment and fenced by its generation, so of two who order the same at once one changes it and the other is
told so.

Above stands `clerk`. Below are the store's moves. This module must never know how a command came here.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from mcpweft_coordinator.receipt import OrderReceipt
from mcpweft_coordinator.roster import ordered
from mcpweft_schemas.circuit import Event, State, by_hand, question
from mcpweft_schemas.connect import StoreUnreachableError
from mcpweft_schemas.errors import ConnectionFailedError, InvalidConfigError
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from mcpweft_coordinator.receipt import Command
    from mcpweft_coordinator.roster import Entry
    from mcpweft_schemas.circuit import Circuit
    from mcpweft_schemas.store import Store

_TRIES = 10
_TARGETS = {Event.FORCE_OPEN: State.FORCED_OPEN, Event.CORDON: State.CORDONED, Event.RESET: State.CLOSED}


class Orders:
    """Gives orders to servers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def give(self, entry: Entry, event: Event, command: Command) -> OrderReceipt:
        """Bring a server where `event` leads; a repeat changes nothing.

        Raises:
            InvalidConfigError: no worker has ever made its pool, so there is nothing to order.

        """
        target, mark = _TARGETS[event], uuid.uuid4().hex
        lost = False
        for _ in range(_TRIES):
            try:
                before = await self._ask(entry)
                if before.state is target and not (event is Event.RESET and _troubled(entry)):
                    said = (before.by, before.reason) == (command.by, command.reason)
                    return _receipt(entry, before, changed=lost and said)
                order = by_hand(event, entry.server, command.reason, mark, command.by)
                order = replace(order, generation=before.generation)
                after = await self._store.breaker(entry.home, order)
            except StoreUnreachableError:
                lost = True  # whether it was carried out is seen by the next look
                continue
            if after.word is not Word.STALE:
                return _receipt(entry, after, changed=True)
        raise ConnectionFailedError(
            f"The store did not take the order to server {entry.name!r}",
            advice="`mcpweft servers list` shows what stands; give it again.",
        )

    async def uncordon(self, entry: Entry, command: Command) -> OrderReceipt:
        """Undo a cordon, and no other order."""
        before = await self._ask(entry)
        if before.state is not State.CORDONED:
            return _receipt(entry, before, changed=False)
        return await self.give(entry, Event.RESET, command)

    async def _ask(self, entry: Entry) -> Circuit:
        record = await self._store.breaker(entry.home, question(entry.server))
        if record.word is Word.UNKNOWN:
            raise InvalidConfigError(
                f"Server {entry.name!r} has no pool yet", advice="Start a worker of it first."
            )
        return record


def _troubled(entry: Entry) -> bool:
    """Whether a worker of it stands otherwise than closed: each has a breaker of its own over stdio."""
    return any(str(load.get("breaker") or "closed") != "closed" for load in entry.loads.values())


def _receipt(entry: Entry, record: Circuit, *, changed: bool) -> OrderReceipt:
    return OrderReceipt(entry.name, record.state.value, changed, ordered(record))
