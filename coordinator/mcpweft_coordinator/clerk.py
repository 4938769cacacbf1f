"""Carries out admin commands: finds what they are about, has it done, and tells the fleet by whom and why.

Each command takes plain values and answers plain ones, because it comes and goes as a job. A command that is
given twice changes nothing the second time and gets the same answer.

Above stands `duties`, which runs the jobs. Below are `roster` and `orders`. This module must never know arq.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcpweft_coordinator.commissioner import Commissioner
from mcpweft_coordinator.orders import Orders
from mcpweft_coordinator.receipt import Command, plain
from mcpweft_coordinator.roster import Roster
from mcpweft_coordinator.secretary import Secretary
from mcpweft_schemas.circuit import Event as Move
from mcpweft_schemas.errors import InvalidConfigError, near
from mcpweft_schemas.event import Event, Kind, Who

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from mcpweft_coordinator.receipt import OrderReceipt
    from mcpweft_coordinator.roster import Entry
    from mcpweft_coordinator.steward import Steward
    from mcpweft_schemas.config import Config
    from mcpweft_schemas.store import Store


class Clerk:
    """Carries out the commands of one coordinator."""

    def __init__(
        self,
        store: Store,
        config: Callable[[], Config],
        tell: Callable[[Event], None],
        steward: Steward | None = None,
    ) -> None:
        """Make one.

        Args:
            store: The namespace that is managed.
            config: The configuration in force.
            tell: Has the fleet told of an event; never waits.
            steward: Where the fleet's configuration is followed: then it can be changed too.

        """
        self._roster = Roster(store)
        self._orders = Orders(store)
        self._config = config
        self._tell = tell
        self._more: dict[str, Callable[..., Awaitable[Any]]] = {}
        if steward is not None:
            secretary = Secretary(store, steward, tell)
            commissioner = Commissioner(store, self._roster, secretary, steward, tell)
            self._more = {**secretary.commands(), **commissioner.commands()}

    def commands(self) -> Mapping[str, Callable[..., Awaitable[Any]]]:
        """Return every command by its name."""
        return {
            "servers": self.servers,
            "failover": self.failover,
            "drain": self.drain,
            "uncordon": self.uncordon,
            "reset": self.reset,
            **self._more,
        }

    async def servers(self) -> list[dict[str, Any]]:
        """Tell of every server."""
        entries = await self._roster.look(self._config())
        return [plain(entry.row()) for _, entry in sorted(entries.items())]

    async def failover(self, name: str, by: str, reason: str) -> dict[str, Any]:
        """Take a server out until it is reset."""
        return await self._order("failover", name, Move.FORCE_OPEN, Command(by, reason))

    async def drain(self, name: str, by: str, reason: str) -> dict[str, Any]:
        """Let a server finish what it has and take nothing more."""
        return await self._order("drain", name, Move.CORDON, Command(by, reason))

    async def uncordon(self, name: str, by: str, reason: str) -> dict[str, Any]:
        """Undo a drain."""
        return await self._order("uncordon", name, None, Command(by, reason))

    async def reset(self, name: str, by: str, reason: str) -> dict[str, Any]:
        """Undo every order to a server, and close its breaker."""
        return await self._order("reset", name, Move.RESET, Command(by, reason))

    async def _order(self, order: str, name: str, move: Move | None, command: Command) -> dict[str, Any]:
        entry = await self._find(name)
        before = entry.record.state.value
        if move is None:
            receipt = await self._orders.uncordon(entry, command)
        else:
            receipt = await self._orders.give(entry, move, command)
        self._note(order, entry, receipt, before, command)
        return plain(receipt)

    def _note(self, order: str, entry: Entry, receipt: OrderReceipt, before: str, command: Command) -> None:
        if receipt.changed:
            data = {"order": order, "by": command.by, "before": before, "after": receipt.state}
            self._tell(Event(Kind.SERVER_ORDERED, Who.ADMIN, "", entry.server, "", command.reason, data))

    async def _find(self, name: str) -> Entry:
        """Return the server that is called so, there or by its workers. Raises InvalidConfigError."""
        entries = await self._roster.look(self._config())
        found = entries.get(name) or next((each for each in entries.values() if each.name == name), None)
        if found is not None and found.capabilities:
            return found
        if found is not None:
            raise InvalidConfigError(f"Server {name!r} cannot be run: {found.broken}")
        names = [*entries, *(entry.name for entry in entries.values())]
        close = near(name, names, most=1)
        known = f"Known: {', '.join(sorted(entries)) or 'none'}."
        raise InvalidConfigError(
            f"There is no server {name!r}", advice=f"Did you mean {close[0]!r}?" if close else known
        )
