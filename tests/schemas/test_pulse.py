"""The link as it is felt: what counts as a break, by a clock that is told."""

from __future__ import annotations

from mcpweft_schemas.connect import StoreUnreachableError, StoreUnwritableError
from mcpweft_schemas.pulse import Pulse
from mcpweft_schemas.sweeplog import SweepLog

SLOW = 0.5


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _up(clock: Clock) -> Pulse:
    pulse = Pulse(clock, SLOW, SweepLog(None))
    pulse.answered(clock())
    clock.now += 7
    pulse.answered(clock())
    assert (pulse.up, pulse.up_ms) == (True, 7000)
    return pulse


def test_after_a_break_the_link_is_up_from_the_next_answer_on() -> None:
    clock = Clock()
    pulse = _up(clock)
    pulse.broken(StoreUnreachableError("away"))
    assert (pulse.up, pulse.up_ms) == (False, 0)
    clock.now += 1
    pulse.answered(clock())
    clock.now += 1
    assert (pulse.up, pulse.up_ms) == (True, 1000)


def test_an_answer_that_took_long_counts_as_a_break() -> None:
    clock = Clock()
    pulse = _up(clock)
    pulse.answered(clock() - 2 * SLOW)
    assert (pulse.up, pulse.up_ms) == (True, 0)


def test_a_store_that_takes_no_writes_is_not_up_until_a_write_has_shown_that_it_does() -> None:
    clock = Clock()
    pulse = _up(clock)
    pulse.broken(StoreUnwritableError("its disk is full"))
    for _ in range(3):
        clock.now += 1
        pulse.answered(clock())  # questions are answered; no worker's beat is heard all the same
        assert (pulse.up, pulse.up_ms) == (False, 0)
    pulse.answered(clock(), written=True)
    clock.now += 1
    assert (pulse.up, pulse.up_ms) == (True, 1000)
