"""`mcpweft up`: a whole fabric in one terminal: its own store or a given one, coordinator and workers.

    signals ─▶ store (a child, or given) ─▶ audit ─▶ pools ─▶ announcement ─▶ coordinator with launcher

At the end, in the other order: the announcement is withdrawn, the workers finish or hand back what they have,
the coordinator goes, and the store last.

Above stands the root of the command line. Below are `coordinator`, `launcher` and `table`. This module must
never know how a worker is run, nor what a request is.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from mcpweft_coordinator.coordinator import Coordinator
    from mcpweft_coordinator.table import Display
    from mcpweft_schemas.config import Base, Config
    from mcpweft_schemas.connect import Link
    from mcpweft_schemas.locate import Announcement
    from mcpweft_schemas.store import Store

Level = Literal["debug", "info", "warning", "error"]

_LOOK_S = 0.1  # between two looks at the servers: what a person takes for at once
_STORE_LOOK_S = 0.5
_ENDED_AT_ONCE = 130
_SHOW_CURSOR = b"\x1b[?25h\r\n"  # the table hides it


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which fabric it is to be."""

    store: str | None = None
    """URL of a store to use. Unset: redis.url, MCPWEFT_URL, else one of its own."""
    data: Path | None = None
    """Directory in which its own store keeps its data for the next time. Unset: none, all ends with it."""
    namespace: str | None = None
    """Namespace on the store. Unset: as configured."""
    name: str = "default"
    """Name under which commands and clients of this user find it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be run."""

    base: Base
    config: Config
    imports: tuple[Path, ...]
    url: str | None
    """None: a store of its own."""
    data: Path | None
    name: str
    log_level: str | None


HERE = Where()


def up(*files: Path, where: Where = HERE, log_level: Level | None = None) -> int:
    """Run a whole fabric in this terminal: store, coordinator, and the workers of every server.

    Ctrl-C stops it all in good order, a second one at once.

    Parameters
    ----------
    files
        An mcpweft.toml, or mcp.json files, or both. Unset: the nearest mcpweft.toml, else ./mcp.json.
    where
        Which fabric it is to be.
    log_level
        What to log on standard error, a JSON line each. Unset: warning, and error beside the table.

    """
    for module in ("arq", "mcp"):
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    return asyncio.run(_run(plan(files, where, log_level)))


def plan(files: Sequence[Path], where: Where, log_level: str | None = None) -> Plan:
    """Return what the command line asks for.

    Raises:
        InvalidConfigError: a setting is wrong, or there is nothing to run.

    """
    from mcpweft_schemas import tomlfile  # nothing below is needed for --help
    from mcpweft_schemas.config import read_base
    from mcpweft_schemas.errors import InvalidConfigError

    here = Path.cwd()
    tables = [path for path in files if path.suffix == ".toml"]
    imports = tuple(path.absolute() for path in files if path.suffix != ".toml")
    if len(tables) > 1:
        raise InvalidConfigError(
            f"{len(tables)} mcpweft.toml were given", advice="Name one, and any number of mcp.json."
        )
    overrides: dict[str, Any] = {"namespace": where.namespace, "redis": {"url": where.store}}
    if imports:
        overrides["include"] = [str(path) for path in imports]
    path = tables[0] if tables else tomlfile.nearest(here)
    base = read_base(path, overrides, directory=here)
    config = base.config()
    if not config.active:
        broken = "; ".join(map(str, config.broken))
        raise InvalidConfigError(
            f"There is no server that can be run{': ' + broken if broken else ''}",
            advice="Name one (`mcpweft up mcp.json`), or put servers in mcpweft.toml (`mcpweft init`).",
        )
    return Plan(
        base=base, config=config, imports=imports, url=config.redis.url, data=where.data, name=where.name,
        log_level=log_level,
    )  # fmt: skip


async def _run(plan: Plan) -> int:
    from mcpweft_coordinator.table import display  # nothing below is needed for --help
    from mcpweft_schemas.connect import Link
    from mcpweft_schemas.locate import redacted
    from mcpweft_schemas.store import Store

    _check_name(plan.name)
    with _Stop() as stop:
        async with contextlib.AsyncExitStack() as stack:
            shown = stack.enter_context(display())
            _log(plan.log_level)
            own = None
            if plan.url is None:
                from mcpweft_schemas.embedded import EmbeddedServer  # where it is wanted

                own = await stack.enter_async_context(EmbeddedServer(plan.data))
                kept = f"kept in {plan.data}" if plan.data else "gone with it; --data DIR keeps it"
                shown.say(f"store: its own ({kept})")
            else:
                shown.say(f"store: {redacted(plan.url)}")
            url = plan.url or (own.url if own else "")
            link = await stack.enter_async_context(Link.to(url))
            await _audit(plan.config, link, shown, own=own is not None)
            fabric = _Fabric(plan, url, Store(link, plan.config.namespace), shown)
            await fabric.serve(stop, own)
            shown.say("stopped")
    return 0


def _check_name(name: str) -> None:
    """Refuse a name that is taken, before anything is started."""
    from mcpweft_schemas.errors import InvalidConfigError  # not needed for --help
    from mcpweft_schemas.locate import running_fabric

    if other := running_fabric(name):
        raise InvalidConfigError(
            f"A fabric named {name!r} already runs (process {other.pid})",
            advice="Use it, stop it, or give this one another name with --name.",
        )


class _Stop:
    """Ctrl-C, SIGTERM or a closed terminal: the first ends the fabric in good order, the second at once."""

    _NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.announcement: Announcement | None = None
        """What is to be withdrawn even at once."""

    def __enter__(self) -> Self:
        for number in self._NUMBERS:
            asyncio.get_running_loop().add_signal_handler(number, self._told)
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._NUMBERS:
            asyncio.get_running_loop().remove_signal_handler(number)

    def _told(self) -> None:
        if not self.asked.is_set():
            self.asked.set()
            return
        if self.announcement is not None:
            self.announcement.file.unlink(missing_ok=True)
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), _SHOW_CURSOR)
        os._exit(_ENDED_AT_ONCE)  # children notice that their parent is gone, and end themselves


def _log(level: str | None) -> None:
    from mcpweft_schemas.logline import to_stream  # not needed for --help

    # By now the table, if there is one, stands between this stream and the terminal.
    to_stream(sys.stderr, level or ("error" if sys.stdout.isatty() else "warning"), "mcpweft")


async def _audit(config: Config, link: Link, shown: Display, *, own: bool) -> None:
    """Let a store pass that fits, and say what it promises less than one may think."""
    from mcpweft_coordinator.fitness import check_fitness  # not needed for --help

    for finding in await check_fitness(link, config.redis):
        if not own:
            shown.say(f"store: {finding.message}. {finding.advice}")


class _Fabric:
    """The running whole, once there is a store."""

    def __init__(self, plan: Plan, url: str, store: Store, shown: Display) -> None:
        self._plan = plan
        self._url = url
        self._store = store
        self._shown = shown
        self._told = False

    async def serve(self, stop: _Stop, own: Any) -> None:
        """Run until asked to stop; end in good order."""
        from mcpweft_schemas.locate import announce, withdraw  # not needed for --help

        config = self._plan.config
        coordinator = self._coordinator()
        await coordinator.registrar.declare()  # whoever finds the fabric finds its pools
        announcement = stop.announcement = announce(self._plan.name, self._url, config.namespace)
        try:
            for warning in config.warnings:
                self._shown.say(f"warning: {warning}")
            self._shown.say(f"fabric {self._plan.name!r} is open, namespace {config.namespace!r}")
            self._shown.say("tools: mcpweft tools    status: mcpweft status    stop: Ctrl-C")
            await self._until(stop.asked, coordinator, own)
        finally:
            withdraw(announcement)

    def _coordinator(self) -> Coordinator:
        from mcpweft_coordinator.coordinator import Coordinator, coordinator_id  # arq
        from mcpweft_coordinator.launcher import Launcher, worker_argv, worker_environment
        from mcpweft_schemas.herald import Herald

        config, holder, rng = self._plan.config, coordinator_id(), random.SystemRandom()
        herald = Herald(self._store, config.events.keep, time.monotonic)
        launcher = Launcher(
            self._store, config, holder, argv=worker_argv(config.path, self._plan.imports),
            environ=worker_environment(self._url, config.namespace), clock=time.monotonic, rng=rng,
            tell=herald.tell,
        )  # fmt: skip
        return Coordinator(
            self._store, config, holder=holder, clock=time.monotonic, rng=rng, launcher=launcher,
            herald=herald, base=self._plan.base,
        )  # fmt: skip

    async def _until(self, stop: asyncio.Event, coordinator: Coordinator, own: Any) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(coordinator.run(), name="coordinator")
                watches = [tasks.create_task(self._watch(coordinator), name="table")]
                if own is not None:
                    watches.append(tasks.create_task(_guard(own), name="store"))
                await stop.wait()
                watches.pop(0).cancel()  # what ends now was told to
                self._shown.say("stopping: running calls may finish (Ctrl-C again ends it at once)")
                running.cancel()
                await asyncio.wait((running,))
                for task in watches:
                    task.cancel()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # the others follow from it

    async def _watch(self, coordinator: Coordinator) -> None:
        while True:
            views = coordinator.views()
            self._shown.show(views)
            ready = next((view.capabilities[0] for view in views if view.up and view.tools), None)
            if ready and not self._told:
                self._told = True
                self._shown.say(f"call: {await self._example(ready)}")
            await asyncio.sleep(_LOOK_S)

    async def _example(self, capability: str) -> str:
        """Return a call that can be typed as it is, but for what the arguments are to be."""
        from mcpweft_schemas.packing import unpack  # not needed for --help

        calls: list[tuple[bool, int, str]] = []
        for name, text in (await self._store.tools(capability)).items():
            said = unpack(text)
            required = (said.get("input_schema") or {}).get("required") or []
            words = " ".join((f"{capability}.{name.partition('/')[2]}", *(f"{each}=…" for each in required)))
            calls.append(
                (not said.get("read_only"), len(required), words)
            )  # one that changes nothing, if any
        return f"mcpweft call {min(calls)[2] if calls else f'{capability}.TOOL key=value'}"


async def _guard(own: Any) -> None:
    """Watch the store that came along.

    Raises:
        ConnectionFailedError: it ended by itself.

    """
    from mcpweft_schemas.errors import ConnectionFailedError  # not needed for --help

    while own.running:  # noqa: ASYNC110  # another process's end, which nobody tells
        await asyncio.sleep(_STORE_LOOK_S)
    raise ConnectionFailedError(
        "The fabric's own store ended by itself", advice="Run `mcpweft up` again; --data DIR keeps its data."
    )
