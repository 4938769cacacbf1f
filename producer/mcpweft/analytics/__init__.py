"""What was measured of the fleet: figures by the slot, failovers, and what to change.

`figures` has the values, `historian` asks for what they are made of; `summary`, `failovers` and `advice` make
them.
"""

from mcpweft.analytics.figures import (
    Advice,
    Analytics,
    BreakerMove,
    Failover,
    Latency,
    Point,
    PoolAnalytics,
    Recommendation,
    Requests,
    Series,
    ServerUse,
    Standing,
    StrategyChange,
    Trouble,
)
from mcpweft.analytics.historian import Historian

__all__ = [
    "Advice",
    "Analytics",
    "BreakerMove",
    "Failover",
    "Historian",
    "Latency",
    "Point",
    "PoolAnalytics",
    "Recommendation",
    "Requests",
    "Series",
    "ServerUse",
    "Standing",
    "StrategyChange",
    "Trouble",
]
