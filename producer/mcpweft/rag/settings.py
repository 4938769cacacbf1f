"""What a RagClient is told beside where the fabric is: `[rag]` of the configuration, or by hand.

Above stands the client. This module must never look for a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcpweft.rag.analyser import Analyser, analyse
from mcpweft.terms import own_config
from mcpweft_schemas.errors import InvalidConfigError, near

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self

    from mcpweft_schemas.config import Config
    from mcpweft_schemas.config.server import ServerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class RagSettings:
    """Times in seconds."""

    fallback: ServerConfig | None = None
    """The server that is asked directly where the fabric cannot serve; None: such a query fails."""
    timeout: float = 120.0
    """Total time of a question that names none."""
    fallback_after: float = 2.0
    """How long the fabric may take before the fallback is asked too."""
    cache: float = 0.0
    """How long answers of read-only tools are kept; 0: not at all."""
    cache_entries: int = 1000
    """Answers that are kept at most, those used last."""
    tools: Mapping[str, str] = field(default_factory=dict[str, str])
    """Capability → the tool that searches. Else the only tool, or the one called `search`."""
    analyser: Analyser = analyse

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return what `[rag]` says. Raises InvalidConfigError where its fallback is no server."""
        said = config.rag
        fallback = None
        if said.fallback is not None:
            fallback = config.active.get(said.fallback)
            if fallback is None:
                close = near(said.fallback, config.active)
                hint = f"Did you mean {' or '.join(close)}?" if close else "Name one of [servers]."
                raise InvalidConfigError(
                    f"rag.fallback is {said.fallback!r}, and no server is called so", advice=hint
                )
        return cls(
            fallback=fallback,
            timeout=config.call.timeout,
            fallback_after=said.fallback_after,
            cache=said.cache or 0.0,
            cache_entries=said.cache_entries,
            tools=said.tools,
        )

    @classmethod
    def found(cls, directory: Path, environ: Mapping[str, str]) -> Self:
        """Return what the nearest `mcpweft.toml` and the environment say. Raises InvalidConfigError."""
        config = own_config(directory, environ, "MCPWEFT_RAG__", "MCPWEFT_CALL__")
        return cls() if config is None else cls.of(config)
