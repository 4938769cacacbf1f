"""The slots: how they are dealt, and that none is lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft_workers.slots import Slots
from waiting import until


def slots(limit: int, allowed: int = 1000, **weights: float) -> Slots:
    return Slots(limit, weights or {"a": 1.0}, lambda: allowed)


@given(
    room=st.integers(0, 50),
    weights=st.dictionaries(st.sampled_from("abcd"), st.floats(0.1, 10), min_size=1),
    data=st.data(),
)
def test_all_room_is_dealt_to_those_that_ask_and_no_more(
    room: int, weights: dict[str, float], data: st.DataObject
) -> None:
    asking = data.draw(st.sets(st.sampled_from(sorted(weights))))
    dealt = Slots(room, weights, lambda: room).divide(room, asking)
    assert sum(dealt.values()) == (room if asking else 0)
    assert set(dealt) <= asking
    assert min(dealt.values(), default=1) >= 1


def test_over_time_each_busy_capability_gets_its_weights_part() -> None:
    ledger = slots(1, a=3.0, b=1.0)
    given_to = {"a": 0, "b": 0}
    for _ in range(400):
        for name, count in ledger.divide(1, {"a", "b"}).items():
            given_to[name] += count
    assert given_to == {"a": 300, "b": 100}


def test_an_idle_capabilitys_slots_serve_the_others_and_are_not_owed_later() -> None:
    ledger = slots(8, a=1.0, b=1.0)
    assert ledger.divide(8, {"a"}) == {"a": 8}
    assert ledger.divide(8, {"a", "b"}) == {"a": 4, "b": 4}


async def test_free_slots_are_had_at_once_unless_another_asks_for_them() -> None:
    allowed = 0
    ledger = Slots(4, {"a": 1.0, "b": 1.0}, lambda: allowed)
    first = asyncio.create_task(ledger.reserve("a"))
    await until(lambda: "a" in ledger._asking and ledger._due is None)  # it has asked, and been dealt nothing
    allowed = 4
    second = asyncio.create_task(ledger.reserve("b"))  # takes nothing from under the one that waits
    await until(lambda: first.done() and second.done())
    assert (first.result(), second.result()) == (2, 2)
    ledger.give_back("a", 2)
    with pytest.raises(StopIteration) as ended:
        ledger.reserve("a").send(None)  # the first step of a coroutine that does not wait is its last one
    assert ended.value.value == 2


async def test_who_asks_waits_until_a_slot_is_free() -> None:
    ledger = slots(2)
    assert await ledger.reserve("a") == 2
    ledger.start()
    ledger.start()
    asking = asyncio.create_task(ledger.reserve("a"))
    await asyncio.sleep(0)
    assert not asking.done()
    ledger.finish("a")
    assert await asking == 1
    assert (ledger.free, ledger.reserved, ledger.running) == (0, 1, 1)


async def test_calls_that_end_in_one_turn_are_dealt_together() -> None:
    ledger = slots(4)
    await ledger.reserve("a")
    for _ in range(4):
        ledger.start()
    asking = asyncio.create_task(ledger.reserve("a"))
    await asyncio.sleep(0)
    for _ in range(3):
        ledger.finish("a")
    assert await asking == 3


async def test_a_shut_gate_deals_nothing_and_an_open_one_no_more_than_it_allows() -> None:
    allowed = 0
    ledger = Slots(8, {"a": 1.0, "b": 1.0}, lambda: allowed)
    first = asyncio.create_task(ledger.reserve("a"))
    second = asyncio.create_task(ledger.reserve("b"))
    await asyncio.sleep(0.01)
    assert not first.done()
    assert not second.done()
    allowed = 1  # as a half-open breaker with one probe
    ledger.poke()
    await until(lambda: first.done() or second.done())
    assert not (first.done() and second.done())
    ledger.close()
    assert sorted([await first, await second]) == [0, 1]


async def test_a_reservation_that_nobody_waits_for_any_more_comes_back() -> None:
    allowed = 0
    ledger = Slots(3, {"a": 1.0}, lambda: allowed)
    asking = asyncio.create_task(ledger.reserve("a"))
    await asyncio.sleep(0)
    allowed = 3
    ledger._deal()  # dealt, and cancelled before it hears of it
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()
    assert (ledger.free, ledger.reserved) == (3, 0)


async def test_a_lowered_limit_lets_calls_end_and_deals_nothing_meanwhile() -> None:
    ledger = slots(4)
    await ledger.reserve("a")
    for _ in range(4):
        ledger.start()
    ledger.resize(1)
    for _ in range(3):
        ledger.finish("a")
        assert ledger.free == 0
    ledger.finish("a")
    assert ledger.free == 1


async def test_a_closed_ledger_says_zero() -> None:
    ledger = slots(1)
    ledger.close()
    assert await ledger.reserve("a") == 0


async def test_a_cap_bounds_a_capability_however_much_is_free_and_leaves_the_rest_to_others() -> None:
    ledger = slots(8, a=1.0, b=1.0)
    ledger.allot("a", 2, 1.0)
    assert await ledger.reserve("a") == 2
    ledger.start()
    assert not ledger.open_to("a")
    assert ledger.open_to("b")
    asking = asyncio.create_task(ledger.reserve("a"))
    await asyncio.sleep(0)
    assert await ledger.reserve("b") == 6
    ledger.finish("a")
    assert await asking == 1


async def test_a_cap_that_is_lifted_lets_who_waits_have_what_is_free() -> None:
    ledger = slots(4)
    ledger.allot("a", 1, 1.0)
    assert await ledger.reserve("a") == 1
    asking = asyncio.create_task(ledger.reserve("a"))
    await asyncio.sleep(0)
    ledger.allot("a", None, 1.0)
    assert await asking == 3


def test_a_weight_that_changes_changes_the_parts() -> None:
    ledger = slots(8, a=1.0, b=1.0)
    ledger.allot("a", None, 3.0)
    assert ledger.divide(8, {"a", "b"}) == {"a": 6, "b": 2}


@given(room=st.integers(0, 30), caps=st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)))
def test_with_caps_all_room_is_dealt_that_any_may_have(room: int, caps: dict[str, int]) -> None:
    ledger = Slots(30, dict.fromkeys("abc", 1.0), lambda: 30)
    for name, cap in caps.items():
        ledger.allot(name, cap, 1.0)
    dealt = ledger.divide(room, set("abc"))
    assert sum(dealt.values()) == min(room, sum(caps.get(name, 30) for name in "abc"))
    assert all(dealt.get(name, 0) <= cap for name, cap in caps.items())
