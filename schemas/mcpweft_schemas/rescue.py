"""Who is dead, and what is to be done about it: decided from a picture of the fleet, without a clock.

    silence = the store's time now - the worker's last beat, the shortest over the pools that it serves

    silence < dead_after                 it lives
    silence ≥ dead_after                 a suspect: what is safe to run twice is taken back at once
    silence ≥ dead_after + patience      gone: the rest is ended as unknown, and it is removed

Two things hold this back, because a wrong guess costs calls that run twice or end as unknown:

- Nobody is judged before the store and the judge's own link have been up for `dead_after` and the longest
  pause between two tries of a worker to reconnect. After an outage every beat is old.
- If over half of four or more workers are silent at once, all of them are given one period more: most of a
  fleet does not die in one second, but a network does.

A decision also says how soon the next look can bring anything: a worker that beat 200 ms ago cannot be a
suspect before 800 ms have passed, so an idle fleet is looked at about once a second, and no death is seen
later for it.

Above stands `sweeper`, which makes the picture and carries the actions out; the moves check each of them
again. This module must never know a store, a clock or a lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CROWD = 4
"""Workers of a fleet from which on the silence of most of them is doubted."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When a worker is dead. Whole milliseconds."""

    dead_after_ms: int = 1000
    """Silence that makes a suspect."""
    patience_ms: int = 10_000
    """Further silence after which calls that must not run twice are given up."""
    reconnect_ms: int = 1000
    """The longest pause between two tries of a worker to reach the store again."""

    @property
    def settled_ms(self) -> int:
        """How long the store and the own link must have been up."""
        return self.dead_after_ms + self.reconnect_ms

    @property
    def gone_ms(self) -> int:
        """Silence after which a worker is removed."""
        return self.dead_after_ms + self.patience_ms


@dataclass(frozen=True, slots=True)
class View:
    """One pool at one look."""

    now_ms: int
    """The store's time at the look."""
    up_ms: int
    """How long, by the looker's clock, the store and its own link had been up by then."""
    beats: Mapping[str, int]
    """Worker → its last beat by the store's time; 0 where it never beat."""


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Take back what a suspect holds; the move itself decides which part."""

    capability: str
    worker: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Remove a worker that is gone, once nothing is left in its hands."""

    capability: str
    worker: str


Action = Reclaim | Retire


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done now, in this order, and when to look again."""

    actions: tuple[Action, ...]
    next_ms: Mapping[str, int]
    """Capability → how long after its look the next one can bring anything."""
    doubt: bool
    """Whether so many are silent at once that they were given one period more."""


def decide(views: Mapping[str, View], policy: Policy) -> Decision:
    """Return what is to be done about the workers of a fleet, seen pool by pool."""
    silences = _silences(views)
    silent = sum(silence >= policy.dead_after_ms for silence in silences.values())
    doubt = len(silences) >= CROWD and 2 * silent > len(silences)
    limit = policy.dead_after_ms * (2 if doubt else 1)
    actions: list[Action] = []
    next_ms: dict[str, int] = {}
    for capability, view in views.items():
        wait = policy.settled_ms - view.up_ms
        if wait <= 0:
            suspects = [worker for worker in view.beats if silences[worker] >= limit]
            actions += _against(capability, view, suspects, policy)
            ahead = [limit - silences[worker] for worker in view.beats if worker not in suspects]
            wait = min([policy.dead_after_ms, *ahead])
        next_ms[capability] = max(1, wait)
    return Decision(tuple(actions), next_ms, doubt)


def _silences(views: Mapping[str, View]) -> dict[str, int]:
    """Return each worker's silence: it lives as long as it is heard in any pool."""
    silences: dict[str, int] = {}
    for view in views.values():
        for worker, beat in view.beats.items():
            silence = view.now_ms - beat
            silences[worker] = min(silence, silences.get(worker, silence))
    return silences


def _against(capability: str, view: View, suspects: list[str], policy: Policy) -> list[Action]:
    actions: list[Action] = []
    for worker in suspects:
        actions.append(Reclaim(capability, worker))
        if view.now_ms - view.beats[worker] >= policy.gone_ms:
            actions.append(Retire(capability, worker))
    return actions
