"""The workloads on which strategies are compared, W1 to W8, each at an offered load.

Above stand the tests and `scripts/bench strategies`. An offered load is arrivals over what the servers could
serve at the time that their calls take without trouble.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweft_simulator.fleet import Fleet
from mcpweft_simulator.server import drifting, exactly, exponential, lognormal

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft_coordinator.strategy.strategy import Strategy
    from mcpweft_simulator.pool import Pool

WARM_UP = 60.0
"""Seconds that are cut from the start of each run."""
TURN = 420.0
"""Seconds of one run, and of each turn of a longer one; each begins with a warm-up that is cut."""
LEARNING = 2 * TURN
"""What `adaptive` is given before it is measured: it tries each of six strategies for a minute first."""
HALF = 60.0
"""After which W6 and W8 change."""
LOADS = (0.3, 0.6, 0.85)
Built = tuple[Fleet, list["Pool"]]


def _simple(fleet: Fleet, load: float, means: list[float], *, distributed: bool = False) -> list[Pool]:
    """Servers of concurrency 1 with these mean times, exact or exponential."""
    pool = fleet.pool("echo")
    for index, mean in enumerate(means):
        work = exponential(mean) if distributed else exactly(mean)
        fleet.worker(f"w{index}", fleet.server(f"s{index}", work), [pool])
    rate = load * sum(1 / mean for mean in means)
    fleet.arrivals(pool, lambda _: rate)
    return [pool]


def w1(fleet: Fleet, load: float) -> list[Pool]:
    """4 equal servers of 50 ms."""
    return _simple(fleet, load, [0.05] * 4)


def w2(fleet: Fleet, load: float) -> list[Pool]:
    """3 servers of 50 ms and one of 150 ms."""
    return _simple(fleet, load, [0.05] * 3 + [0.15])


def w3(fleet: Fleet, load: float) -> list[Pool]:
    """2 servers of 50 ms and 2 of 300 ms, exponential."""
    return _simple(fleet, load, [0.05] * 2 + [0.3] * 2, distributed=True)


_DRIFT = ((0.0, 0.05), (120.0, 0.05), (150.0, 0.4), (330.0, 0.4), (360.0, 0.05))
_DRIFTS = tuple((turn * TURN + at, mean) for turn in range(20) for at, mean in _DRIFT)


def w4(fleet: Fleet, load: float) -> list[Pool]:
    """4 servers of concurrency 4 and 50 ms, one of which drifts to 400 ms and back, once a turn."""
    pool = fleet.pool("echo")
    for index in range(4):
        work = drifting(*_DRIFTS) if index == 0 else exactly(0.05)
        fleet.worker(f"w{index}", fleet.server(f"s{index}", work), [pool], concurrency=4)
    fleet.arrivals(pool, lambda _: load * 13 / 0.05)  # what is there while it is slow: 12 slots, and its part
    return [pool]


def w5(fleet: Fleet, load: float) -> list[Pool]:
    """4 servers of concurrency 4 whose calls share a processor; lognormal, mean 20 ms, sigma 1.5."""
    pool = fleet.pool("echo")
    for index in range(4):
        server = fleet.server(f"s{index}", lognormal(0.02, 1.5), cores=1)
        fleet.worker(f"w{index}", server, [pool], concurrency=4)
    fleet.arrivals(pool, lambda _: load * 4 / 0.02)
    return [pool]


def w6(fleet: Fleet, load: float) -> list[Pool]:
    """2 specialists and 2 generalists (4 calls, 50 ms) over two capabilities with opposite peaks."""
    pools = [fleet.pool("left"), fleet.pool("right")]
    for name, served in (("a", pools[:1]), ("b", pools[1:]), ("g", pools), ("h", pools)):
        fleet.worker(name, fleet.server(name, exponential(0.05)), served, concurrency=4)
    whole = load * 16 / 0.05

    def rate(first: int) -> Callable[[float], float]:
        return lambda now: whole * (0.72 if int(now / HALF) % 2 == first else 0.28)

    for index, pool in enumerate(pools):
        fleet.arrivals(pool, rate(index))
    return pools


def w7(fleet: Fleet, load: float) -> list[Pool]:
    """4 servers of concurrency 4 and 20 ms of processor time; one burns three quarters of its own."""
    pool = fleet.pool("echo")
    for index in range(4):
        server = fleet.server(f"s{index}", exponential(0.02), cores=1, burn=0.75 if index == 0 else 0.0)
        fleet.worker(f"w{index}", server, [pool], concurrency=4)
    fleet.arrivals(pool, lambda _: load * 3.25 / 0.02)
    return [pool]


def w8(fleet: Fleet, load: float) -> list[Pool]:
    """4 servers of concurrency 4: for a minute one takes 150 ms, for a minute another one drifts."""
    pool = fleet.pool("echo")
    slow = [(index * 2 * HALF, 0.15, 0.05) for index in range(20)]
    drift = [(index * 2 * HALF + HALF, 0.4) for index in range(20)]
    steps = [
        step
        for at, high, low in slow
        for step in ((at, low), (at, high), (at + HALF, high), (at + HALF, low))
    ]
    ramps = [
        step
        for at, high in drift
        for step in ((at, 0.05), (at + 15, high), (at + 45, high), (at + HALF, 0.05))
    ]
    for index, work in enumerate([exactly(0.05), exactly(0.05), drifting(*ramps), drifting(*steps)]):
        fleet.worker(f"w{index}", fleet.server(f"s{index}", work), [pool], concurrency=4)
    fleet.arrivals(pool, lambda _: load * 13.3 / 0.05)
    return [pool]


WORKLOADS = {"W1": w1, "W2": w2, "W3": w3, "W4": w4, "W5": w5, "W6": w6, "W7": w7, "W8": w8}


def measure(
    build: Callable[[Fleet, float], list[Pool]],
    load: float,
    strategy: Strategy,
    *,
    seed: int,
    seconds: float = TURN,
    learning: float = 0.0,
    overhead: float = 0.0,
) -> dict[str, float]:
    """Run one and return throughput (1/s), p50, p95 and p99 (ms) of all its pools together.

    What comes within `learning`, and in the warm-up of each turn after it, does not count.
    """
    fleet = Fleet(seed, overhead=overhead)
    pools = build(fleet, load)
    fleet.coordinate(pools, strategy)
    fleet.run(learning + seconds)
    times: list[float] = []
    counted = 0.0
    begin = learning
    while (begin + WARM_UP) < learning + seconds:
        end = min(begin + TURN, learning + seconds)
        for pool in pools:
            times += pool.ledger.times(begin + WARM_UP, end)
        counted += end - begin - WARM_UP
        begin = end
    times.sort()
    last = len(times) - 1
    return {
        "throughput": len(times) / counted,
        **{f"p{part}": 1000 * times[min(last, int(part / 100 * len(times)))] for part in (50, 95, 99)},
    }
