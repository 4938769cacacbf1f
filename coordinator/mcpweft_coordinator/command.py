"""`mcpweft coordinator`: from a command line to one running coordinator.

Above stands the root of the command line, which loads this module by its path. Below is `entry`, loaded once
the command line is known to be right. This module must never decide what a coordinator does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

if TYPE_CHECKING:
    from mcpweft_coordinator.entry import CoordinatorOptions


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The fabric to look after."""

    store: str | None = None
    """URL of the store. Unset: MCPWEFT_URL, the nearest mcpweft.toml, a running `mcpweft up`."""
    namespace: str | None = None
    """Which fabric on that store."""
    name: str = "default"
    """Name of the running `mcpweft up` to look for."""
    config: Path | None = None
    """The mcpweft.toml to read. Unset: the nearest one, from here upwards."""


FOUND = Where()


def coordinator(
    *,
    where: Where = FOUND,
    launch: bool = False,
    id: str | None = None,  # noqa: A002  # the flag's name
    port: int | None = None,
    host: str | None = None,
) -> int:
    """Run one coordinator until SIGTERM or Ctrl-C. Several may run; one leads, the others stand by.

    Parameters
    ----------
    where
        The fabric to look after.
    launch
        Run the configured servers' workers on this host as well.
    id
        Its id among the coordinators. Unset: made from host and process.
    port
        Port of /healthz, /readyz and /metrics; 0 takes any free one. Unset: as configured.
    host
        Address that the port listens on.

    """
    from mcpweft_coordinator.entry import run_coordinator  # loads the control plane

    options = resolve(where, id=id, port=port, host=host)
    return run_coordinator(options, launch=launch)


def resolve(
    where: Where,
    *,
    id: str | None = None,  # noqa: A002  # the flag's name
    port: int | None = None,
    host: str | None = None,
) -> CoordinatorOptions:
    """Return what the command line means, after configuration and environment.

    Raises:
        InvalidConfigError: a setting is wrong.
        ConnectionFailedError: nobody says where the fabric is.

    """
    from mcpweft_coordinator.entry import CoordinatorOptions  # nothing here is needed for --help
    from mcpweft_schemas import tomlfile
    from mcpweft_schemas.config import read_base
    from mcpweft_schemas.locate import locate

    here = Path.cwd()
    overrides = {"coordinator": {"port": port, "host": host}}
    base = read_base(where.config or tomlfile.nearest(here), overrides, directory=here)
    config = base.config()
    place = locate(
        where.store or (config.redis.url if where.config else None),
        namespace=where.namespace or (config.namespace if where.config else None),
        fabric=where.name,
    )
    return CoordinatorOptions(config=config, base=base, place=place, id=id)
