"""The strategies by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweft_coordinator.strategy.adaptive import adaptive
from mcpweft_coordinator.strategy.capability_based import capability_based
from mcpweft_coordinator.strategy.least_connections import least_connections
from mcpweft_coordinator.strategy.predictive import predictive
from mcpweft_coordinator.strategy.resource_aware import resource_aware
from mcpweft_coordinator.strategy.round_robin import round_robin
from mcpweft_coordinator.strategy.weighted_response_time import weighted_response_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_coordinator.strategy.strategy import Strategy

DEFAULT = "round_robin"
STRATEGIES: Mapping[str, Strategy] = {
    "round_robin": round_robin,
    "least_connections": least_connections,
    "weighted_response_time": weighted_response_time,
    "resource_aware": resource_aware,
    "capability_based": capability_based,
    "predictive": predictive,
    "adaptive": adaptive,
}
"""Each with what it is for in its module."""
