"""The scaler: whoever leads decides how many workers each server should have, and says so.

Every coordinator runs one. The leader's looks at a server's pools once a second (four times where it has no
worker and somebody may be waiting for the first), decides, and publishes under its epoch, which is refused
once another has led. The others read what is published, so that any coordinator's port shows it. Who starts
and stops workers reads it too: the launchers, or whatever reads the port.

What the last leader published is where the next one goes on.

Above stands `coordinator`. Below are `survey` and `scaling`, which decide, and the store's moves. This module
must never start or stop a worker.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mcpweft_coordinator.scaling import Memory, decide
from mcpweft_coordinator.survey import HORIZONS_MS, Kind, Survey, kinds_of, survey
from mcpweft_coordinator.wanted import Wanted, read_all
from mcpweft_schemas.errors import FabricError
from mcpweft_schemas.pulse import MoveError
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from mcpweft_coordinator.scaling import Decision
    from mcpweft_schemas.config import Config
    from mcpweft_schemas.store import Store
    from mcpweft_schemas.tenure import Term

LOG = logging.getLogger("mcpweft.scaling")
TTL_MS = 30_000
"""How long what was published stands without a leader."""
_LOOK_S, _LOOK_ASLEEP_S = 1.0, 0.25
_REPEAT_S = 5.0  # between two publications of what has not changed


class ScalingEvent(StrEnum):
    """What a scaler tells of itself."""

    NEEDED = "needed"
    """Another number is wanted: `server before wanted reason`."""
    DONE = "done"
    """As many workers are ready, or as few run, as were wanted: `server wanted seconds`."""


@dataclass(slots=True)
class _Post:
    """One server in the leader's care; times by its clock."""

    kind: Kind
    memory: Memory | None = None
    look_at: float = 0.0
    pending: bool = False
    """Whether a change was told as needed and not yet as done."""


class Scaler:
    """One coordinator's part in scaling; `run` it in a task that somebody owns."""

    def __init__(
        self,
        store: Store,
        config: Config,
        term: Callable[[], Term | None],
        *,
        clock: Callable[[], float],
        rng: random.Random,
        on_event: Callable[[ScalingEvent, Mapping[str, Any]], None],
    ) -> None:
        """Make one.

        Args:
            store: The namespace to look after.
            config: The servers and their bounds.
            term: The term of leadership that surely lasts at this moment, or None.
            clock: Seconds that never run backwards.
            rng: Chance, for pauses.
            on_event: Told each event with its values; must be quick and must not raise.

        """
        self.wanted: dict[str, Wanted] = {}
        """Server → what is published of it, as last written or read here."""
        self._store = store
        self._term = term
        self._clock = clock
        self._rng = rng
        self._tell = on_event
        self._posts: list[_Post] = []
        self.apply(config)
        self._led: Term | None = None
        self._published: dict[str, Wanted] = {}
        self._publish_at = 0.0

    def apply(self, config: Config) -> None:
        """Go by another configuration; what is remembered of a server that stays is kept."""
        known = {post.kind.name: post for post in self._posts}
        self._posts = [
            _Post(kind, known[kind.name].memory, pending=known[kind.name].pending)
            if kind.name in known
            else _Post(kind)
            for kind in kinds_of(config)
        ]
        names = {post.kind.name for post in self._posts}
        self.wanted = {name: wanted for name, wanted in self.wanted.items() if name in names}

    async def run(self) -> None:
        """Scale while this coordinator leads, and read while another does, until cancelled."""
        while True:
            pause = _LOOK_S
            try:
                if self._posts:
                    term = self._term()
                    pause = await (self._follow() if term is None else self._lead(term))
            except (FabricError, MoveError) as error:
                LOG.debug("no look at the pools", extra={"fields": {"error": str(error)}})
            await asyncio.sleep(pause * self._rng.uniform(0.9, 1.1))

    async def _follow(self) -> float:
        self._led = None
        names = {post.kind.name for post in self._posts}  # what is published of others is of no use here
        published = read_all((await self._store.muster("", (), 0)).wanted)
        self.wanted = {name: wanted for name, wanted in published.items() if name in names}
        return _LOOK_ASLEEP_S  # also how soon a new leader begins

    async def _lead(self, term: Term) -> float:
        """Make one round; return the seconds until the next."""
        if self._led is not term:
            await self._follow()
            for post in self._posts:
                post.memory, post.look_at = None, 0.0
            self._published, self._led = {}, term
        now = self._clock()
        for post in tuple(self._posts):
            if post.look_at <= now:
                await self._look(post)
        await self._publish(term)
        return max(0.05, min((post.look_at for post in self._posts), default=0.0) - self._clock())

    async def _look(self, post: _Post) -> None:
        found = [await self._store.status(pool, HORIZONS_MS) for pool in post.kind.parts]
        pools = [status for status in found if status is not None]
        now = self._clock()
        post.look_at = now + min(_LOOK_S, post.kind.policy.cooldown_s / 4)
        if pools:
            seen = survey(post.kind, pools)
            memory = post.memory or self._taken_over(post.kind, seen.now_ms, now)
            decision = decide(seen.snapshot, post.kind.policy, memory, now)
            post.memory = decision.memory
            self._note(post, seen, decision, now)
            if decision.wanted == 0:
                post.look_at = now + _LOOK_ASLEEP_S

    def _taken_over(self, kind: Kind, now_ms: int, now: float) -> Memory:
        """Return where the last leader ended, on this one's clock."""
        last = self.wanted.get(kind.name)
        if last is None:
            return Memory(kind.policy.least, now)
        raised = None if last.raised_ms is None else now - (now_ms - last.raised_ms) / 1000
        return Memory(last.wanted, now - (now_ms - last.changed_ms) / 1000, raised)

    def _note(self, post: _Post, seen: Survey, decision: Decision, now: float) -> None:
        memory, policy, name = decision.memory, post.kind.policy, post.kind.name
        raised_at = memory.raised_at
        self.wanted[name] = Wanted(
            wanted=memory.wanted, need=decision.need, least=policy.least, most=policy.most,
            running=seen.running, ready=seen.snapshot.ready, waiting=round(seen.snapshot.waiting, 3),
            reason=str(memory.reason), changed_ms=seen.now_ms - round((now - memory.changed_at) * 1000),
            raised_ms=None if raised_at is None else seen.now_ms - round((now - raised_at) * 1000),
            capabilities=tuple(post.kind.parts),
        )  # fmt: skip
        if decision.change:
            post.pending = True
            told = {"before": memory.wanted - decision.change, "wanted": memory.wanted}
            self._tell(ScalingEvent.NEEDED, {"server": name, **told, "reason": str(memory.reason)})
        if post.pending and seen.snapshot.ready == memory.wanted and seen.running == memory.wanted:
            post.pending = False
            seconds = round(now - memory.changed_at, 3)
            self._tell(ScalingEvent.DONE, {"server": name, "wanted": memory.wanted, "seconds": seconds})

    async def _publish(self, term: Term) -> None:
        """Write what has changed, and everything now and then, before its time is over."""
        now = self._clock()
        whole = now >= self._publish_at
        new = {
            name: each.packed()
            for name, each in self.wanted.items()
            if whole or not _alike(each, self._published.get(name))
        }
        if not new or self._term() is not term:
            return
        if await self._store.want(term.epoch, new, TTL_MS) is Word.OK:
            self._published = dict(self.wanted)
            self._publish_at = now + _REPEAT_S if whole else self._publish_at
        else:
            self._led = None  # somebody else has led


def _alike(one: Wanted, other: Wanted | None) -> bool:
    """Whether two say the same but for a drift of the clocks and what waits, which is never still."""
    if other is None:
        return False
    seen = (one.wanted, one.need, one.running, one.ready, one.reason, one.waiting > 0)
    return seen == (other.wanted, other.need, other.running, other.ready, other.reason, other.waiting > 0)
