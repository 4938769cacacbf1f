"""The move `breaker`: the whole table on the script, permits, notices, the last server, and who deletes."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

import realredis
from mcpweft_schemas.circuit import (
    BY_HAND,
    MOVES,
    Act,
    Appeal,
    Circuit,
    Event,
    Pace,
    State,
    by_hand,
    question,
)
from mcpweft_schemas.packing import pack
from mcpweft_schemas.store import Reader
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from altered import Clock
    from pool import Pool

pytestmark = realredis.every_store

PACE = Pace(first_ms=1000, growth=2.0, longest_ms=3000, stretch=1.0, probes=2, successes=2, life_ms=500)
ONE = "w1/1"


async def join(pool: Pool, worker: str, server: str = "alpha", instance: str = "alpha") -> Reader:
    reader = Reader(worker, server, instance, pool.incarnation, 1)
    info = pack({"server": server, "instance": instance})
    await pool.store.register("echo", reader, info, [])
    await pool.store.beat("echo", reader, 60_000, b"")
    return reader


async def say(pool: Pool, act: Act, worker: str = "w1", **more: Any) -> Circuit:
    """What a worker of the instance `alpha` says; of the present generation where none is given."""
    given: dict[str, Any] = {"server": "alpha", "instance": "alpha", "pace": PACE, "hard": True, **more}
    if "generation" not in given:
        given["generation"] = (await ask(pool, worker, **more)).generation
    return await pool.store.breaker("echo", Appeal(act=act, worker=worker, **given))


async def ask(
    pool: Pool, worker: str = "w1", server: str = "alpha", instance: str = "alpha", **_: Any
) -> Circuit:
    appeal = Appeal(act=Act.ASK, server=server, instance=instance, worker=worker, generation=0)
    return await pool.store.breaker("echo", appeal)


async def order(
    pool: Pool, event: Event, reason: str = "by hand", mark: str = "", server: str = "alpha"
) -> Circuit:
    return await pool.store.breaker("echo", by_hand(event, server, reason, mark or f"{event} {reason}"))


async def notices(pool: Pool, worker: str = "w1") -> list[str]:
    stream = (await pool.shot()).streams.get(f"ctl:{worker}")
    told = [] if stream is None else list(stream.entries.values())
    return [entry["state"].decode() for entry in told if entry["kind"] == b"breaker"]


async def bring(pool: Pool, clock: Clock, state: State) -> Circuit:
    """Bring the record of `alpha` into a state."""
    events = {after: event for event, after in BY_HAND.items() if event is not Event.RESET}
    if state in events:
        return await order(pool, events[state], "brought")
    if state is State.CLOSED:
        return await order(pool, Event.RESET, "brought")
    await say(pool, Act.TRIP, reason="brought")
    if state is State.HALF_OPEN:
        await clock.forward(1000)
        await say(pool, Act.PROBE, permits=(ONE,))
    return await ask(pool)


async def fire(pool: Pool, clock: Clock, event: Event) -> None:
    """Bring an event about by its own cause, as far as the record lets that happen."""
    if event in BY_HAND:
        await order(pool, event, "fired")
    elif event is Event.WAITED:
        await clock.forward(400)  # less than a permit lives
        seen = await ask(pool)
        if seen.state is State.OPEN:
            await clock.forward(600)
        await say(pool, Act.PROBE, permits=(ONE,))
    elif event is Event.PROVED:
        for permit in (ONE, "w1/2"):
            await say(pool, Act.PROBE, permits=(permit,))
            await say(pool, Act.PROVE, permits=(permit,))
    else:
        await say(pool, Act.TRIP if event is Event.TRIP else Act.DISPROVE, permits=(ONE,), reason="fired")


# A probe of an open breaker whose wait is over is what `waited` is caused by.
@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
async def test_each_event_moves_each_state_as_the_table_says_and_no_other_way(
    clock: Clock, pool: Pool, state: State, event: Event
) -> None:
    await join(pool, "w1")
    before = await bring(pool, clock, state)
    await fire(pool, clock, event)
    after = await ask(pool)
    if event in MOVES[state]:
        assert after.state is MOVES[state][event]
        assert after.generation > before.generation
        assert (await notices(pool))[-1] == after.state
    else:
        assert (after.state, after.generation) == (before.state, before.generation)


async def test_what_was_decided_on_another_generation_changes_nothing_and_learns_the_record(
    pool: Pool,
) -> None:
    await join(pool, "w1")
    opened = await say(pool, Act.TRIP, reason="dead")
    before = await pool.shot()
    for act in (Act.TRIP, Act.PROBE, Act.PROVE, Act.DISPROVE):
        told = await say(pool, act, generation=0, permits=(ONE,))
        assert (told.word, told.generation, told.state) == (Word.STALE, opened.generation, State.OPEN)
    assert await pool.shot() == before


async def test_waits_grow_to_their_bound_and_start_anew_once_it_has_closed(clock: Clock, pool: Pool) -> None:
    await join(pool, "w1")
    waits = []
    record = await say(pool, Act.TRIP, reason="dead")
    for _ in range(4):
        waits.append(record.open_until_ms - record.now_ms)
        await clock.forward(waits[-1])
        await say(pool, Act.PROBE, permits=(ONE,))
        record = await say(pool, Act.DISPROVE, permits=(ONE,), reason="no")
    assert waits == [1000, 2000, 3000, 3000]
    await order(pool, Event.RESET)
    record = await say(pool, Act.TRIP, pace=replace(PACE, stretch=1.1))
    assert record.open_until_ms - record.now_ms == 1100


async def test_permits_are_the_fleets_and_no_more_are_out_than_may_be(clock: Clock, pool: Pool) -> None:
    for worker in ("w1", "w2"):
        await join(pool, worker)
    await bring(pool, clock, State.OPEN)
    assert not (await say(pool, Act.PROBE, permits=(ONE,))).permits  # its wait is not over
    await clock.forward(1000)
    assert set((await say(pool, Act.PROBE, permits=("w1/1", "w1/2", "w1/3"))).permits) == {"w1/1", "w1/2"}
    assert (await say(pool, Act.PROBE, "w2", permits=("w2/1",))).permits == ()
    assert (await say(pool, Act.PROBE, permits=("w1/1",))).permits == ("w1/1",)  # the other is given back
    assert (await say(pool, Act.PROBE, "w2", permits=("w2/1", "w2/2"))).permits == ("w2/1",)
    assert (await say(pool, Act.PROVE, "w2", permits=("w2/1",))).proved == 1
    assert (await say(pool, Act.PROBE, "w2", permits=("w2/2",))).permits == ()  # one more success is enough
    closed = await say(pool, Act.PROVE, permits=("w1/1",))
    assert (closed.state, closed.reason) == (State.CLOSED, "2 probes succeeded")


async def test_a_permit_that_ran_out_takes_the_breaker_back_to_open_as_of_then(
    clock: Clock, pool: Pool
) -> None:
    for worker in ("w1", "w2"):
        await join(pool, worker)
    half = await bring(pool, clock, State.HALF_OPEN)
    await clock.forward(400)
    await say(pool, Act.PROBE, permits=(ONE,))  # renewed
    await clock.forward(499)
    assert (await say(pool, Act.PROBE, "w2", permits=())).state is State.HALF_OPEN
    await clock.forward(101)
    told = await say(pool, Act.PROBE, "w2", permits=("w2/1",), generation=half.generation)
    assert (told.word, told.state, told.permits) == (Word.STALE, State.OPEN, ())
    assert (told.wait_ms, told.open_until_ms) == (2000, clock.ms - 100 + 2000)
    late = await say(pool, Act.PROVE, permits=(ONE,), generation=half.generation)
    assert (late.word, late.state, late.proved) == (Word.STALE, State.OPEN, 0)


async def test_all_workers_of_the_instance_are_told_and_nobody_else(pool: Pool) -> None:
    await join(pool, "w1")
    await join(pool, "w2")
    await join(pool, "w3", "beta", "w3")
    await say(pool, Act.TRIP, reason="dead")
    assert [await notices(pool, worker) for worker in ("w1", "w2", "w3")] == [["open"], ["open"], []]


async def test_a_beat_in_the_home_pool_repeats_the_generation(pool: Pool) -> None:
    reader = await join(pool, "w1")
    assert (await pool.store.beat("echo", reader, 1, b"", home=True)).generation == 0
    opened = await say(pool, Act.TRIP, reason="dead")
    assert (await pool.store.beat("echo", reader, 1, b"", home=True)).generation == opened.generation
    assert (await pool.store.beat("echo", reader, 1, b"")).generation is None


async def test_what_is_ordered_for_a_server_governs_each_of_its_workers_and_those_that_join_later(
    pool: Pool,
) -> None:
    readers = [await join(pool, worker, "local", worker) for worker in ("l1", "l2")]
    await say(pool, Act.TRIP, "l1", server="local", instance="l1", reason="dead")
    forced = await order(pool, Event.FORCE_OPEN, "disk", server="local")
    readers.append(await join(pool, "l3", "local", "l3"))
    for reader in readers:
        beaten = await pool.store.beat("echo", reader, 1, b"", home=True)
        assert beaten.generation == forced.generation
        told = await say(pool, Act.TRIP, reader.worker, server="local", instance=reader.worker, generation=0)
        assert (told.word, told.state, told.reason) == (Word.STALE, State.FORCED_OPEN, "disk")
    await order(pool, Event.RESET, server="local")
    for reader in readers:
        assert (await ask(pool, reader.worker, "local", reader.worker)).state is State.CLOSED
    assert "breaker:local" not in (await pool.shot()).hashes


async def test_an_order_that_is_repeated_moves_nothing_twice(clock: Clock, pool: Pool) -> None:
    await join(pool, "l1", "local", "l1")
    await join(pool, "w1")
    for server, event in product(("local", "alpha"), (Event.FORCE_OPEN, Event.RESET)):
        assert (await order(pool, event, mark=f"{event}", server=server)).word is Word.OK
        before = await pool.shot()
        await clock.forward(5)
        assert (await order(pool, event, mark=f"{event}", server=server)).word is Word.REPEAT
        assert replace(await pool.shot(), strings={}) == replace(before, strings={})


async def test_who_is_no_worker_is_told_what_was_ordered_and_by_whom(pool: Pool) -> None:
    await join(pool, "l1", "local", "l1")
    nothing = await pool.store.breaker("echo", question("local"))
    assert (nothing.word, nothing.state, nothing.by) == (Word.OK, State.CLOSED, "")
    said = by_hand(Event.CORDON, "local", "new disk", "1", "ann@desk")
    ordered = await pool.store.breaker("echo", said)
    before = await pool.shot()
    told = await pool.store.breaker("echo", question("local"))
    assert (told.state, told.reason, told.by) == (State.CORDONED, "new disk", "ann@desk")
    assert (told.since_ms, told.generation) == (ordered.since_ms, ordered.generation)
    assert await pool.shot() == before
    await order(pool, Event.RESET, server="local")
    assert (await pool.store.breaker("echo", question("local"))).by == ""


async def test_figures_alone_never_take_the_last_usable_server_out(pool: Pool) -> None:
    await join(pool, "w1")
    await join(pool, "w2")  # the same server, so no help
    before = await pool.shot()
    told = await say(pool, Act.TRIP, hard=False, reason="5 of 10 calls failed")
    assert (told.word, told.state) == (Word.LAST, State.CLOSED)
    assert await pool.shot() == before
    await join(pool, "b1", "beta", "b1")
    assert (await say(pool, Act.TRIP, hard=False, reason="figures")).state is State.OPEN
    last = await say(pool, Act.TRIP, "b1", server="beta", instance="b1", hard=False, reason="figures")
    assert last.word is Word.LAST  # alpha is open, though its workers have not beaten since
    dead = await say(pool, Act.TRIP, "b1", server="beta", instance="b1", hard=True, reason="5 deaths")
    assert dead.state is State.OPEN


@pytest.mark.parametrize("event", [None, *BY_HAND])
async def test_the_last_worker_takes_the_record_along_unless_it_was_ordered(
    pool: Pool, event: Event | None
) -> None:
    stays = event not in {None, Event.RESET}
    for worker in ("w1", "w2"):
        await join(pool, worker)
    await (say(pool, Act.TRIP, reason="dead") if event is None else order(pool, event))
    await pool.store.retire("echo", "w1")
    assert "breaker:alpha" in (await pool.shot()).hashes
    await pool.store.retire("echo", "w2")
    assert ("breaker:alpha" in (await pool.shot()).hashes) == stays
    if stays:
        await order(pool, Event.RESET, "undone")
        assert "breaker:alpha" not in (await pool.shot()).hashes


async def test_who_is_not_registered_writes_nothing(pool: Pool) -> None:
    assert (await say(pool, Act.TRIP, "ghost", generation=0)).word is Word.UNKNOWN
    unknown = await pool.store.breaker("nowhere", by_hand(Event.DISABLE, "alpha", "", "m"))
    assert unknown.word is Word.UNKNOWN
    assert not [name for name in (await pool.shot()).hashes if name.startswith("breaker")]
