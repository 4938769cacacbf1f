"""What a look at a configuration finds: a finding with its reason, and all of them together.

Above stand the rules, which find, and `review`, which runs them. This module must never look itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.config.fault import dotted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_schemas.config import Config, ServerConfig
    from mcpweft_schemas.presets.preset import Purpose


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """It will fail, or lose what users were promised: change it."""
    WARNING = "warning"
    """It may fail in a way that is often seen: change it, or know why not."""
    RECOMMENDATION = "recommendation"
    """It works; it could be better."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    severity: Severity
    key: str
    """The key to change, as `mcpweft.toml` writes it."""
    reason: str
    suggestion: str
    """What to write there."""


@dataclass(frozen=True, slots=True)
class Review:
    """All that was found for a purpose, the worst first."""

    purpose: Purpose
    findings: tuple[Finding, ...] = ()

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of one severity."""
        return tuple(each for each in self.findings if each.severity is severity)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What must be changed."""
        return self.of(Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What should be."""
        return self.of(Severity.WARNING)

    @property
    def recommendations(self) -> tuple[Finding, ...]:
        """What could be."""
        return self.of(Severity.RECOMMENDATION)

    @property
    def passed(self) -> bool:
        """Whether there is no error."""
        return not self.errors


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at."""

    config: Config
    written: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the file itself says, where it is known: a value that came from the environment is not in it."""

    @property
    def pools(self) -> dict[str, list[ServerConfig]]:
        """The servers of each capability."""
        found: dict[str, list[ServerConfig]] = {}
        for server in self.config.active.values():
            for capability in server.capabilities:
                found.setdefault(capability, []).append(server)
        return found


def key(*parts: str) -> str:
    """Return a key as `mcpweft.toml` writes it."""
    return dotted(parts)


def error(where: str, reason: str, suggestion: str) -> Finding:
    """Return what must be changed."""
    return Finding(Severity.ERROR, where, reason, suggestion)


def warning(where: str, reason: str, suggestion: str) -> Finding:
    """Return what should be changed."""
    return Finding(Severity.WARNING, where, reason, suggestion)


def recommendation(where: str, reason: str, suggestion: str) -> Finding:
    """Return what could be changed."""
    return Finding(Severity.RECOMMENDATION, where, reason, suggestion)
