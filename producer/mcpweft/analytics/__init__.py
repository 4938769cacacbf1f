"""What was measured of the fleet: figures by the slot, failovers, and what to change.

`figures` has the values, `historian` asks for what they are made of; `summary`, `load`, `failovers` and
`advice` make them. `rehearser` has the recorded load run under other strategies.
"""

from mcpweft.analytics.figures import (
    Advice,
    Analytics,
    Arrivals,
    BreakerMove,
    Failover,
    Latency,
    Load,
    Point,
    PoolAnalytics,
    Range,
    Recommendation,
    Rehearsal,
    Rehearsed,
    Requests,
    Series,
    ServerLoad,
    ServerUse,
    Standing,
    StrategyChange,
    Trouble,
)
from mcpweft.analytics.historian import Historian
from mcpweft.analytics.rehearser import rehearsed

__all__ = [
    "Advice",
    "Analytics",
    "Arrivals",
    "BreakerMove",
    "Failover",
    "Historian",
    "Latency",
    "Load",
    "Point",
    "PoolAnalytics",
    "Range",
    "Recommendation",
    "Rehearsal",
    "Rehearsed",
    "Requests",
    "Series",
    "ServerLoad",
    "ServerUse",
    "Standing",
    "StrategyChange",
    "Trouble",
    "rehearsed",
]
