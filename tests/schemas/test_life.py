"""The life of a request: the whole table of states and events, walked against the real moves."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import realredis
from mcpweft_schemas import life
from mcpweft_schemas.life import FINAL, TRANSITIONS, Class, Event, State
from mcpweft_schemas.outcome import Executed
from mcpweft_schemas.store import Reader
from mcpweft_schemas.wire import READS, Delivery

if TYPE_CHECKING:
    from altered import Clock
    from pool import Pool
    from snapshot import Snapshot

DOCS = Path(__file__).parents[2] / "docs"


@dataclass(slots=True)
class Stage:
    """One request in one state, and what an actor needs to do something to it."""

    pool: Pool
    clock: Clock
    request: str = ""
    reader: Reader = field(default_factory=lambda: Reader("", "", "", "", 0))
    delivery: Delivery | None = None

    async def enter(self, state: State, event: Event) -> None:
        """Make a request and lead it into `state`, fit for `event` as far as that state allows."""
        self.reader = await self.pool.join("w1", usable_ms=0)
        version = "2" if event == Event.POSTPONE else "1"
        safe = event != Event.LOSE
        attempts = 1 if event == Event.GIVE_UP else 3
        delay = 1000 if state == State.DELAYED else 0
        self.request = await self.pool.accept(
            version=version, safe=safe, max_attempts=attempts, delay_ms=delay, timeout_ms=60_000
        )
        if state in {State.RUNNING, State.DONE, State.DEAD}:
            (self.delivery,) = await self.pool.fetch(self.reader, 1, ("1", "2"))
        match state:
            case State.DONE:
                await self._settle("done")
            case State.DEAD:
                await self._settle("dead")
            case State.CANCELLED:
                await self.pool.cancel(self.request)
            case State.EXPIRED:
                await self.clock.forward(60_000)
                await self.pool.expire(self.request)
            case _:
                pass
        assert await self.pool.state(self.request) == state
        if event == Event.PROMOTE:
            await self.clock.forward(1000)
            await self.pool.accept(klass=Class.CRITICAL)
        # The turn that an empty fetch comes back to, so that it does not count as a change.
        await self.pool.store.link.run("HSET", self._stat, "turn", "1 0 0 0 0")

    @property
    def _stat(self) -> str:
        return self.pool.store.keys("echo").prefix + "stat"

    async def _settle(self, how: str, executed: Executed = Executed.NO) -> None:
        if self.delivery is None:  # nobody has it: a worker that makes its delivery up must change nothing
            record = await self.pool.record(self.request)
            stream = record.get("stream", self.pool.store.keys("echo").stream("normal"))
            self.delivery = Delivery(
                stream, record.get("entry", "1-1"), self.request, Class.NORMAL, 1, 1, 3, 0, 0,
                safe=False, flags="", accepted_ms=0, tool="", tenant="", trace="", body=b"", fields={},
            )  # fmt: skip
        code = {"done": "OK", "dead": "SESSION_LOST"}.get(how, "")
        await self.pool.settle(self.delivery, how, code=code, cause="X", executed=executed)

    async def happen(self, event: Event) -> None:
        """Let whatever stands for `event` be done to the request."""
        await getattr(self, "_" + event.value.replace(" ", "_"))()

    async def _fetch(self) -> None:
        if await self.pool.state(self.request) == State.DELAYED:
            await self.clock.forward(1000)
        await self.pool.fetch(self.reader)

    async def _promote(self) -> None:
        """Let its time take effect without taking it: the one slot goes to a request of a higher class."""
        (delivery,) = await self.pool.fetch(self.reader)
        assert delivery.klass == Class.CRITICAL

    async def _postpone(self) -> None:
        await self.pool.fetch(self.reader, 1, READS)

    async def _done(self) -> None:
        await self._settle("done")

    async def _retry(self) -> None:
        await self._settle("retry")

    async def _give_up(self) -> None:
        await self._settle("retry")

    async def _release(self) -> None:
        await self._settle("release")

    async def _cancel(self) -> None:
        await self.pool.cancel(self.request)
        await self._after_grace()

    async def _expire(self) -> None:
        await self.clock.forward(60_000)
        await self.pool.expire(self.request)
        await self._after_grace()

    async def _after_grace(self) -> None:
        await self.clock.forward(1000)
        await self.pool.expire(self.request)

    async def _reclaim(self) -> None:
        await self.pool.store.reclaim("echo", 1, "w1", confirmed=True, dead_after_ms=1000)

    async def _lose(self) -> None:
        await self._reclaim()


def test_every_pair_of_state_and_event_is_either_in_the_table_or_changes_nothing() -> None:
    for state, event in itertools.product(State, Event):
        assert life.step(state, event) == TRANSITIONS.get((state, event))
    assert not [pair for pair in TRANSITIONS if pair[0] in FINAL]


def test_every_state_is_reached_and_every_living_one_is_left() -> None:
    assert set(TRANSITIONS.values()) | {State.QUEUED} == set(State)
    assert {start for start, _ in TRANSITIONS} == set(State) - FINAL


@realredis.every_store
@pytest.mark.parametrize(("state", "event"), TRANSITIONS)
async def test_a_lawful_event_leads_to_the_tables_state(
    clock: Clock, pool: Pool, state: State, event: Event
) -> None:
    stage = Stage(pool, clock)
    await stage.enter(state, event)
    await stage.happen(event)
    assert await pool.state(stage.request) == TRANSITIONS[state, event]


_UNLAWFUL = [pair for pair in itertools.product(State, Event) if pair not in TRANSITIONS]


@realredis.every_store
@pytest.mark.parametrize(("state", "event"), _UNLAWFUL)
async def test_an_event_that_is_not_in_the_table_changes_nothing(
    clock: Clock, pool: Pool, state: State, event: Event
) -> None:
    stage = Stage(pool, clock)
    await stage.enter(state, event)
    before = await pool.shot()
    await stage.happen(event)
    after = await pool.shot()
    assert _of(after, stage.request) == _of(before, stage.request)
    if event != Event.PROMOTE:  # which is seen by what is done to another request
        after.strings["clock"] = before.strings["clock"]  # time may pass
        assert after == before


def _of(shot: Snapshot, request: str) -> list[Any]:
    """Return everything in a pool's keys that is of one request."""
    entries = [
        (name, entry, fields, stream.pending.get(entry))
        for name, stream in sorted(shot.streams.items())
        for entry, fields in stream.entries.items()
        if fields.get("id") == request.encode()
    ]
    scores = [(name, zset[request]) for name, zset in sorted(shot.zsets.items()) if request in zset]
    return [shot.records()[request], f"r:{request}" in shot.lasting, entries, scores]


def test_the_picture_in_the_docs_is_drawn_from_the_table() -> None:
    page = (DOCS / "protocol.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- life -->\n```mermaid\n(.*?)\n```\n<!-- /life -->", page, re.DOTALL)
    assert found is not None
    assert found[1] == life.picture()


@pytest.mark.parametrize(("priority", "klass"), [
    (0, Class.LOW), (3, Class.LOW), (4, Class.NORMAL), (6, Class.NORMAL), (7, Class.HIGH), (8, Class.HIGH),
    (9, Class.CRITICAL), (10, Class.CRITICAL),
])  # fmt: skip
def test_a_priority_has_a_class(priority: int, klass: Class) -> None:
    assert Class.of(priority) == klass


@pytest.mark.parametrize("priority", [-1, 11])
def test_a_priority_outside_0_to_10_has_no_class(priority: int) -> None:
    with pytest.raises(ValueError, match="not between 0 and 10"):
        Class.of(priority)
