"""round_robin: every worker takes as much as its server does, at once.

The bell wakes whoever has waited longest, so among workers with room requests go round in turn; a worker
without room is passed over, which a push round robin cannot do. The default: it assumes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mcpweft_schemas.share import EVEN

if TYPE_CHECKING:
    from mcpweft_coordinator.strategy.figures import Figures, Shares


def round_robin(figures: Figures, memory: Any = None) -> tuple[Shares, Any]:  # noqa: ARG001  # needs none
    """Deal everybody the same."""
    return {each.worker: EVEN for each in figures.candidates}, None
