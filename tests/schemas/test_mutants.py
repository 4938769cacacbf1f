"""Mistakes made in the moves on purpose: each must be seen, or the tests of the moves prove little.

Most are found by the games of the stateful test. Three need a store that somebody has tampered with, or
many requests at once: for those there is a scene, which holds on the moves as they are.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import altered
import mutanttable
import realredis
from altered import Change
from mcpweft_schemas.circuit import Act, Appeal, Circuit, Pace
from mcpweft_schemas.connect import Link
from mcpweft_schemas.figure import Figure, PoolLevel, Tally, series
from mcpweft_schemas.life import Class
from mcpweft_schemas.limits import Limit, Limits
from mcpweft_schemas.store import Store
from mcpweft_schemas.wire import READS
from mcpweft_schemas.word import Word
from playing import play_games
from pool import Pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = [realredis.stores("redis"), pytest.mark.timeout(300)]

GAMES, TURNS = range(400), 60
"""The seeds to try, each a game of so many turns; most mistakes are found within ten games."""
FIRST = {"a budget that nothing fills": 33, "an outcome lost with its waiter": 6}
"""Seeds that have found the rarer mistakes: tried before the others, so that fewer games are played."""

FOUND_BY_PLAYING = {
    "settle without a fence": Change(
        "if r.state ~= 'running' or r.stream ~= stream or r.entry ~= entry then return 'LOST' end",
        "if r.state ~= 'running' then return 'LOST' end",
    ),
    "settle that does not know its repeat": Change(
        "if r.last == stream .. ' ' .. entry then return 'REPEAT' end", ""
    ),
    "settle that leaves its entry behind": Change(
        "    redis.call('XDEL', r.stream, r.entry)\n    if r.under ~= '' then leave_limits(r) end\n  elseif",
        "  elseif",
    ),
    "fetch without an epoch": Change(
        "if tonumber(reader) > epoch then return {'STALE'", "if false then return {'STALE'"
    ),
    "fetch that ignores a backoff": Change(
        "if tried and now < r.due_again then sooner(r.due_again)", "if false then sooner(r.due_again)"
    ),
    "fetch that runs what is over": Change("return r.deadline <= now or (", "return ("),
    "enqueue that accepts its repeat": Change("if known then return {'REPEAT', id, known, '0'} end", ""),
    "work streams that are trimmed": Change(
        "redis.pcall('XADD', base .. 'q:' .. class, 'NOMKSTREAM', '*',",
        "redis.pcall('XADD', base .. 'q:' .. class, 'NOMKSTREAM', 'MAXLEN', '2', '*',",
    ),
    "enqueue that ignores the print": Change(
        "if r.print ~= print then return {'CONFLICT', id, r.state, '0'} end", ""
    ),
    "a key that a maybe frees": Change(
        "if o.executed == 'no' then\n      free_key", "if true then\n      free_key"
    ),
    "attach that drops the others": Change("with_word(r.waiters, producer)", "producer", "attach"),
    "an end that tells twice": Change(
        "local gone = tell(r, reply)", "tell(r, reply) local gone = tell(r, reply)"
    ),
    "an outcome that hides its rules": Change("if r.rules ~= '' then", "if false then"),
    "an enqueue that forgets the rules": Change("  set('rules', field(more, 'rules') or '')\n", ""),
    "an outcome lost with its waiter": Change(
        "if gone or has(r.flags, 's') then", "if has(r.flags, 's') then"
    ),
    "bytes that are never given back": Change("count('bytes', -r.size)", ""),
    "release that charges the attempt": Change("attempt = r.attempt - 1", "attempt = r.attempt"),
    "a retry that costs nothing": Change(
        "if budget.level < 1 then return false end", "if true then return true end"
    ),
    "a budget that nothing fills": Change("level = math.min(most, level + earned)", "level = level"),
    "adopt that takes what is held": Change("if not held[stream .. ' ' .. entry] then", "if true then"),
    "cancel without grace": Change("if r.cancel + CANCEL_GRACE > now then return 'SIGNALLED' end", ""),
    "reclaim from the living": Change(
        "if not confirmed and now - beat < dead_after then return {'ALIVE', 0, 0, 0} end", ""
    ),
    "reclaim without patience": Change(
        "if r.run == '1' or sure then return move(r) end", "do return move(r) end"
    ),
    "reclaim that moves the unsafe": Change(
        "if ran ~= 'no' and r.run ~= '1' then return {state = 'dead', code = 'OUTCOME_UNKNOWN'} end", ""
    ),
    "reclaim by a leader of old": Change(
        "if not confirmed and stale_leader(epoch) then return {'STALE', 0, 0, 0} end", ""
    ),
    "a book that counts its repeat": Change(
        "if number <= (tonumber(redis.call('GET', mark) or '0') or 0) then return 'REPEAT' end", ""
    ),
    "a book that forgets what was there": Change("if #held == 0 then", "if true then"),
}


@pytest.mark.parametrize("mistake", FOUND_BY_PLAYING)
def test_a_game_turns_red_on(store_url: str, namespace: str, mistake: str) -> None:
    change = FOUND_BY_PLAYING[mistake]
    seeds = sorted(GAMES, key=lambda seed: seed != FIRST.get(mistake))
    with altered.in_force(altered.TEST_CLOCK, change), pytest.raises(AssertionError, match="with seed"):
        play_games(store_url, namespace, seeds, TURNS)


# -- scenes ------------------------------------------------------------------------------------------------


async def _a_settle_needs_its_pending_entry(pool: Pool) -> None:
    await pool.accept()
    delivery = await pool.take(await pool.join())
    await pool.store.link.run("XACK", delivery.stream, "w", delivery.entry)
    assert await pool.settle(delivery) == Word.LOST


async def _a_lost_group_loses_nothing(pool: Pool) -> None:
    request = await pool.accept()
    worker = await pool.join()
    await pool.store.link.run("XGROUP", "DESTROY", pool.store.keys("echo").stream("normal"), "w")
    assert [d.id for d in await pool.fetch(worker)] == [request]


async def _each_class_gets_its_turns(pool: Pool) -> None:
    for klass in Class:
        await pool.store.enqueue("echo", [pool.submission(klass=klass) for _ in range(40)])
    worker = await pool.join()
    got = Counter([(await pool.take(worker)).klass for _ in range(30)])
    assert list(got.values()) == [16, 8, 4, 2]


async def _a_server_is_not_overrun(pool: Pool) -> None:
    reader = await pool.join(limits=Limits(server=Limit(most=1)))
    for _ in range(2):
        await pool.accept()
    delivery = await pool.take(reader)
    assert (await pool.store.fetch("echo", reader, 5, READS)).word is Word.LIMITED
    await pool.settle(delivery, "retry")
    assert not (await pool.shot()).zsets.get("busy:alpha")
    assert len(await pool.fetch(reader, 5)) == 1


async def _a_tool_is_not_overrun(pool: Pool) -> None:
    reader = await pool.join(limits=Limits(tools={"echo": Limit(most=1, rate=100)}))
    ids = {await pool.accept() for _ in range(3)}
    while ids:
        deliveries = await pool.fetch(reader, 5)
        assert len(deliveries) == 1
        ids.remove(deliveries[0].id)
        await pool.settle(deliveries[0])


async def _nobody_waits_behind_a_flood(pool: Pool) -> None:
    reader = await pool.join()
    flood = [pool.submission(tenant="heavy") for _ in range(20)]
    await pool.store.enqueue("echo", flood)
    light = await pool.accept(tenant="light")
    assert light in [delivery.id for delivery in await pool.fetch(reader, 2)]


async def _the_whole_flood_is_served(pool: Pool) -> None:
    reader = await pool.join()
    ids = {(await pool.accept(tenant="heavy")) for _ in range(6)}
    got = [await pool.fetch(reader, 1) for _ in ids]
    assert {delivery.id for deliveries in got for delivery in deliveries} == ids


async def _a_pause_only_grows(pool: Pool) -> None:
    reader = await pool.join()
    for ms in (60_000, 1):
        await pool.store.pause("echo", "alpha", ms)
    paused = await pool.store.fetch("echo", reader, 1, READS)
    assert (paused.next_due_ms or 0) > 1000


_PACE = Pace(first_ms=1, growth=2.0, longest_ms=5, stretch=1.0, probes=2, successes=2, life_ms=60_000)


async def _says(
    pool: Pool, act: Act, *permits: str, generation: int | None = None, hard: bool = True
) -> Circuit:
    """What the worker `w1` says of its server's breaker."""
    asked = Appeal(act=Act.ASK, server="alpha", instance="w1", worker="w1", generation=0)
    now = (await pool.store.breaker("echo", asked)).generation
    appeal = Appeal(
        act=act, server="alpha", instance="w1", worker="w1", pace=_PACE, hard=hard, permits=permits,
        generation=now if generation is None else generation,
    )  # fmt: skip
    return await pool.store.breaker("echo", appeal)


async def _half_open(pool: Pool, *permits: str) -> Circuit:
    await pool.join()
    await _says(pool, Act.TRIP)
    await asyncio.sleep(0.02)  # the wait for recovery is time itself
    return await _says(pool, Act.PROBE, *permits)


async def _who_is_late_moves_nothing(pool: Pool) -> None:
    await _half_open(pool, "w1/1")
    assert (await _says(pool, Act.DISPROVE, "w1/1", generation=1)).word is Word.STALE


async def _a_fleet_probes_no_more_than_it_may(pool: Pool) -> None:
    assert len((await _half_open(pool, "w1/1", "w1/2", "w1/3")).permits) == 2


async def _one_probe_proves_once(pool: Pool) -> None:
    await _half_open(pool, "w1/1")
    for word in (Word.OK, Word.REPEAT):
        assert (await _says(pool, Act.PROVE, "w1/1")).word is word


async def _figures_leave_the_last_server_in(pool: Pool) -> None:
    await pool.join()
    assert (await _says(pool, Act.TRIP, hard=False)).word is Word.LAST


async def _a_slot_holds_so_many_series(pool: Pool) -> None:
    for number in range(1, 301):
        told = Tally({Figure.OK: 1}).told()
        await pool.store.book("echo", "w1", number, [(series("alpha", f"tool{number}", "low"), told)])
    booked = (await pool.shot()).slots
    assert max(len(fields) for fields in booked.values()) <= 130


async def _how_a_pool_stands_is_told_once_in_a_slot(pool: Pool) -> None:
    for _ in range(50):
        await pool.store.sweep("echo", 1)
    booked = (await pool.shot()).slots
    assert all(Tally.read(fields["="])[PoolLevel.LOOKS] <= 2 for fields in booked.values())


FOUND_BY_A_SCENE: dict[str, tuple[Change, Callable[[Pool], Awaitable[None]]]] = {
    "settle that ignores the acknowledgement": (
        Change(
            "if redis.call('XACK', r.stream, GROUP, r.entry) ~= 1 then return false end",
            "redis.call('XACK', r.stream, GROUP, r.entry)",
        ),
        _a_settle_needs_its_pending_entry,
    ),
    "groups made at the end": (
        Change("which, GROUP, '0', 'MKSTREAM'", "which, GROUP, '$', 'MKSTREAM'"),
        _a_lost_group_loses_nothing,
    ),
    "a place that is never given back": (
        Change("if r.under ~= '' then leave_limits(r) end\n  elseif", "\n  elseif"),
        _a_server_is_not_overrun,
    ),
    "a limit that counts nobody": (
        Change("local busy = redis.call('ZCARD', base .. 'busy:' .. name)", "local busy = 0"),
        _a_tool_is_not_overrun,
    ),
    "what is set aside and forgotten": (
        Change("redis.call('ZADD', base .. 'aside:' .. r.tool, r.accepted, r.id)", ""),
        _a_tool_is_not_overrun,
    ),
    "a pause that the next one shortens": (
        Change("if till > known then", "if true then"),
        _a_pause_only_grows,
    ),
    "a flood that nobody parks": (
        Change("local parks = mark and has_lead(class, mark)", "local parks = false"),
        _nobody_waits_behind_a_flood,
    ),
    "an heir that comes into no stream": (
        Change("redis.call('XADD', stream, '*', unpack(cmsgpack.unpack(heir.held)))", "'0-1'"),
        _the_whole_flood_is_served,
    ),
    "a breaker that is moved by who is late": (
        Change(
            "if generation ~= c.generation then return tell('STALE', c) end\nlocal permit", "local permit"
        ),
        _who_is_late_moves_nothing,
    ),
    "probes without a bound": (
        Change("if not c.permits[permit] and room > 0 then", "if not c.permits[permit] then"),
        _a_fleet_probes_no_more_than_it_may,
    ),
    "a probe that proves twice": (
        Change("if not c.permits[permit] then return tell('REPEAT', c) end", ""),
        _one_probe_proves_once,
    ),
    "a last server that figures take out": (
        Change(
            "if c.state == 'closed' and not hard and not has_another() then return tell('LAST', c) end", ""
        ),
        _figures_leave_the_last_server_in,
    ),
    "a slot without a bound": (
        Change("if held or size < MOST * i or i == #folded then", "if true then"),
        _a_slot_holds_so_many_series,
    ),
    "a look that is taken each time": (
        Change("if seen[7] ~= slot then", "if true then"),
        _how_a_pool_stands_is_told_once_in_a_slot,
    ),
    "turns that nobody remembers": (
        Change("redis.call('HSET', base .. 'stat', 'turn', text)", "local _ = text"),
        _each_class_gets_its_turns,
    ),
}


def _play(url: str, namespace: str, scene: Callable[[Pool], Awaitable[None]]) -> None:
    async def play() -> None:
        async with Link.to(url) as link:
            await scene(await Pool.make(Store(link, namespace), "echo"))

    asyncio.run(play())


@pytest.mark.parametrize(("change", "scene"), FOUND_BY_A_SCENE.values(), ids=FOUND_BY_A_SCENE)
def test_a_scene_turns_red_on(
    store_url: str, namespace: str, change: Change, scene: Callable[[Pool], Awaitable[None]]
) -> None:
    with altered.in_force(change), pytest.raises(AssertionError):
        _play(store_url, namespace, scene)


@pytest.mark.parametrize("scene", [scene for _, scene in FOUND_BY_A_SCENE.values()])
def test_each_scene_holds_on_the_moves_as_they_are(
    store_url: str, namespace: str, scene: Callable[[Pool], Awaitable[None]]
) -> None:
    _play(store_url, namespace, scene)


def test_a_change_that_fits_no_line_is_refused(store_url: str) -> None:
    with pytest.raises(AssertionError, match="found 0 times"):
        altered.altered(Change("no such line", ""))


def test_the_table_in_contributing_lists_these_mistakes_and_what_finds_them(store_url: str) -> None:
    found_by = dict.fromkeys(FOUND_BY_PLAYING, "a game of the stateful test")
    found_by |= {name: mutanttable.spoken(scene) for name, (_, scene) in FOUND_BY_A_SCENE.items()}
    assert mutanttable.rows("mistakes in the moves") == found_by
