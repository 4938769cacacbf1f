"""Options that several commands take, and how their values are read.

Above stand the commands. This module must never import a client or a model: it is on the way of every call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mcpweft.cli.exits import UsageError
from mcpweft_schemas import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cyclopts import Token

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
        from mcpweft_schemas.locate import locate  # noqa: PLC0415  # not needed for --help

        return locate(self.store, namespace=self.namespace, fabric=self.name)


def _seconds(_: Any, words: Sequence[Token]) -> float:
    return duration.seconds(words[0].value)


_CLASSES = {"critical": 9, "high": 7, "normal": 5, "low": 2}
_HIGHEST = 10


def _priority(_: Any, words: Sequence[Token]) -> int:
    text = words[0].value.lower()
    if text in _CLASSES:
        return _CLASSES[text]
    if text.isdecimal() and int(text) <= _HIGHEST:
        return int(text)
    raise ValueError(f"Write 0 to {_HIGHEST}, or one of {', '.join(_CLASSES)}")


Seconds = Annotated[float, Parameter(converter=_seconds, n_tokens=1)]
"""A duration such as 20s, 500ms or 1h30m."""

Priority = Annotated[int, Parameter(converter=_priority, n_tokens=1)]
"""0 to 10, or critical, high, normal, low."""

Json = Annotated[bool, Parameter(name="--json")]
"""Print JSON."""


def capability_of(request_id: str) -> str:
    """Return the capability in a request's id. Raises UsageError where it is no id."""
    from mcpweft_schemas import keys  # noqa: PLC0415  # not needed for --help

    try:
        return keys.capability_of(request_id)
    except ValueError:
        raise UsageError(
            f"{request_id!r} is no request id. One looks like echo~0190c2…, as `mcpweft submit` prints it."
        ) from None
