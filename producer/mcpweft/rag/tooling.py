"""Which tool of a server searches, and with which arguments a question becomes a call of it.

Above stand the two that ask: the fabric's and the fallback's side. This module must never call anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mcpweft_schemas.errors import UnknownToolError, near

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcpweft.rag.query import Query

USUAL = "search"


class Listed(Protocol):
    """A tool, as a server lists it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def input_schema(self) -> Mapping[str, Any]:
        """The JSON schema of its arguments."""
        ...


@dataclass(frozen=True, slots=True)
class Searcher:
    """A tool that searches."""

    name: str
    input_schema: Mapping[str, Any]


L = TypeVar("L", bound=Listed)


def choose(tools: Sequence[L], wanted: str | None, whose: str) -> L:
    """Return the tool that searches. Raises UnknownToolError where that cannot be told."""
    by_name = {tool.name: tool for tool in tools}
    if wanted is not None and wanted not in by_name:
        close = near(wanted, by_name)
        hint = (
            f"Did you mean {' or '.join(close)}?" if close else f"There are {', '.join(by_name) or 'none'}."
        )
        raise UnknownToolError(f"{whose} has no tool {wanted!r}, which rag.tools names", advice=hint)
    found = by_name.get(wanted or USUAL)
    if found is None and len(by_name) == 1:
        (found,) = by_name.values()
    if found is None:
        raise UnknownToolError(
            f"{whose} has no tool {USUAL!r}, and {len(by_name)} others",
            advice=f"Name the one that searches in rag.tools; there are {', '.join(sorted(by_name))}.",
        )
    return found


def arguments_of(query: Query, tool: Listed) -> dict[str, Any]:
    """Return a question as a tool's arguments: of what it says, what the tool's schema knows."""
    said = {
        "query": query.text,
        "max_results": query.max_results,
        "threshold": query.threshold,
        "context": query.context,
    }
    known = tool.input_schema.get("properties")
    return {
        name: value
        for name, value in said.items()
        if name == "query" or (value is not None and isinstance(known, dict) and name in known)
    }
