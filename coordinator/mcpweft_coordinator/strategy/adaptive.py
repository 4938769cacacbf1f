"""adaptive: tries the other strategies, and uses the one under which answers were soonest.

A bandit over the others. One is in force for a period (60 s, and until more than 10 answers came); then its
cost, the mean of log p95 of the response times measured meanwhile, is booked on it, and the next one is
chosen: the lowest confidence bound of the cost,

    argmin  mean_k - c · sqrt(ln N / n_k)

(UCB1: Auer, Cesa-Bianchi and Fischer, Finite-time analysis of the multiarmed bandit problem, Machine
Learning 47, 2002), with counts and sums discounted by 0.98 a period, so that a world that changes is learnt
again (Garivier and Moulines, ALT 2011). So it explores ever less and never not at all. The logarithm makes
it a matter of ratios: a tenth more counts the same at 50 ms as at 5 s.

What is best depends on the situation, so there is one bandit for each: the load (below 0.45, below 0.75,
above), whether service times differ by half or more, and whether there are generalists. A situation that
changes within a period ends the period; its cost goes to the strategy that was in force, under the
situation in which it was.

Each strategy goes on learning while another is in force: predictive must know what it sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mcpweft_coordinator.strategy.capability_based import capability_based
from mcpweft_coordinator.strategy.least_connections import least_connections
from mcpweft_coordinator.strategy.predictive import predictive
from mcpweft_coordinator.strategy.resource_aware import resource_aware
from mcpweft_coordinator.strategy.round_robin import round_robin
from mcpweft_coordinator.strategy.weighted_response_time import weighted_response_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_coordinator.strategy.figures import Figures, Shares
    from mcpweft_coordinator.strategy.strategy import Strategy

ARMS: Mapping[str, Strategy] = {
    "predictive": predictive,
    "round_robin": round_robin,
    "least_connections": least_connections,
    "weighted_response_time": weighted_response_time,
    "resource_aware": resource_aware,
    "capability_based": capability_based,
}
PERIOD = 60.0
"""Seconds that one is in force at least."""
ANSWERS = 10
"""It takes more answers than these to judge one."""
SETTLING = 5.0
"""Seconds at the start of a period that are the last one's work."""
_KEPT = 0.98
_CURIOSITY = 0.05
_LOADS = (0.45, 0.75)
_UNEQUAL = 1.5
Situation = tuple[int, bool, bool]


@dataclass(frozen=True, slots=True)
class Account:
    """What is booked on one strategy in one situation; fades with each period."""

    periods: float = 0.0
    cost: float = 0.0

    def booked(self, cost: float) -> Account:
        """Return it with one more period."""
        return Account(self.periods + 1, self.cost + cost)

    def faded(self) -> Account:
        """Return it a period older."""
        return Account(self.periods * _KEPT, self.cost * _KEPT)


@dataclass(frozen=True, slots=True)
class Memory:
    """What adaptive knows."""

    arm: str
    since: float
    situation: Situation
    answers: int = 0
    cost: float = 0.0
    """Sum of log p95 over the answers of this period."""
    books: Mapping[Situation, Mapping[str, Account]] = field(default_factory=dict[Situation, Any])
    arms: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What each strategy remembers."""


def situation_of(figures: Figures) -> Situation:
    """Return the kind of moment that this is."""
    known = figures.known
    load = figures.load(known)
    level = sum(load is not None and load >= bound for bound in _LOADS)
    unequal = bool(known) and max(known.values()) >= _UNEQUAL * min(known.values())
    return level, unequal, any(each.pools > 1 for each in figures.candidates)


def adaptive(figures: Figures, memory: Any = None) -> tuple[Shares, Any]:
    """Deal what the strategy in force deals."""
    situation = situation_of(figures)
    known: Memory = memory or Memory(next(iter(ARMS)), figures.now, situation)
    known = _measured(known, figures)
    over = figures.now - known.since >= PERIOD and known.answers > ANSWERS
    if over or situation != known.situation:
        known = _next(known, situation, figures.now)
    dealt = {name: arm(figures, known.arms.get(name)) for name, arm in ARMS.items()}
    arms = {name: remembered for name, (_, remembered) in dealt.items()}
    return dealt[known.arm][0], replace(known, arms=arms)


def _measured(known: Memory, figures: Figures) -> Memory:
    if figures.response_ms is None or figures.now - known.since < SETTLING:
        return known
    cost = figures.answers * math.log(max(figures.response_ms, 1e-3))
    return replace(known, answers=known.answers + figures.answers, cost=known.cost + cost)


def _next(known: Memory, situation: Situation, now: float) -> Memory:
    """Book the period that ends, and choose what is in force in the next one."""
    books = {key: dict(book) for key, book in known.books.items()}
    if known.answers > ANSWERS:
        book = {name: account.faded() for name, account in books.get(known.situation, {}).items()}
        book[known.arm] = book.get(known.arm, Account()).booked(known.cost / known.answers)
        books[known.situation] = book
    arm = _choose(books.get(situation, {}))
    return Memory(arm, now, situation, books=books, arms=known.arms)


def _choose(book: Mapping[str, Account]) -> str:
    for name in ARMS:
        if name not in book:
            return name
    total = sum(account.periods for account in book.values())

    def bound(name: str) -> float:
        account = book[name]
        return account.cost / account.periods - _CURIOSITY * math.sqrt(
            math.log(max(math.e, total)) / account.periods
        )

    return min(ARMS, key=bound)
