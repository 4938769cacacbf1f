"""What a strategy is: a plain function from figures to shares.

A strategy does not pick a worker for a request, for nobody does: workers pull. It says how much of a pool's
work each worker may take, and for how long it lets better-placed ones go first (`mcpweft_schemas.share`).

It is called every second or so with the figures of one pool and with what it returned the last time as
`memory` (None at first, and after a change of leader or of strategy), and returns shares and the next
memory. It may remember, but it may not look at a clock or at chance of its own. Workers that it names no
share for take as if there were no strategy.

Above stand the coordinator and the simulator, which call it. Below: figures and shares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mcpweft_coordinator.strategy.figures import Figures, Shares


class Strategy(Protocol):
    """One way of dealing shares."""

    def __call__(self, figures: Figures, memory: Any) -> tuple[Shares, Any]:
        """Return a share for each candidate, and what to remember."""
        ...
