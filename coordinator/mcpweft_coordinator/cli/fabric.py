"""Which fabric an admin command speaks to, and in whose name.

Above stand the commands. Below are `locate` and `Admin`. This module must never know what a command does.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcpweft_coordinator.admin import Admin

_T = TypeVar("_T")
_CONTROL = "MCPWEFT_COORDINATOR__CONTROL_URL"


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """Which fabric to command."""

    store: Annotated[str | None, Parameter(name=("--store", "--url"))] = None
    """URL of the store. Unset: MCPWEFT_URL, the nearest mcpweft.toml, a running `mcpweft up`."""
    namespace: str | None = None
    """Which fabric on that store."""
    name: str = "default"
    """Name of the running `mcpweft up` to look for."""
    by: str | None = None
    """In whose name. Unset: the user and host of this process."""

    def ask(self, what: Callable[[Admin], Awaitable[_T]]) -> _T:
        """Return what `what` gets from the coordinators."""
        return asyncio.run(self._ask(what))

    async def _ask(self, what: Callable[[Admin], Awaitable[_T]]) -> _T:
        from mcpweft_coordinator.admin import Admin  # loads arq, once the command line is known to be right
        from mcpweft_coordinator.duties import control_of
        from mcpweft_schemas.errors import InvalidConfigError
        from mcpweft_schemas.locate import locate

        place = locate(self.store, namespace=self.namespace, fabric=self.name)
        control = control_of(place.url, _control_url())
        if control is None:
            raise InvalidConfigError(
                "Commands go over a plain Redis, and the data of this fabric lie on a Cluster",
                advice=f"Set {_CONTROL} (coordinator.control_url) to the coordinators' own.",
            )
        async with Admin(control, place.namespace, by=self.by) as admin:
            return await what(admin)


FOUND = Fabric()
"""The fabric that is found where nobody says which."""

Json = Annotated[bool, Parameter(name="--json")]
"""Print JSON."""


def _control_url() -> str | None:
    """Return the control URL that the environment or the nearest mcpweft.toml names."""
    from mcpweft_schemas import tomlfile

    if said := os.environ.get(_CONTROL):
        return said
    path = tomlfile.nearest(Path.cwd())
    section: Any = {} if path is None else tomlfile.read(path).tree.get("coordinator")
    url = section.get("control_url") if isinstance(section, dict) else None
    return url if isinstance(url, str) else None
