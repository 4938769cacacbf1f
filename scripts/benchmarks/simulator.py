"""How fast the simulated fleet runs: virtual seconds of many workers in how many real ones.

    scripts/bench simulator [--workers 100] [--seconds 10000] [--strategy predictive]

One pool of servers of concurrency 1 and 50 ms (exponential), an offered load of 0.03 (60 requests a second
for 100 workers), under a strategy. The last line is one JSON object; the aim is 10,000 virtual seconds of 100
workers within a minute.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.rig.report import Report, options, publish
from mcpweft_coordinator.strategy.choice import STRATEGIES
from mcpweft_simulator.fleet import Fleet
from mcpweft_simulator.server import exponential

SERVICE_S, LOAD = 0.05, 0.03


def main() -> None:
    """Run it once."""
    parser = options(__doc__, rounds=False)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10_000.0, help="virtual ones")
    parser.add_argument("--strategy", choices=sorted(STRATEGIES), default="predictive")
    asked = parser.parse_args()
    fleet = Fleet(seed=1)
    pool = fleet.pool("echo")
    for index in range(asked.workers):
        fleet.worker(f"w{index}", fleet.server(f"s{index}", exponential(SERVICE_S)), [pool])
    rate = LOAD * asked.workers / SERVICE_S
    fleet.arrivals(pool, lambda _: rate)
    fleet.coordinate([pool], STRATEGIES[asked.strategy])
    began = time.perf_counter()
    fleet.run(asked.seconds)
    seconds = time.perf_counter() - began
    told: dict[str, Any] = {
        "workers": asked.workers, "virtual_seconds": asked.seconds, "seconds": round(seconds, 4),
        "requests": len(pool.ledger.ended), "strategy": asked.strategy,
    }  # fmt: skip
    publish(
        Report(
            name="simulator",
            rounds=[{asked.strategy: {"seconds": seconds}}],
            figures=told,
            goals={"seconds": "< 60"},
        ),
        asked,
    )


if __name__ == "__main__":
    main()
