"""Options that several commands take, and how their values are read.

Above stand the commands. This module must never import a client or a model: it is on the way of every call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mcpweft.cli.exits import UsageError

if TYPE_CHECKING:
    from mcpweft_schemas.locate import Place


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """Which fabric to speak to."""

    store: Annotated[str | None, Parameter(name=("--store", "--url"))] = None
    """URL of the store. Unset: MCPWEFT_URL, the nearest mcpweft.toml, a running `mcpweft up`."""
    namespace: str | None = None
    """Which fabric on that store."""
    name: str = "default"
    """Name of the running `mcpweft up` to look for."""

    def place(self) -> Place:
        """Return where the fabric is. Raises ConnectionFailedError where nobody says."""
        from mcpweft_schemas.locate import locate  # not needed for --help

        return locate(self.store, namespace=self.namespace, fabric=self.name)


FOUND = Fabric()
"""The fabric that is found where nobody says which."""

Json = Annotated[bool, Parameter(name="--json")]
"""Print JSON."""


def capability_of(request_id: str) -> str:
    """Return the capability in a request's id. Raises UsageError where it is no id."""
    from mcpweft_schemas import keys  # not needed for --help

    try:
        return keys.capability_of(request_id)
    except ValueError:
        raise UsageError(
            f"{request_id!r} is no request id. One looks like echo~0190c2…, as `mcpweft submit` prints it."
        ) from None
