"""How many slots a load needs, and how long its calls wait: Little and Erlang.

A pool is one queue before `slots` places, for workers pull: no call waits at a busy server while another
has room. Arrivals are taken as Poisson and service times as exponential, the model M/M/c. Real service
times mostly vary less than that, and then calls wait for less time: the wait shrinks about with (1 + cs²)
/ 2, where cs is the service time's coefficient of variation (Allen and Cunneen's approximation; Allen,
Probability, Statistics, and Queueing Theory, second edition, 1990). So what is computed here errs to the
careful side.

Above stand `optimiser` and `custom`. This module must never know a server, a key or a preset.
"""

from __future__ import annotations

import math

FABRIC_S = 0.005
"""Seconds that the fabric itself adds to a call: well over the median of `scripts/bench overhead`."""


def under_way(rate: float, service_time: float) -> float:
    """Return how many calls are in service on average: L = λ·W (Little, Operations Research 9(3), 1961)."""
    return rate * service_time


def waits(slots: int, load: float) -> float:
    """Return the part of the calls that find every slot taken; 1 where the load is as much as the slots.

    Erlang's C formula (Erlang, 1917), by way of his B: B(0) = 1, B(k) = a·B(k-1) / (k + a·B(k-1)) and
    C = B / (1 - (a/c)·(1 - B)), with a = `load` and c = `slots`; as in Kleinrock, Queueing Systems, volume 1
    (1975), section 3.5, in the form that neither overflows nor takes factorials.
    """
    if load <= 0:
        return 0.0
    if load >= slots:
        return 1.0
    blocked = 1.0
    for count in range(1, slots + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1.0 - load / slots * (1.0 - blocked))


def wait(slots: int, load: float, service_time: float, part: float = 0.95) -> float:
    """Return the seconds that `part` of the calls wait at most for a slot; infinite from full load on.

    In M/M/c, P(W > t) = C·exp(-(c - a)·t/S) (Kleinrock as above; Gross and Harris, Fundamentals of Queueing
    Theory, section 2.3), which is solved for t here.
    """
    if load >= slots:
        return math.inf
    return max(0.0, math.log(max(waits(slots, load), 1e-300) / (1.0 - part))) * service_time / (slots - load)


def latency(slots: int, load: float, service_time: float, part: float = 0.95) -> float:
    """Return the seconds from call to answer that `part` of the calls take at most, service as stated.

    The service time is taken as it is and not as random: who states a 95th percentile gets one.
    """
    return wait(slots, load, service_time, part) + service_time + FABRIC_S
