"""A look at a whole configuration, as an experienced operator would take it before people depend on it.

Which rules apply depends on the purpose: a table below. Above stand `mcpweft check --production` and
users in Python; below are the rules, by subject: `capacity`, `patience`, `safekeeping`. This module must
never change anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from mcpweft_schemas.presets import capacity, patience, safekeeping
from mcpweft_schemas.presets.finding import Finding, Review, Severity, Subject, warning
from mcpweft_schemas.presets.preset import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mcpweft_schemas.config import Config

    Rule: TypeAlias = Callable[[Subject], Iterator[Finding]]


def read(subject: Subject) -> Iterator[Finding]:
    """Find what was odd when the configuration was read."""
    for text in subject.config.warnings:
        yield warning("", text, "Change what it names, or leave it knowingly.")


_ALWAYS: tuple[Rule, ...] = (capacity.present, patience.summed, patience.ruled, patience.retried, read)
_PRODUCTION: tuple[Rule, ...] = (
    capacity.routed,
    capacity.twice,
    capacity.fitting,
    capacity.scaled,
    capacity.awake,
    patience.judged,
    patience.noticed,
    safekeeping.stored,
    safekeeping.watched,
    safekeeping.travelling,
    safekeeping.secret,
)
RULES: dict[Purpose, tuple[Rule, ...]] = {
    Purpose.PRODUCTION: (*_ALWAYS, *_PRODUCTION),
    Purpose.DEVELOPMENT: _ALWAYS,
    Purpose.TESTING: _ALWAYS,
}
"""What is looked at, by purpose: away from production a configuration must hold together, and no more."""


def validate(
    config: Config, purpose: Purpose = Purpose.PRODUCTION, written: Mapping[str, Any] | None = None
) -> Review:
    """Return what is found in `config` for a purpose.

    Args:
        config: The configuration as it would run.
        purpose: What it is for.
        written: What the file itself says, to look for secrets in it. Unset: nothing is known of the file,
            and no such secret is found.

    """
    subject = Subject(config, written or {})
    found = dict.fromkeys(finding for rule in RULES[purpose] for finding in rule(subject))
    order = list(Severity)
    return Review(purpose, tuple(sorted(found, key=lambda finding: order.index(finding.severity))))


def validate_production(config: Config, written: Mapping[str, Any] | None = None) -> Review:
    """Return what is found in `config` before people depend on it; as `validate`."""
    return validate(config, Purpose.PRODUCTION, written)
