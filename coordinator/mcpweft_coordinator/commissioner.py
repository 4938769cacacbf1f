"""Servers come into service and go out of it, by command.

    add      validate ─▶ write, on trial ─▶ a worker is ready? ─▶ the trial ends, and the fleet is told
                                             └─ not in time, or it crashes again and again ─▶ taken out again
    remove   write ─▶ its launchers end its workers within the grace ─▶ gone ─▶ the fleet is told

A launcher starts and ends the workers; it follows the configuration as every coordinator does (`steward`). A
server that starts on its first request is not waited for.

Above stands `clerk`, which hands the commands out. Below are `secretary`, which writes, `orders`, and
`roster`, which looks. This module must never start a process.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcpweft_coordinator.orders import Orders
from mcpweft_coordinator.receipt import Command, ServerReceipt, plain
from mcpweft_schemas.circuit import STICKS
from mcpweft_schemas.circuit import Event as Move
from mcpweft_schemas.config import Start, overlay
from mcpweft_schemas.edition import Trial
from mcpweft_schemas.errors import InvalidConfigError, near
from mcpweft_schemas.event import Event, Kind, Who
from mcpweft_schemas.slug import slugs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from mcpweft_coordinator.roster import Entry, Roster
    from mcpweft_coordinator.secretary import Secretary
    from mcpweft_coordinator.steward import Steward
    from mcpweft_schemas.config import Config, ServerConfig
    from mcpweft_schemas.store import Store

_LOOK_S = 0.1
_CRASHES = 3  # ends in a row after which more waiting is of no use
_LATE_S = 10.0  # what workers may need to leave, beyond their grace
_PAGE = 200


@dataclass(slots=True)
class _Watch:
    """What is heard of a server while it is waited for."""

    position: str
    ends: int = 0
    reason: str = ""
    last: str = ""

    def hear(self, events: tuple[Event, ...], server: str) -> None:
        """Take note of what happened to its workers."""
        for event in events:
            if event.server == server and event.kind is Kind.WORKER_EXITED and not event.data.get("asked"):
                self.ends += 1
                self.reason, self.last = event.reason, str(event.data.get("last") or "")


class _Test:
    """The trial of one server by one command; what it says is decided anew for each edition that is tried."""

    def __init__(self, trial: Trial, *, fresh: bool) -> None:
        self.trial = trial
        self.on = False
        """Whether the server is on trial, by this command."""
        self.ended = False
        """Whether it was still on trial when this command ended that."""
        self._fresh = fresh
        self._was: Any = None
        self._joined = False

    def before(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep what the fleet set of the server, to bring it back."""
        servers = document.get("servers")
        self._was = servers.get(self.trial.server) if isinstance(servers, dict) else None
        return document

    def begin(self, trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
        """Put a server on trial that is new; one that another command put there is this one's from now on."""
        others = tuple(trial for trial in trials if trial.server != self.trial.server)
        self._joined = others != trials
        self.on = self._fresh or self._joined
        return (*others, self.trial) if self.on else trials

    def end(self, trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
        """End this trial."""
        self.ended = self.trial in trials
        return tuple(trial for trial in trials if trial != self.trial)

    def undone(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Bring back what the fleet set of the server before it was on trial."""
        key = ("servers", self.trial.server)
        without = overlay.without(document, key)
        return without if self._was is None or self._joined else overlay.with_value(without, key, self._was)


class Commissioner:
    """Takes servers into service and out of it."""

    def __init__(
        self,
        store: Store,
        roster: Roster,
        secretary: Secretary,
        steward: Steward,
        tell: Callable[[Event], None],
    ) -> None:
        self._store = store
        self._orders = Orders(store)
        self._roster = roster
        self._secretary = secretary
        self._steward = steward
        self._tell = tell

    def commands(self) -> Mapping[str, Callable[..., Awaitable[Any]]]:
        """Return every command by its name."""
        return {"server_add": self.add, "server_remove": self.remove}

    # -- coming --------------------------------------------------------------------------------------------

    async def add(
        self, name: str, said: dict[str, Any], within_s: float, by: str, reason: str
    ) -> dict[str, Any]:
        """Have a server run; answer once it is ready.

        Raises:
            InvalidConfigError: what is said of it is wrong, or it was not ready in time and is out again.

        """
        await self._steward.catch_up()
        old = set((await self._entry(name)).loads)
        watch = _Watch((await self._store.events(most=1)).newest)
        trial = _Test(Trial(name, within_s, by, uuid.uuid4().hex), fresh=not self._runs(name))
        done = await self._secretary.amend(
            lambda document: self._with(trial.before(document), name, said), by, reason, trials=trial.begin
        )
        began = asyncio.get_running_loop().time()
        workers = await self._until_ready(name, within_s, watch, old if done.changed else set())
        if workers is None:
            why = self._why(watch, await self._entry(name), within_s)
            if not trial.on:
                raise InvalidConfigError(f"Server {name!r} is in service, and not ready: {why}")
            await self._secretary.amend(trial.undone, by, f"{name} was not ready: {why}", trials=trial.end)
            raise InvalidConfigError(f"Server {name!r} was not ready and is taken out again: {why}")
        announced = trial.on and await self._announce(trial, reason, done.version, workers)
        waited = asyncio.get_running_loop().time() - began
        changed = bool(done.changed) or announced
        return plain(ServerReceipt(name, changed, done.version, workers, round(waited, 3)))

    def _with(self, document: Mapping[str, Any], name: str, said: dict[str, Any]) -> dict[str, Any]:
        """Return what the fleet sets with a server in it that runs as `said`."""
        base, key = self._steward.base, ("servers", name)
        present = base.config(document).servers.get(name)
        if present is None and not said:
            raise InvalidConfigError(
                f"What server {name!r} is was not said", advice="Give its command, url or app."
            )
        off = (*key, "disabled")
        if present is None or present.disabled:
            tree = overlay.with_value(document, key, said) if said else overlay.without(document, off)
            if base.config(tree).servers[name].disabled:  # by a file
                tree = overlay.with_value(tree, off, value=False)
            if base.config(tree).servers[name].disabled:
                raise InvalidConfigError(
                    f"Server {name!r} is switched off by a coordinator's own environment or flags",
                    advice="Take out its `disabled` there.",
                )
            return tree
        if said and _told(base.config(overlay.with_value(document, key, said)), name) != _told(
            base.config(document), name
        ):
            raise InvalidConfigError(
                f"There is a server {name!r} already, and it is another one",
                advice=f"Change it with `mcpweft config set servers.{name}.KEY VALUE`, or remove it first.",
            )
        return dict(document)

    def _runs(self, name: str) -> bool:
        server = self._steward.config.servers.get(name)
        return server is not None and not server.disabled

    async def _until_ready(self, name: str, within_s: float, watch: _Watch, old: set[str]) -> int | None:
        """Return how many workers take work once any does, 0 where it sleeps, None where none comes to it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while loop.time() < until and watch.ends < _CRASHES:
            server = self._steward.config.servers.get(name)
            if server is not None and _sleeps(server):
                return 0
            entry = await self._entry(name)
            if usable := entry.usable - old:
                return len(usable)
            page = await self._store.events(watch.position, _PAGE)
            watch.position = page.position
            watch.hear(page.events, entry.server)
            await asyncio.sleep(_LOOK_S)
        return None

    @staticmethod
    def _why(watch: _Watch, entry: Entry, within_s: float) -> str:
        said = entry.row().reason or "no worker of it has come: does a launcher run (`mcpweft up`)?"
        if watch.ends:
            last = f"; it said last: {' | '.join(watch.last.splitlines())}" if watch.last else ""
            return f"its worker {watch.reason}, {watch.ends} times{last}"
        return f"{said} (waited {within_s:g} s)"

    async def _announce(self, trial: _Test, reason: str, version: int, workers: int) -> bool:
        """End the trial, and tell the fleet unless another command has seen to it."""
        name, by = trial.trial.server, trial.trial.by
        await self._secretary.amend(dict, by, reason, trials=trial.end)
        if trial.ended:
            data = {"by": by, "version": version, "workers": workers}
            server = (await self._entry(name)).server
            self._tell(Event(Kind.SERVER_ADDED, Who.ADMIN, "", server, "", reason, data))
        return trial.ended

    async def _entry(self, name: str) -> Entry:
        """Return what is to be seen of a server, which may be nothing yet."""
        config = self._steward.config
        short = slugs({*config.servers, name})[name]
        entries = await self._roster.look(config)
        return entries.get(short) or self._roster.nobody(name, short)

    # -- going ---------------------------------------------------------------------------------------------

    async def remove(self, name: str, by: str, reason: str) -> dict[str, Any]:
        """Have a server run no more; answer once its workers are gone. Raises InvalidConfigError."""
        await self._steward.catch_up()
        name = await self._known(name)
        entry = was = await self._entry(name)
        done = await self._secretary.amend(
            lambda document: self._without(document, name), by, reason,
            trials=lambda trials: tuple(trial for trial in trials if trial.server != name),
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        began = loop.time()
        until = began + self._steward.config.worker.grace + _LATE_S
        while entry.loads and loop.time() < until:
            await asyncio.sleep(_LOOK_S)
            entry = await self._entry(name)
        left = len(entry.loads)
        if not left and was.record.state in STICKS:  # nobody is left whom the order is about
            await self._orders.give(was, Move.RESET, Command(by, f"{name} is removed"))
        for capability in () if left else was.capabilities:
            await self._store.forget(capability, was.server)
        if done.changed:
            data = {"by": by, "version": done.version, "left": left}
            self._tell(Event(Kind.SERVER_REMOVED, Who.ADMIN, "", entry.server, "", reason, data))
        waited = round(loop.time() - began, 3)
        return plain(ServerReceipt(name, bool(done.changed), done.version, left, waited))

    def _without(self, document: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Return what the fleet sets without a server; one that this process was given is switched off."""
        without = overlay.without(document, ("servers", name))
        present = self._steward.base.config(without).servers.get(name)
        if present is None or present.disabled:
            return without
        return overlay.with_value(without, ("servers", name, "disabled"), value=True)

    async def _known(self, name: str) -> str:
        """Return the name by which a server is, or was, configured. Raises InvalidConfigError."""
        servers = self._steward.config.servers
        by_slug = {short: full for full, short in slugs(servers).items()}
        if name in servers or name in by_slug:
            return name if name in servers else by_slug[name]
        for edition in await self._secretary.charter.history():
            if name in (edition.document.get("servers") or {}):
                return name  # it was removed before: the same answer again
        if name in await self._roster.look(self._steward.config):
            raise InvalidConfigError(
                f"Server {name!r} is not configured: a worker brought it along",
                advice="Stop that worker; `mcpweft servers drain` lets it finish first.",
            )
        close = near(name, servers, most=1)
        known = f"Known: {', '.join(sorted(servers)) or 'none'}."
        raise InvalidConfigError(
            f"There is no server {name!r}", advice=f"Did you mean {close[0]!r}?" if close else known
        )


def _told(config: Config, name: str) -> dict[str, Any]:
    return config.servers[name].model_dump()


def _sleeps(server: ServerConfig) -> bool:
    """Whether nothing of it runs before its first request."""
    return (
        server.start is Start.LAZY
        or (server.scaled and not server.least)
        or not (server.scaled or server.workers)
    )
