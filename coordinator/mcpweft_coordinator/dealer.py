"""The dealer: whoever leads says what each worker may take of each pool, by the pool's strategy.

    sense    the figures of each pool                           observation
    decide   shares by the strategy, weights by what waits      strategy/, weighing
    act      publish what has changed, under the leader's epoch

It looks twice a second, and decides once a second, and at once when a worker came or went, its breaker
opened or closed, or another strategy is asked for. What is published lapses after `TTL_MS`, so shares do not
outlive who looks after them; workers apply them by themselves, so a dealer that is late costs time and never
a request. A pool in which there is nothing to decide (round robin, and no worker that serves several pools)
is looked at every few seconds only.

A strategy in the shadow decides from the same figures with a memory of its own; what it would deal is logged.

Above stands `coordinator`. Below are the strategies, which decide, and the store's moves. This module must
never know why a share is as it is.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mcpweft_coordinator.observation import PRESSING_MS, Look, observe
from mcpweft_coordinator.strategy.choice import DEFAULT, STRATEGIES
from mcpweft_coordinator.weighing import weigh
from mcpweft_schemas.errors import FabricError
from mcpweft_schemas.event import Event, Kind, Who
from mcpweft_schemas.pulse import MoveError
from mcpweft_schemas.share import EVEN
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from mcpweft_coordinator.strategy.figures import Figures, Shares
    from mcpweft_coordinator.weighing import Weights
    from mcpweft_schemas.config import StrategyConfig
    from mcpweft_schemas.store import Store
    from mcpweft_schemas.tenure import Term

LOG = logging.getLogger("mcpweft.strategy")
TTL_MS = 10_000
"""How long shares stand without a leader."""
_LOOK_S, _DECIDE_S, _PLAIN_S = 0.5, 1.0, 5.0
_REPEAT_S = 3.0  # between two publications of what has not changed


@dataclass(slots=True)
class Mind:
    """One strategy at work on one pool."""

    name: str = ""
    memory: Any = None
    shares: Shares = field(default_factory=dict[str, Any])
    """What it last decided."""

    def decide(self, name: str, figures: Figures) -> bool:
        """Decide, with nothing in mind where it is another strategy; return whether the shares changed."""
        if name != self.name:
            self.name, self.memory = name, None
        before = self.shares
        self.shares, self.memory = STRATEGIES[name](figures, self.memory)
        return self.shares != before


@dataclass(slots=True)
class Post:
    """One pool in the leader's care; times by its clock."""

    look: Look = field(default_factory=Look)
    figures: Figures | None = None
    in_force: Mind = field(default_factory=Mind)
    shadow: Mind = field(default_factory=Mind)
    look_at: float = 0.0
    decide_at: float = 0.0
    published: Mapping[str, bytes] | None = None
    """None: not known."""
    published_by: str = ""
    """The strategy that is told beside them."""
    publish_at: float = 0.0


class Dealer:
    """One coordinator's part in dealing shares; `run` it in a task that somebody owns."""

    def __init__(
        self,
        store: Store,
        policy: Callable[[], StrategyConfig],
        term: Callable[[], Term | None],
        *,
        clock: Callable[[], float],
        rng: random.Random,
        tell: Callable[[Event], None],
    ) -> None:
        """Make one.

        Args:
            store: The namespace to look after.
            policy: Which strategy is asked for; asked at each look, so a change is followed at once.
            term: The term of leadership that surely lasts at this moment, or None.
            clock: Seconds that never run backwards.
            rng: Chance, for pauses.
            tell: Told that another strategy is in force; must be quick and must not raise.

        """
        self._store = store
        self._policy = policy
        self._term = term
        self._clock = clock
        self._rng = rng
        self._tell = tell
        self._led: Term | None = None
        self._posts: dict[str, Post] = {}
        self._weights: Weights = {}

    async def run(self) -> None:
        """Deal while this coordinator leads, until cancelled."""
        while True:
            try:
                term = self._term()
                if term is not None:
                    await self._round(term)
            except (FabricError, MoveError) as error:
                LOG.debug("no look at the pools", extra={"fields": {"error": str(error)}})
            await asyncio.sleep(_LOOK_S * self._rng.uniform(0.8, 1.0))

    async def _round(self, term: Term) -> None:
        if self._led is not term:
            self._posts, self._weights, self._led = {}, {}, term
        names = await self._store.pools()
        self._posts = {name: self._posts.get(name) or Post() for name in names}
        due = [name for name in names if self._due(name)]
        changed = [name for name, fresh in zip(due, await self._look(due), strict=True) if fresh]
        if changed:
            figures = {name: post.figures for name, post in self._posts.items() if post.figures is not None}
            self._weights = weigh(figures, self._weights)
        for name in due:
            await self._publish(name, term)

    def _due(self, name: str) -> bool:
        post = self._posts[name]
        return post.look_at <= self._clock() or self._policy().of(name) != post.in_force.name

    # --- sense and decide

    async def _look(self, names: list[str]) -> list[bool]:
        """Look at pools, and decide where it is time to; return in which that was so."""
        found = await asyncio.gather(*(self._store.status(name, (PRESSING_MS,)) for name in names))
        fresh: list[bool] = []
        for name, status in zip(names, found, strict=True):
            post = self._posts[name]
            if status is None:
                post.figures = None
                fresh.append(False)
                continue
            before = post.figures
            figures, look = observe(status, post.look)
            moved = before is None or _who(figures) != _who(before)
            if fresh_now := moved or post.decide_at <= self._clock() or self._asked_for_another(name):
                post.figures, post.look = figures, look
                self._decide(name, post, figures)
            fresh.append(fresh_now)
        return fresh

    def _asked_for_another(self, name: str) -> bool:
        return self._policy().of(name) != self._posts[name].in_force.name

    def _decide(self, name: str, post: Post, figures: Figures) -> None:
        policy = self._policy()
        post.in_force.decide(policy.of(name), figures)
        shadow = policy.shadow_of(name)
        if shadow is not None and post.shadow.decide(shadow, figures):
            shares = {worker: repr(share) for worker, share in post.shadow.shares.items() if share != EVEN}
            LOG.info("shadow", extra={"fields": {"pool": name, "strategy": str(shadow), "shares": shares}})
        now = self._clock()
        plain = (
            policy.of(name) == DEFAULT and shadow is None and all(c.pools == 1 for c in figures.candidates)
        )
        post.look_at = now + (_PLAIN_S if plain and not post.published else 0.0)
        post.decide_at = now + _DECIDE_S * 0.9

    # --- act

    async def _publish(self, name: str, term: Term) -> None:
        """Write a pool's shares where they have changed, and now and then before their time is over."""
        post = self._posts[name]
        if post.figures is None:
            return
        packed = {
            each.worker: share.packed()
            for each in post.figures.candidates
            if (share := self._share(name, each.worker, post)) != EVEN
        }
        now = self._clock()
        strategy = post.in_force.name
        known = packed == post.published and strategy == post.published_by
        if known and (not packed or now < post.publish_at):
            return
        if self._term() is not term:
            return
        dealt = await self._store.deal(name, term.epoch, strategy, packed, TTL_MS)
        if dealt.word is Word.OK:
            post.published, post.published_by, post.publish_at = packed, strategy, now + _REPEAT_S
            before = dealt.before or DEFAULT
            if before != strategy:
                data = {"before": before, "after": strategy}
                LOG.info("strategy changed", extra={"fields": {"pool": name, **data}})
                self._tell(Event(Kind.STRATEGY_CHANGED, Who.COORDINATOR, name, data=data))

    def _share(self, name: str, worker: str, post: Post) -> Any:
        share = post.in_force.shares.get(worker, EVEN)
        return replace(share, weight=self._weights.get(worker, {}).get(name, 1.0))


def _who(figures: Figures) -> list[tuple[str, int]]:
    return [(each.worker, each.concurrency) for each in figures.candidates]
