"""Identical work under way is done once."""

from __future__ import annotations

import asyncio

import pytest

from mcpweft import errors
from mcpweft.rag.flights import Flights
from waiting import until


class Work:
    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.gate = asyncio.Event()

    async def __call__(self) -> str:
        self.begun += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return f"answer {self.begun}"


async def test_the_same_is_done_once_and_what_differs_is_not() -> None:
    flights, work = Flights[str](), Work()
    askers = [asyncio.create_task(flights.join(key, work)) for key in ("a", "a", "b", "a")]
    await until(lambda: work.begun == 2)
    work.gate.set()
    assert len(await asyncio.gather(*askers)) == 4
    assert (work.begun, len(flights)) == (2, 0)
    assert await flights.join("a", work) == "answer 3", "what has landed is not kept"


async def test_a_failure_is_told_to_all() -> None:
    async def fails() -> str:
        await asyncio.sleep(0)
        raise errors.NoServersError("none")

    flights = Flights[str]()
    told = await asyncio.gather(*(flights.join("a", fails) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in told] == [errors.NoServersError] * 3


async def test_who_gives_up_takes_nothing_from_the_others_and_the_last_one_ends_it() -> None:
    flights, work = Flights[str](), Work()
    first, second = (asyncio.create_task(flights.join("a", work)) for _ in range(2))
    await until(lambda: work.begun == 1)
    first.cancel()
    await asyncio.wait({first})
    assert (first.cancelled(), work.cancelled, second.done()) == (True, 0, False)
    second.cancel()
    await until(lambda: work.cancelled == 1)
    assert len(flights) == 0


async def test_who_asks_after_the_last_one_gave_up_begins_anew() -> None:
    flights, work = Flights[str](), Work()
    first = asyncio.create_task(flights.join("a", work))
    await until(lambda: work.begun == 1)
    first.cancel()
    await asyncio.wait({first})
    second = asyncio.create_task(flights.join("a", work))
    await until(lambda: work.begun == 2)
    work.gate.set()
    assert await second == "answer 2"


async def test_those_aboard_when_it_is_closed_are_told_so() -> None:
    flights, work = Flights[str](), Work()
    asker = asyncio.create_task(flights.join("a", work))
    await until(lambda: work.begun == 1)
    await flights.close()
    with pytest.raises(errors.ShuttingDownError):
        await asker
