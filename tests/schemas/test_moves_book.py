"""What is counted of work: booked once, added in the slot of its moment, bounded, and gone in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgpack
import pytest

import realredis
from mcpweft_schemas.figure import COUNTERS, Figure, PoolLevel, ServerLevel, Tally, Time, series
from mcpweft_schemas.life import Class
from mcpweft_schemas.packing import pack
from mcpweft_schemas.store import SERIES
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from altered import Clock
    from pool import Pool

pytestmark = realredis.every_store

ECHO = series("alpha", "echo", "normal")


async def book(pool: Pool, number: int, told: Mapping[str, Tally], who: str = "w1") -> Word:
    return await pool.store.book("echo", who, number, [(name, one.told()) for name, one in told.items()])


async def read(pool: Pool, width: int = 10) -> dict[str, Tally]:
    """What all slots of a width hold together, by field."""
    found: dict[str, Tally] = {}
    for slot in (await pool.store.history("echo", width, (await now_s(pool)) - 3600, 400)).slots:
        for name, packed in slot.fields.items():
            found.setdefault(name, Tally()).add(Tally.read(packed))
    return found


async def now_s(pool: Pool) -> int:
    return (await pool.store.history("echo", 10, 0, 1)).now_ms // 1000


def oks(count: int) -> Tally:
    return Tally({Figure.OK: count})


# -- booking -----------------------------------------------------------------------------------------------


async def test_what_workers_book_is_added_in_slots_of_both_widths(pool: Pool) -> None:
    one, two = Tally(), Tally()
    for ms in (3.0, 300.0, 300.0):
        one.time(Time.SERVICE, ms)
    two.time(Time.SERVICE, 300.0)
    assert await book(pool, 1, {ECHO: one}, "w1") is Word.OK
    assert await book(pool, 1, {ECHO: two, series("alpha", "other", "low"): oks(4)}, "w2") is Word.OK
    for width in (10, 600):
        found = await read(pool, width)
        assert found.keys() == {ECHO, series("alpha", "other", "low")}
        assert found[ECHO].spread(Time.SERVICE).total == 4
        assert found[ECHO][Figure.SERVICE_MS] == 903


async def test_what_is_said_again_is_not_counted_again(pool: Pool) -> None:
    words = [await book(pool, number, {ECHO: oks(1)}) for number in (5, 5, 7, 5, 6)]
    assert words == [Word.OK, Word.REPEAT, Word.OK, Word.REPEAT, Word.REPEAT]
    assert (await read(pool))[ECHO][Figure.OK] == 2


async def test_a_repeat_is_known_as_one_in_the_next_slot_as_well(clock: Clock, pool: Pool) -> None:
    await book(pool, 5, {ECHO: oks(1)})
    await clock.forward(700_000)
    assert await book(pool, 5, {ECHO: oks(1)}) is Word.REPEAT
    assert (await read(pool, 600))[ECHO][Figure.OK] == 1


async def test_a_slot_holds_what_was_booked_in_its_time(clock: Clock, pool: Pool) -> None:
    clock.ms -= clock.ms % 600_000
    await clock.forward(0)
    start = clock.ms // 1000
    for number, wait in enumerate([9_999, 1, 590_000]):
        await book(pool, number + 1, {ECHO: oks(10**number)})
        await clock.forward(wait)
    await book(pool, 9, {ECHO: oks(1000)})
    narrow = await pool.store.history("echo", 10, start, 100)
    assert [(slot.start_s - start, Tally.read(slot.fields[ECHO])[Figure.OK]) for slot in narrow.slots] == [
        (0, 11), (10, 100), (600, 1000),
    ]  # fmt: skip
    wide = await pool.store.history("echo", 600, start, 100)
    assert [Tally.read(slot.fields[ECHO])[Figure.OK] for slot in wide.slots] == [111, 1000]


async def test_a_pool_that_nobody_declared_takes_no_figures(pool: Pool) -> None:
    assert await pool.store.book("nowhere", "w1", 1, [(ECHO, oks(1).told())]) is Word.UNKNOWN
    assert (await pool.store.history("nowhere", 10, 0, 10)).slots == ()


async def test_many_tools_fall_into_one_series_a_class_and_none_is_lost(clock: Clock, pool: Pool) -> None:
    names = [series("alpha", f"tool{n}", klass) for n in range(300) for klass in ("high", "low")]
    for at in range(0, len(names), SERIES):
        await book(pool, at + 1, {name: oks(1) for name in names[at : at + SERIES]})
    found = await read(pool)
    assert len(found) <= 130
    assert {"alpha/*/high", "alpha/*/low"} <= found.keys()
    assert Tally.sum(found.values())[Figure.OK] == 600


async def test_many_servers_fall_into_one_series_a_class(clock: Clock, pool: Pool) -> None:
    names = [series(f"s{n}", "echo", "normal") for n in range(700)]
    for at in range(0, len(names), SERIES):
        await book(pool, at + 1, {name: oks(1) for name in names[at : at + SERIES]})
    found = await read(pool)
    assert len(found) <= 260
    assert found["*/*/normal"][Figure.OK] > 100
    assert Tally.sum(found.values())[Figure.OK] == 700


async def test_a_tool_may_have_any_name(pool: Pool) -> None:
    name = series("alpha", "a/b ü*/", "normal")
    await book(pool, 1, {name: oks(1)})
    assert (await read(pool))[name][Figure.OK] == 1


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\xff\xc1", b"text", msgpack.packb({"a": 1}), msgpack.packb([1, "x", "y", 2, [3], 4, 5])],
)
async def test_garbage_in_a_field_or_on_its_way_counts_as_nothing(
    clock: Clock, pool: Pool, garbage: bytes
) -> None:
    await book(pool, 1, {ECHO: oks(1)})
    slots = [key for key in (await pool.shot()).slots if key.startswith("a:10:")]
    await pool.store.link.run("HSET", pool.store.keys("echo").prefix + slots[0], ECHO, garbage)
    assert await pool.store.book("echo", "w1", 2, [(ECHO, oks(3).told()), ("x", garbage)]) is Word.OK
    assert (await read(pool))[ECHO].amounts == {0: 3}


@pytest.mark.parametrize("wrong", [[512, 1], [-1, 1], [0.5, 1], [3, -5], [3, 0], [3, 2**53], [3]])
async def test_who_tells_a_figure_that_there_cannot_be_tells_nothing(pool: Pool, wrong: list[float]) -> None:
    for number, told in enumerate([[0, 1, 511, 2, 4, 1.5], [0, 1, *wrong]]):
        await pool.store.book("echo", "w1", number + 1, [(ECHO, pack(told))])
    assert (await read(pool))[ECHO].amounts == {0: 1, 511: 2, 4: 1.5}


async def test_figures_go_with_their_time(pool: Pool) -> None:
    await book(pool, 1, {ECHO: oks(1)})
    prefix = pool.store.keys("echo").prefix
    at = await now_s(pool)
    for width, least, most in ((10, 3600, 3661), (600, 604_800, 605_401)):
        keys = {pool.store.keys("echo").slot(width, at // width * width - back) for back in (0, width)}
        ttls = [await pool.store.link.run("TTL", key) for key in keys]
        assert least <= max(ttls) <= most
    assert 0 < await pool.store.link.run("TTL", prefix + "a:by:w1") <= 3600


async def test_a_history_is_read_in_parts(clock: Clock, pool: Pool) -> None:
    clock.ms -= clock.ms % 10_000
    start = clock.ms // 1000
    for number in range(6):
        await clock.forward(0)
        await book(pool, number + 1, {ECHO: oks(number + 1)})
        clock.ms += 10_000
    part = await pool.store.history("echo", 10, start + 10, 2)
    assert [slot.start_s for slot in part.slots] == [start + 10, start + 20]


# -- how the pool stands -----------------------------------------------------------------------------------


def picture(fields: Mapping[str, bytes]) -> dict[str, int]:
    _, *counters = msgpack.unpackb(fields["#"])
    return dict(zip(COUNTERS, counters, strict=True))


async def sweep(pool: Pool, epoch: int = 1) -> None:
    assert (await pool.store.sweep("echo", epoch)).word is Word.OK


async def say(pool: Pool, worker: str, server: str, slots: int, in_flight: int) -> None:
    reader = await pool.join(worker, server=server)
    await pool.store.register("echo", reader, pack({"server": server}), [])
    await pool.store.beat("echo", reader, 60_000, pack({"slots": slots, "in_flight": in_flight}))


async def test_a_sweep_tells_how_the_pool_and_its_servers_stand(pool: Pool) -> None:
    await say(pool, "w1", "alpha", 4, 2)
    await say(pool, "w2", "alpha", 3, 0)
    await say(pool, "w3", "beta", 1, 1)
    for klass in (Class.LOW, Class.LOW, Class.HIGH):
        await pool.accept(klass=klass)
    await pool.accept(delay_ms=60_000)
    await pool.take(pool.workers["w1"])
    await pool.settle(await pool.take(pool.workers["w1"]))
    await sweep(pool)
    for width in (10, 600):
        (slot,) = (await pool.store.history("echo", width, await now_s(pool) - 600, 100)).slots
        assert {name: n for name, n in picture(slot.fields).items() if n and name != "took"} == {
            "accepted": 4, "done": 1,
        }  # fmt: skip
        assert Tally.read(slot.fields["="]).amounts == {
            PoolLevel.LOOKS: 1, PoolLevel.LOW: 1, PoolLevel.RUNNING: 1, PoolLevel.DELAYED: 1,
        }  # fmt: skip
        assert Tally.read(slot.fields["@alpha"]).amounts == {
            ServerLevel.LOOKS: 1, ServerLevel.WORKERS: 2, ServerLevel.SLOTS: 7, ServerLevel.IN_FLIGHT: 2,
        }  # fmt: skip
        assert Tally.read(slot.fields["@beta"])[ServerLevel.SLOTS] == 1


async def test_it_is_told_once_in_a_slot_whoever_leads(clock: Clock, pool: Pool) -> None:
    clock.ms -= clock.ms % 600_000
    await clock.forward(0)
    for epoch, wait in ((1, 100), (2, 9_800), (2, 100), (3, 0)):
        await sweep(pool, epoch)
        await pool.accept()
        await clock.forward(wait)
    narrow = (await pool.store.history("echo", 10, clock.ms // 1000 - 10, 9)).slots
    assert [picture(slot.fields)["accepted"] for slot in narrow] == [0, 3]
    assert [Tally.read(slot.fields["="])[PoolLevel.LOOKS] for slot in narrow] == [1, 1]
    (wide,) = (await pool.store.history("echo", 600, clock.ms // 1000 - 10, 9)).slots
    assert Tally.read(wide.fields["="]).amounts == {PoolLevel.LOOKS: 2, PoolLevel.NORMAL: 3}
    assert picture(wide.fields)["accepted"] == 3


async def test_a_worker_that_said_nothing_that_can_be_read_is_left_out(pool: Pool) -> None:
    await pool.join()
    await sweep(pool)
    assert not [name for name in await read(pool) if name.startswith("@")]
