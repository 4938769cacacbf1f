"""What a strategy sees of a pool is a difference between two looks, and nothing is guessed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mcpweft_coordinator.observation import SPAN, Look, observe
from mcpweft_schemas.answer import PoolStatus
from mcpweft_schemas.life import Class
from mcpweft_schemas.packing import pack
from mcpweft_schemas.spread import Spread


def status(now_s: float, accepted: int = 0, waiting: int = 0, over: int = 0, **loads: Any) -> PoolStatus:
    """A pool at one moment, with a load for each of its workers; all of them usable."""
    now_ms = round(now_s * 1000)
    return PoolStatus(
        capability="echo", now_ms=now_ms, settings={}, stat={"accepted": str(accepted)},
        waiting={**dict.fromkeys(Class, 0), Class.NORMAL: waiting}, running=0, delayed=0, dead=0,
        alive=dict.fromkeys(loads, now_ms), usable=dict.fromkeys(loads, now_ms + 1000),
        members={worker: pack({"concurrency": 4, "capabilities": ["echo", "b"]}) for worker in loads},
        load={worker: pack(load) for worker, load in loads.items()}, over=(over,),
    )  # fmt: skip


def told(*times: float) -> dict[str, Any]:
    spread = Spread()
    for ms in times:
        spread.add(ms)
    return {"times": {"echo": spread.told()}}


def test_of_the_first_look_nothing_is_known_that_takes_two() -> None:
    figures, _ = observe(status(1, accepted=50, w={**told(5, 6)}), Look())
    assert (figures.arrivals, figures.answers, figures.response_ms) == (None, 0, None)


def test_rates_and_times_are_of_what_came_since() -> None:
    _, look = observe(status(1, accepted=50, w=told(5.0), v=told()), Look())
    figures, _ = observe(status(3, accepted=90, w=told(5.0, 100.0), v=told(100.0, 100.0)), look)
    assert figures.arrivals == 20
    assert figures.answers == 3
    assert figures.response_ms == pytest.approx(100, rel=0.1)


def test_arrivals_are_of_the_last_seconds_only() -> None:
    _, look = observe(status(0, accepted=0), Look())
    _, look = observe(status(100, accepted=1000), look)
    figures, _ = observe(status(100 + SPAN, accepted=1010), look)
    assert figures.arrivals == 1.0


def test_a_pool_that_was_made_anew_is_no_negative_rate() -> None:
    _, look = observe(status(1, accepted=500), Look())
    figures, _ = observe(status(2, accepted=3), look)
    assert figures.arrivals is None


def test_a_candidate_is_usable_and_does_not_drain() -> None:
    seen = status(1, w={}, x={"draining": True}, y={})
    seen = replace(seen, usable={"w": 2000, "x": 2000, "y": 1000})
    figures, _ = observe(seen, Look())
    (candidate,) = figures.candidates
    assert candidate.worker == "w"
    assert (candidate.concurrency, candidate.pools) == (4, 2)
    assert (candidate.service_ms, candidate.cpu, candidate.memory, candidate.answered_ago) == (None,) * 4


def test_what_waits_with_a_near_deadline_presses() -> None:
    assert observe(status(1, waiting=1, over=1), Look())[0].pressed
    assert not observe(status(1, waiting=0, over=1), Look())[0].pressed
    assert not observe(status(1, waiting=1, over=0), Look())[0].pressed
