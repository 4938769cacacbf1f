"""What a server offers, and what it answers: plain values, free of the SDK's types.

Above stand the session, the catalog and whoever runs calls. Below: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool as its server lists it. The hints are what annotations say, None where they are silent."""

    name: str
    description: str
    input_schema: dict[str, Any]
    read_only: bool | None = None
    idempotent: bool | None = None
    task_required: bool = False
    """The server answers this tool by a task only, which cannot be called yet."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered to a call."""

    content: list[dict[str, Any]]
    """MCP content blocks, as JSON has them."""
    structured: Any | None
    is_error: bool
    """The tool ran and says that it failed."""
    service_ms: float
    """From the moment the call was handed to the transport until its answer was there."""
    meta: Any = None
    """What came beside the answer, unread."""
