"""`mcpweft worker`: from a command line to one running worker.

Above stands the root of the command line, which loads this module by its path. Below is `entry`, loaded once
the command line is known to be right. This module must never load the SDK, nor decide what a worker does.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from mcpweft_schemas.config import Config, ServerConfig
    from mcpweft_schemas.locate import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What one worker is to do."""

    config: Config
    server: ServerConfig
    place: Place
    id: str | None = None
    """Its worker id; None: it makes one."""


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


def worker(
    *,
    which: Which = Which(),
    where: Where = Where(),
    id: str | None = None,  # noqa: A002  # the flag's name
    port: int | None = None,
    host: str | None = None,
) -> int:
    """Run one worker, bound to one MCP server, until SIGTERM or Ctrl-C.

    Parameters
    ----------
    which
        The server to run.
    where
        The fabric to serve.
    id
        The worker's id, unique in the fabric. Unset: made from server, host and process.
    port
        Port of /healthz, /readyz and /metrics; 0 takes any free one. Unset: as configured.
    host
        Address that the port listens on.

    """
    options = resolve(which, where, id=id, port=port, host=host)
    from mcpweft_workers.entry import run_worker  # noqa: PLC0415  # loads the SDK

    return run_worker(options)


def resolve(
    which: Which,
    where: Where,
    *,
    id: str | None = None,  # noqa: A002  # the flag's name
    port: int | None = None,
    host: str | None = None,
) -> WorkerOptions:
    """Return what the command line means, after configuration and environment.

    Raises:
        InvalidConfigError: there is no such server, or a setting is wrong.
        ConnectionFailedError: nobody says where the fabric is.

    """
    from mcpweft_schemas import tomlfile  # noqa: PLC0415  # nothing below is needed for --help
    from mcpweft_schemas.config import load_config  # noqa: PLC0415
    from mcpweft_schemas.locate import locate  # noqa: PLC0415

    name, given = _given(which)
    overrides: dict[str, Any] = {"worker": {"port": port, "host": host}}
    if given:
        overrides["servers"] = {name: given}
    if which.include:
        overrides["include"] = [str(path) for path in which.include]
    here = Path.cwd()
    config = load_config(which.config or tomlfile.nearest(here), overrides, directory=here)
    place = locate(
        where.store or (config.redis.url if which.config else None),
        namespace=where.namespace or (config.namespace if which.config else None),
        fabric=where.name,
    )
    return WorkerOptions(config=config, server=_pick(config, name), place=place, id=id)


def _given(which: Which) -> tuple[str | None, dict[str, Any]]:
    """Return the server's name and the settings of it that the command line says."""
    from mcpweft_schemas.errors import InvalidConfigError  # noqa: PLC0415  # not needed for --help

    ways = [flag for flag in ("command", "url", "app") if getattr(which, flag)]
    if len(ways) > 1:
        raise InvalidConfigError(
            f"--{' and --'.join(ways)} were given", advice="A worker has one server: keep one of them."
        )
    settings: dict[str, Any] = {}
    if which.command:
        program, *args = shlex.split(which.command)
        settings |= {"command": program, "args": args}
    elif which.url:
        settings["url"] = which.url
    elif which.app:
        settings["app"] = which.app
    name = which.server or (_name_of(which) if ways else None)
    if which.capability:
        settings["capabilities"] = list(which.capability)
    if which.concurrency is not None:
        settings["concurrency"] = which.concurrency
    return name, settings


def _name_of(which: Which) -> str:
    """Return what to call a server that the command line describes and does not name."""
    from urllib.parse import urlsplit  # noqa: PLC0415  # not needed for --help

    if which.command:
        return Path(shlex.split(which.command)[0]).stem
    if which.url:
        return urlsplit(which.url).hostname or "server"
    return (which.app or "server").partition(":")[0].rpartition(".")[2]


def _pick(config: Config, name: str | None) -> ServerConfig:
    from mcpweft_schemas.errors import InvalidConfigError, near  # noqa: PLC0415  # not needed for --help

    known = ", ".join(config.active) or "none"
    if name is None:
        if len(config.active) == 1:
            return next(iter(config.active.values()))
        raise InvalidConfigError(
            f"Which server is not said, and {len(config.active)} are configured ({known})",
            advice="Write --server NAME, or describe one with --command, --url or --app.",
        )
    if name in config.active:
        return config.active[name]
    if broken := next((one for one in config.broken if one.name == name), None):
        raise InvalidConfigError(f"Server {broken}".rstrip("."), advice="Other servers can run.")
    if name in config.servers:
        raise InvalidConfigError(f"Server {name!r} is disabled", advice="Take out its `disabled`.")
    close = near(name, config.active, most=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"Configured: {known}."
    raise InvalidConfigError(f"There is no server {name!r}", advice=hint)
