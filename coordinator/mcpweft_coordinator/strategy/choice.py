"""The strategies by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweft_coordinator.strategy.adaptive import ARMS, adaptive
from mcpweft_schemas.config.sections import StrategyName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_coordinator.strategy.strategy import Strategy

DEFAULT = StrategyName.ROUND_ROBIN.value
STRATEGIES: Mapping[str, Strategy] = {DEFAULT: ARMS[DEFAULT], **ARMS, "adaptive": adaptive}
"""Each with what it is for in its module."""
