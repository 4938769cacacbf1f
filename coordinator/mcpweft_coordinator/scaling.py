"""How many workers a server should have: one decision from a look at its pools, and nothing else.

Three rules say a count each; the largest of them is what is needed, and is kept between `least` and `most`.

    utilisation   above up_at or below down_at: the count at which the calls under way fill the middle of the
                  two. Between them the count stays. (Target tracking, as the Kubernetes HPA's: wanted =
                  current * metric / target; and as there, workers that are not ready count as idle on the way
                  up and as full on the way down.)
    backlog       workers * slots / service >= arrivals + waiting / target_wait: what waits now is worked off
                  within target_wait while as much goes on coming in. The service time is Little's law turned
                  round: the calls under way, summed over time, over the calls that ended in it.
    deadlines     for each horizon, what must be over by then fits into it: the demand of all deadlines up to
                  t may not be over what the slots can do in t (Baruah, Rosier and Howell, 1990).

When a need becomes a count:

    up      at once, and to the whole need; then not again for a cooldown, nor while workers of the last step
            still start (for START_S at most: a worker that has not come by then will not come). Who waits for
            a worker would else ask for it again and again.
    down    once the need was below the count for a whole cooldown, to the highest need of that time (the
            HPA's stabilisation window), and by no more than half. Half, because a step on a false reading
            then leaves half of the workers, and because from any count it takes few steps; one at a time
            would hold ten idle workers for ten cooldowns.
    0 → 1   with the first request. It neither waits for a cooldown nor begins one: nobody can tell from one
            request how many there will be.
    1 → 0   once nothing waits or runs for `idle_s`.

Above stands `scaler`, which looks and publishes. This module must never know a store, a process or a clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

START_S = 300.0
"""How long a worker that was asked for may take to become ready before it counts as not coming."""
_SMOOTH_S = 10.0  # of calls under way and of arrivals: a blip of a second is no load
_WINDOW_S = 120.0  # of the service time
_HALF = 2


class Reason(StrEnum):
    """Why the count is what it is."""

    START = "start"
    """It is what the configuration begins with, or what the last leader left."""
    BOUNDS = "bounds"
    """The configuration's bounds moved it."""
    UTILISATION = "utilisation"
    """Too many calls were under way for its slots."""
    BACKLOG = "backlog"
    """What waited would have waited for longer than the target."""
    DEADLINES = "deadlines"
    """What waited would have missed its deadlines."""
    REQUEST = "request"
    """A request came, and there was no worker."""
    LOW = "low"
    """The load was low for a whole cooldown."""
    IDLE = "idle"
    """There was nothing to do at all."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked of one server's count. Times in seconds."""

    least: int
    most: int
    up_at: float = 0.8
    down_at: float = 0.3
    cooldown_s: float = 300.0
    target_wait_s: float = 5.0
    idle_s: float = 300.0
    """How long nothing may wait or run before the last worker goes."""

    @property
    def middle(self) -> float:
        """The utilisation that a step aims at."""
        return (self.up_at + self.down_at) / 2


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One server's pools and workers at one look. Of a pool that others serve too it has its part."""

    waiting: float
    """Requests that could be taken now and that nobody has."""
    running: float
    """Requests in the hands of any worker of its pools."""
    busy: int
    """Calls under way in its own workers."""
    ready: int
    """Its workers that take work."""
    per_worker: float
    """Slots of one worker."""
    accepted: float
    """Requests that its pools have accepted so far."""
    ended: int
    """Deliveries that have ended in its pools so far."""
    turned_away: int = 0
    """Requests refused so far because nobody could take them at once."""
    due: tuple[tuple[float, float], ...] = ()
    """(seconds, requests that must be over by then), rising."""

    @property
    def demand(self) -> bool:
        """Whether there is anything to do."""
        return self.waiting > 0 or self.running > 0


@dataclass(frozen=True, slots=True)
class Measured:
    """What looks add up to."""

    at: float
    accepted: float
    ended: int
    turned_away: int
    busy: float = 0.0
    """Calls under way, smoothed."""
    arrivals: float = 0.0
    """Requests a second, smoothed."""
    work: float = 0.0
    """Seconds of calls under way in the window."""
    done: float = 0.0
    """Deliveries that ended in the window."""

    def service(self, running: float) -> float:
        """Return the seconds of one call; before enough have ended, what those under way have taken."""
        return self.work / max(self.done, running, 1.0)


@dataclass(frozen=True, slots=True)
class Memory:
    """What a decision leaves for the next one. Times by the caller's clock."""

    wanted: int
    changed_at: float
    raised_at: float | None = None
    """The last step up but for 0 → 1."""
    reason: Reason = Reason.START
    low_since: float | None = None
    low_need: int = 0
    idle_since: float | None = None
    measured: Measured | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is wanted now."""

    memory: Memory
    need: int
    """What the load asks for; the count follows it as the times allow."""
    change: int
    """By how much the wanted count has just changed."""

    @property
    def wanted(self) -> int:
        """The count that is wanted."""
        return self.memory.wanted


def decide(seen: Snapshot, policy: Policy, memory: Memory, now: float) -> Decision:
    """Return what is wanted after this look."""
    turned_away = memory.measured is not None and seen.turned_away > memory.measured.turned_away
    memory = _observed(memory, seen, policy, now, demand=seen.demand or turned_away)
    bounded = min(max(memory.wanted, policy.least), policy.most)
    if bounded != memory.wanted:
        return _moved(memory, bounded, bounded, Reason.BOUNDS, now)
    if memory.wanted == 0:
        if seen.demand or turned_away:
            return _moved(memory, 1, 1, Reason.REQUEST, now)
        return Decision(memory, 0, 0)
    need, reason = needed(seen, policy, memory)
    if need > memory.wanted:
        memory = replace(memory, low_since=None)
        if _may_rise(seen, policy, memory, now):
            return _moved(replace(memory, raised_at=now), need, need, reason, now)
        return Decision(memory, need, 0)
    return _lower(policy, memory, need, now)


def needed(seen: Snapshot, policy: Policy, memory: Memory) -> tuple[int, Reason]:
    """Return the count that the load asks for, between 1 and the bounds, and the rule that asks for most."""
    measured = memory.measured
    if measured is None:
        return memory.wanted, memory.reason
    service, slots = measured.service(seen.running), max(seen.per_worker, 1.0)
    backlog = service / slots * (measured.arrivals + seen.waiting / policy.target_wait_s)
    deadlines = max(
        ((count - seen.running) * service / (slots * max(left, service)) for left, count in seen.due),
        default=0.0,
    )
    count, reason = max(
        (_by_utilisation(measured.busy, seen, slots, policy, memory.wanted), Reason.UTILISATION),
        (math.ceil(backlog - 1e-9), Reason.BACKLOG),
        (math.ceil(deadlines - 1e-9), Reason.DEADLINES),
        key=lambda rule: rule[0],
    )
    return min(max(count, policy.least, 1), policy.most), reason


def _by_utilisation(busy: float, seen: Snapshot, slots: float, policy: Policy, wanted: int) -> int:
    whole = wanted * slots
    on_the_way = max(0, wanted - seen.ready) * slots
    if busy / whole > policy.up_at:  # the smoothed figure says when, and what is there now how many
        busy = max(busy, seen.busy)
    elif (busy + on_the_way) / whole >= policy.down_at:
        return wanted
    return math.ceil(busy / (policy.middle * slots) - 1e-9)


def _may_rise(seen: Snapshot, policy: Policy, memory: Memory, now: float) -> bool:
    if memory.raised_at is not None and now - memory.raised_at < policy.cooldown_s:
        return False
    return seen.ready >= memory.wanted or now - memory.changed_at >= START_S


def _lower(policy: Policy, memory: Memory, need: int, now: float) -> Decision:
    """Return the decision where no more is needed than is wanted."""
    wanted = memory.wanted
    if wanted == 1 and policy.least == 0 and memory.idle_since is not None:
        if now - max(memory.idle_since, memory.changed_at) >= policy.idle_s:
            return _moved(memory, 0, 0, Reason.IDLE, now)
        return Decision(memory, need, 0)
    if need == wanted:
        return Decision(replace(memory, low_since=None), need, 0)
    since = now if memory.low_since is None else memory.low_since
    highest = need if memory.low_since is None else max(need, memory.low_need)
    if now - since >= policy.cooldown_s:
        return _moved(memory, max(highest, math.ceil(wanted / _HALF)), need, Reason.LOW, now)
    return Decision(replace(memory, low_since=since, low_need=highest), need, 0)


def _moved(memory: Memory, wanted: int, need: int, reason: Reason, now: float) -> Decision:
    change = wanted - memory.wanted
    after = replace(memory, wanted=wanted, reason=reason, changed_at=now, low_since=None)
    return Decision(after, need, change)


def _observed(memory: Memory, seen: Snapshot, policy: Policy, now: float, *, demand: bool) -> Memory:
    """Return the memory with this look added. A counter that fell begins anew: its store was wiped."""
    idle_since = None if demand else (now if memory.idle_since is None else memory.idle_since)
    last = memory.measured
    fresh = Measured(now, seen.accepted, seen.ended, seen.turned_away)
    if last is None or now <= last.at:
        return replace(memory, idle_since=idle_since, measured=last or fresh)
    span = now - last.at
    smooth = 1 - math.exp(-span / min(_SMOOTH_S, policy.cooldown_s / 4))
    keep = math.exp(-span / _WINDOW_S)
    rate = max(0.0, seen.accepted - last.accepted) / span
    measured = replace(
        fresh,
        busy=last.busy + smooth * (seen.busy - last.busy),
        arrivals=last.arrivals + smooth * (rate - last.arrivals),
        work=keep * last.work + seen.running * span,
        done=keep * last.done + max(0, seen.ended - last.ended),
    )
    return replace(memory, idle_since=idle_since, measured=measured)
