"""`mcpweft worker`: from a command line to one running worker.

Above stands the root of the command line, which loads this module by its path. Below is `entry`, loaded once
the command line is known to be right. This module must never load the SDK, nor decide what a worker does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_schemas.config import Config
    from mcpweft_schemas.locate import Place


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """The server to run, and where it is said."""

    server: str | None = None
    """Name of a server in mcpweft.toml or mcp.json; beside --command, --url or --app: what to call it."""
    command: str | None = None
    """Run this stdio server, written as in a shell: --command "uvx mcp-server-git"."""
    url: str | None = None
    """Connect to this HTTP server (one that ends in /sse is spoken to by SSE)."""
    app: str | None = None
    """Run this Python object in the worker, as module:name."""
    capability: tuple[str, ...] = ()
    """A pool to serve; may be repeated. Unset: as configured, else the server's name."""
    concurrency: int | None = None
    """Calls at once."""
    config: Path | None = None
    """The mcpweft.toml to read. Unset: the nearest one, from here upwards."""
    include: tuple[Path, ...] = ()
    """An mcp.json to import servers from, instead of what mcpweft.toml includes; may be repeated."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The fabric to serve."""

    store: str | None = None
    """URL of the store. Unset: MCPWEFT_URL, the nearest mcpweft.toml, a running `mcpweft up`."""
    namespace: str | None = None
    """Which fabric on that store."""
    name: str = "default"
    """Name of the running `mcpweft up` to look for."""


Level = Literal["debug", "info", "warning", "error"]

_PATIENCE_S = 3.0  # for the fleet's settings

ALONE = Which()
FOUND = Where()


def worker(
    *,
    which: Which = ALONE,
    where: Where = FOUND,
    id: str = "",  # noqa: A002  # the flag's name
    port: int | None = None,
    host: str | None = None,
    log_level: Level = "info",
) -> int:
    """Run one worker, bound to one MCP server, until SIGTERM or Ctrl-C.

    Parameters
    ----------
    which
        The server to run.
    where
        The fabric to serve.
    id
        The worker's id, never used before. Unset: made from server, host and process.
    port
        Port of /healthz, /readyz and /metrics; 0 takes any free one. Unset: as configured.
    host
        Address that the port listens on.
    log_level
        What to log on standard error, a JSON line each.

    """
    config, url, server = settle(which, where, {"worker": {"port": port, "host": host}})
    from mcpweft_workers.entry import WorkerOptions, run_worker  # loads the SDK

    return run_worker(
        WorkerOptions(
            config=config,
            store_url=url,
            server=server,
            command=(which.command,) if which.command else (),
            url=which.url or "",
            app=which.app or "",
            name="" if server else which.server or "",
            worker_id=id,
            capabilities=which.capability,
            concurrency=which.concurrency,
            port=port,
            log_level=log_level,
        )
    )


def settle(which: Which, where: Where, overrides: dict[str, Any]) -> tuple[Config, str, str]:
    """Return the configuration, its namespace settled, the store's URL, and the configured server, if one.

    Raises:
        InvalidConfigError: a setting is wrong.
        ConnectionFailedError: nobody says where the fabric is.

    """
    from mcpweft_schemas import tomlfile  # nothing below is needed for --help
    from mcpweft_schemas.config import read_base
    from mcpweft_schemas.config.overlay import expanded
    from mcpweft_schemas.errors import ConnectionFailedError, InvalidConfigError
    from mcpweft_schemas.locate import locate

    here = Path.cwd()
    if which.include:
        overrides["include"] = [str(path) for path in which.include]
    base = read_base(which.config or tomlfile.nearest(here), overrides, directory=here)
    config = base.config()
    ad_hoc = bool(which.command or which.url or which.app)
    try:
        place = locate(
            where.store or (config.redis.url if which.config else None),
            namespace=where.namespace or (config.namespace if which.config else None),
            fabric=where.name,
        )
    except ConnectionFailedError:
        if not ad_hoc:
            pick(config, which.server)  # a misspelt server is the nearer mistake
        raise
    document: Mapping[str, Any] = {}
    try:
        document = _fleet_settings(place)
        config = base.config(document)
    except InvalidConfigError as error:
        # They do not fit what this process was given: it runs by that alone, as the coordinators here do.
        sys.stderr.write(f"mcpweft: the fleet's settings are not applied: {error}\n")
    server = "" if ad_hoc else pick(config, which.server)
    if server in document.get("servers", {}):
        config = base.config(expanded(document, server, os.environ))
    return config.model_copy(update={"namespace": place.namespace}), place.url, server


def _fleet_settings(place: Place) -> Mapping[str, Any]:
    """Return what is set for the whole fleet; nothing where the store does not say so soon."""
    # In a thread of its own: whoever calls this may have a loop that runs.
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(asyncio.run, _read_settings(place)).result()


async def _read_settings(place: Place) -> Mapping[str, Any]:
    from mcpweft_schemas.connect import Link
    from mcpweft_schemas.errors import FabricError
    from mcpweft_schemas.store import Store

    try:
        async with asyncio.timeout(_PATIENCE_S), Link.to(place.url) as link:
            return (await Store(link, place.namespace).edition()).document
    except (TimeoutError, FabricError, ValueError):
        return {}


def pick(config: Config, name: str | None) -> str:
    """Return the name of the server that is meant: the one asked for, or the only one.

    Raises:
        InvalidConfigError: there is none of that name, or it cannot run.

    """
    from mcpweft_schemas.errors import InvalidConfigError, near  # not needed for --help

    known = ", ".join(config.active) or "none"
    if name is None:
        if len(config.active) == 1:
            return next(iter(config.active))
        raise InvalidConfigError(
            f"Which server to run is not said, and {len(config.active)} are configured ({known})",
            advice="Write --server NAME, or describe one with --command, --url or --app.",
        )
    if name in config.active:
        return name
    if broken := next((one for one in config.broken if one.name == name), None):
        raise InvalidConfigError(f"Server {broken}")
    if name in config.servers:
        raise InvalidConfigError(f"Server {name!r} is disabled", advice="Take out its `disabled`.")
    close = near(name, config.active, most=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"Configured: {known}."
    raise InvalidConfigError(f"There is no server {name!r}", advice=hint)
