"""Routing: what the rules decide of a call, put into its terms before anything else is made of them.

Above stands the client. Below are the compiled rules. Nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.errors import RejectedError
from mcpweft_schemas.rules.ruleset import NOTHING, Decision, Facts, Ruleset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft.terms import Terms


def routed(
    rules: Ruleset, capability: str, tool: str, arguments: Mapping[str, Any], terms: Terms
) -> tuple[str, Terms]:
    """Return the pool that a call goes to, and its terms then. Raises RejectedError."""
    facts = Facts(capability, tool, terms.klass, terms.tenant, arguments, terms.metadata or {})
    decision = rules.decide(facts)
    if decision is NOTHING:
        return capability, terms
    if decision.rejected is not None:
        raise _rejected(rules, decision, capability, tool)
    timeout = terms.timeout if decision.timeout is None else decision.timeout
    changed = replace(
        terms,
        klass=decision.klass or terms.klass,
        timeout=timeout,
        # An attempt cannot take longer than the whole; what no longer fits is cut off by the deadline.
        attempt_timeout=min(terms.attempt_timeout, timeout),
        max_attempts=decision.max_attempts or terms.max_attempts,
        rules=ruling.write() if (ruling := rules.ruling(decision)) else "",
    )
    return decision.pool(capability), changed


def _rejected(rules: Ruleset, decision: Decision, capability: str, tool: str) -> RejectedError:
    assert decision.rejected is not None  # noqa: S101  # that is why we are here
    rule, reason = decision.rejected.rule, decision.rejected.reason
    name = f"{capability}.{tool}" if tool else capability
    error = RejectedError(f"{name} is not let in by rule {rule!r}: {reason}")
    error.rule, error.reason, error.version = rule, reason, rules.version
    return error
