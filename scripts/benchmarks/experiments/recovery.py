"""Failover within a second: the strikes of failover.py, with its short timers and with those unasked.

    fast server SIGKILL, …        heartbeat 100 ms, dead after 500 ms, attempts of 0.5 s
    default server SIGKILL, …     heartbeat and dead after as they come

Thirty strikes of each fault in a full run. Above stands claims.py; below is failover.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.experiments.trial import Experiment, Row, Site
from benchmarks.failover import BREAKER, CALL, CRASHES, FAST, STORE, suffer
from benchmarks.rig.notebook import Found

if TYPE_CHECKING:
    from benchmarks.rig.harness import Rounds

TRIALS = 30
FAULTS = (
    "server SIGKILL",
    "server SIGSTOP",
    "server blackhole",
    "worker SIGKILL",
    "coordinator SIGKILL",
    STORE,
)
SETTINGS = {"fast": CALL + BREAKER + FAST, "default": CALL + BREAKER}
CLAIM = "failover in less than 1 s"


async def measure(site: Site) -> Found:
    """Measure one fault."""
    kind, _, fault = site.arm.partition(" ")
    trials = max(1, round(TRIALS * site.length))
    figures = (await suffer(site.store, SETTINGS[kind], [fault], trials))[fault]
    lost = int(figures["lost"])
    return Found(figures, [f"{lost} calls were lost or failed"] * (lost > 0))


def judge(rounds: Rounds) -> list[Row]:
    """Return the row; the store's restart is told and not judged."""
    (row,) = rounds

    def told(kind: str, figure: str) -> dict[str, float]:
        return {fault: row[f"{kind} {fault}"][figure] for fault in FAULTS}

    def worst(kind: str) -> float:
        return max(value for fault, value in told(kind, "p99_ms").items() if fault != STORE)

    figures = {
        "p99_ms": worst("fast"),
        "default_p99_ms": worst("default"),
        "crash_median_ms": max(told("fast", "median_ms")[fault] for fault in CRASHES),
        "median_by_fault": told("fast", "median_ms"),
        "p99_by_fault": told("fast", "p99_ms"),
        "default_p99_by_fault": told("default", "p99_ms"),
    }
    goals = {"p99_ms": "< 1000", "default_p99_ms": "<= 1600", "crash_median_ms": "< 100"}
    return [Row("failover", CLAIM, figures, goals)]


EXPERIMENT = Experiment(
    "failover", tuple(f"{kind} {fault}" for kind in SETTINGS for fault in FAULTS), measure, judge, once=True
)
