"""The event stream on a real store: what is told is read, bounded, and its gaps are known."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

import realredis
from beside import beside
from mcpweft_schemas.connect import Link
from mcpweft_schemas.event import LONGEST, Event, Kind, Who
from mcpweft_schemas.herald import Herald
from mcpweft_schemas.store import Store
from mcpweft_schemas.sweeplog import Event as SweepEvent
from mcpweft_schemas.sweeplog import news
from proxy import Proxy
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

LOST = Event(
    Kind.SERVER_LOST, Who.WORKER, "echo", "alpha", "alpha.1", reason="it died", data={"code": -9, "why": "x"}
)


@asynccontextmanager
async def store_on(url: str, namespace: str) -> AsyncGenerator[Store]:
    async with Link.to(url) as link:
        yield Store(link, namespace)


@asynccontextmanager
async def at_work(herald: Herald) -> AsyncGenerator[None]:
    async with beside(herald.run()):
        yield


async def test_an_event_is_read_as_it_was_told(store_url: str, namespace: str) -> None:
    async with store_on(store_url, namespace) as store:
        assert await store.tell([LOST.fields(0), Event(Kind.GAP, Who.ADMIN).fields(250)], 100) == 2
        page = await store.events()
        first, second = page.events
        assert (first.kind, first.who, first.pool, first.server, first.worker) == (
            Kind.SERVER_LOST, Who.WORKER, "echo", "alpha", "alpha.1",
        )  # fmt: skip
        assert (first.reason, first.data) == ("it died", {"code": -9, "why": "x"})
        assert first.id == f"{first.at_ms}-{first.id.partition('-')[2]}"
        assert second.at_ms == int(second.id.partition("-")[0]) - 250
        assert page.newest == page.position == second.id
        assert (await store.events(first.id)).events == (second,)


async def test_texts_are_cut_and_what_cannot_be_read_is_passed_over(store_url: str, namespace: str) -> None:
    async with store_on(store_url, namespace) as store:
        long = Event(Kind.SERVER_LOST, Who.WORKER, reason="x" * 9999, data={"tail": "y" * 9999})
        await store.tell([["v", "9", "kind", "server_lost"], ["v", "1", "kind", "news"], long.fields(0)], 100)
        page = await store.events()
        (event,) = page.events
        assert len(event.reason) == len(event.data["tail"]) == LONGEST
        assert page.position == event.id


async def test_the_stream_is_bounded_and_gone_some_time_after_the_last_event(
    store_url: str, namespace: str
) -> None:
    async with store_on(store_url, namespace) as store:
        for _ in range(20):
            await store.tell([LOST.fields(0)] * 50, 100)
        assert 100 <= await store.link.run("XLEN", store.fleet.events) < 300
        assert 0 < await store.link.run("PTTL", store.fleet.events) <= 604_800_000


async def test_a_trimmed_position_is_noticed_and_a_kept_one_is_whole(store_url: str, namespace: str) -> None:
    async with store_on(store_url, namespace) as store:
        await store.tell([LOST.fields(0)], 100)
        position = (await store.events()).position
        await store.tell([LOST.fields(0)], 100)
        assert (await store.events(position)).whole
        for _ in range(20):
            await store.tell([LOST.fields(0)] * 50, 100)
        assert not (await store.events(position)).whole


@realredis.every_store
async def test_a_herald_tells_on_every_kind_of_store(store_url: str, namespace: str) -> None:
    async with store_on(store_url, namespace) as store:
        herald = Herald(store, 100, time.monotonic)
        async with at_work(herald):
            herald.tell(LOST)
            (event,) = await until(lambda: kept(store))
        assert event.kind is Kind.SERVER_LOST
        assert herald.dropped == 0


async def kept(store: Store) -> tuple[Event, ...]:
    return (await store.events()).events


async def test_while_the_store_is_away_events_wait_and_at_most_one_batch_is_lost(
    store_url: str, namespace: str
) -> None:
    async with Proxy(store_url) as way, store_on(way.url, namespace) as store:
        herald = Herald(store, 100, time.monotonic)
        async with at_work(herald), store_on(store_url, namespace) as direct:
            way.sever("EVALSHA", times=1)
            herald.tell(Event(Kind.SERVER_LOST, Who.WORKER, server="first"))
            await until(lambda: herald.dropped == 1)
            herald.tell(Event(Kind.SERVER_LOST, Who.WORKER, server="second"))
            await until(lambda: named(direct, "second"))
            assert [event.server for event in await kept(direct)].count("second") == 1
        assert herald.dropped == 1


async def named(store: Store, server: str) -> bool:
    return any(event.server == server for event in await kept(store))


async def test_last_words_are_told_without_a_task(store_url: str, namespace: str) -> None:
    async with store_on(store_url, namespace) as store:
        herald = Herald(store, 100, time.monotonic)
        for _ in range(3):
            herald.tell(LOST)
        await herald.last_words()
        assert [event.data.get("count") for event in await kept(store)] == [None, 2]


SWEPT = [
    (SweepEvent.LEADING, {"epoch": 3}, Kind.COORDINATOR_LEADING),
    (SweepEvent.FOLLOWING, {"holder": ""}, Kind.COORDINATOR_FOLLOWING),
    (SweepEvent.RECLAIMED, {}, None),
    (
        SweepEvent.RETIRED,
        {"capability": "p", "server": "s", "worker": "w", "silent_ms": 1200, "moved": 2, "lost": 1},
        Kind.WORKER_DIED,
    ),
    (SweepEvent.FORGOTTEN, {"capability": "p", "count": 5}, Kind.DEAD_DROPPED),
    (SweepEvent.EXPIRED, {}, None),
    (SweepEvent.DOUBT, {}, None),
    (SweepEvent.CUT, {}, None),
    (SweepEvent.BACK, {}, None),
    (SweepEvent.FAULT, {}, None),
]


@pytest.mark.parametrize(("what", "values", "kind"), SWEPT)
def test_what_a_sweeper_does_becomes_news_or_stays_its_own(
    what: SweepEvent, values: dict[str, object], kind: Kind | None
) -> None:
    told = news(what, values, Who.COORDINATOR, "c1")
    assert (told.kind if told else None) is kind


def test_every_event_of_a_sweeper_is_in_the_table() -> None:
    assert {what for what, _, _ in SWEPT} == set(SweepEvent)
