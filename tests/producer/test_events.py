"""Reading the fleet's events: what is kept, what comes, what a cut connection and a trim do."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

import pytest

from mcpweft import Client, Event, InvalidConfigError, Kind, ShuttingDownError, SyncClient
from mcpweft_schemas.connect import Link
from mcpweft_schemas.event import Who
from mcpweft_schemas.store import Store
from proxy import Proxy
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator


@pytest.fixture
async def store(store_url: str, namespace: str) -> AsyncIterator[Store]:
    async with Link.to(store_url) as link:
        yield Store(link, namespace)


async def tell(store: Store, *reasons: str, keep: int = 10_000) -> None:
    """Tell an event with each of these reasons."""
    events = [Event(Kind.SERVER_LOST, Who.WORKER, server="s", reason=reason) for reason in reasons]
    for start in range(0, len(events), 50):
        await store.tell([event.fields(0) for event in events[start : start + 50]], keep)


async def reasons(source: AsyncGenerator[Event]) -> list[str]:
    return [event.reason for event in [event async for event in source]]


class Ear:
    """A follower in a task, and what it has heard."""

    def __init__(self, source: AsyncGenerator[Event]) -> None:
        self.heard: list[Event] = []
        self._source = source

    @property
    def reasons(self) -> list[str]:
        return [event.reason for event in self.heard]

    async def _listen(self) -> None:
        async for event in self._source:
            self.heard.append(event)

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ShuttingDownError):
            await self.task
        await self._source.aclose()


async def test_what_is_kept_is_read_oldest_first_in_pages(client: Client, store: Store) -> None:
    said = [f"{number}" for number in range(450)]
    await tell(store, *said)
    assert await reasons(client.events()) == said


async def test_a_reading_begins_so_far_back_or_behind_an_event(client: Client, store: Store) -> None:
    await tell(store, "one", "two", "three")
    events = [event async for event in client.events()]
    assert await reasons(client.events(events[1].id)) == ["three"]
    assert await reasons(client.events("1h")) == ["one", "two", "three"]
    assert await reasons(client.events(0)) == []
    with pytest.raises(InvalidConfigError, match="since"):
        await reasons(client.events("soon"))


async def test_following_begins_with_what_comes_and_goes_on(client: Client, store: Store) -> None:
    await tell(store, "before")
    async with Ear(client.events(follow=True)) as ear:
        await until(lambda: saying(store, ear))
        await tell(store, "after", "and on")
        await until(lambda: ear.reasons[-2:] == ["after", "and on"])
        assert set(ear.reasons[:-2]) == {"hello"}


async def saying(store: Store, ear: Ear) -> bool:
    """Whether a follower hears by now: it is told something each time one looks."""
    await tell(store, "hello")
    assert "before" not in ear.reasons
    return bool(ear.heard)


async def test_a_cut_connection_costs_no_event_and_brings_none_twice(
    store_url: str, namespace: str, store: Store
) -> None:
    async with Proxy(store_url) as way, Client(way.url, namespace=namespace) as client:
        follower = client.events("1h", follow=True)
        async with Ear(follower) as ear:
            await tell(store, "one")
            await until(lambda: ear.reasons == ["one"])
            for turn in range(3):
                await way.shut()
                await tell(store, f"away {turn}")
                await way.reopen()
                await tell(store, f"back {turn}")
                await until(lambda: ear.reasons[-1] == f"back {turn}")  # noqa: B023  # waited for at once
            said = [f"{what} {turn}" for turn in range(3) for what in ("away", "back")]
            assert ear.reasons == ["one", *said]


async def test_a_position_that_was_trimmed_away_is_said_to_be_gone(client: Client, store: Store) -> None:
    await tell(store, "old")
    (old,) = [event async for event in client.events()]
    await tell(store, *[f"{number}" for number in range(1000)], keep=100)
    read = [event async for event in client.events(old.id)]
    assert read[0].kind is Kind.GAP
    assert read[0].id == old.id
    assert [event.kind for event in read].count(Kind.GAP) == 1
    assert read[-1].reason == "999"


async def test_a_wiped_stream_is_said_to_be_gone_and_read_anew(client: Client, store: Store) -> None:
    async with Ear(client.events("1h", follow=True)) as ear:
        await tell(store, "old")
        await until(lambda: ear.reasons == ["old"])
        await store.link.run("DEL", store.fleet.events)
        await until(lambda: [event.kind for event in ear.heard[1:]] == [Kind.GAP])
        await tell(store, "new")
        await until(lambda: ear.reasons[-1] == "new")
        assert len(ear.heard) == 3


async def test_following_ends_when_the_client_is_closed(store_url: str, namespace: str) -> None:
    async with Client(store_url, namespace=namespace) as client:
        ear = Ear(client.events(follow=True))
        await ear.__aenter__()
    with pytest.raises(ShuttingDownError):
        await asyncio.wait_for(ear.task, 10)


async def test_the_blocking_client_reads_and_follows_them_too(
    store_url: str, namespace: str, store: Store
) -> None:
    await tell(store, "one", "two")

    def read() -> tuple[list[str], str]:
        with SyncClient(store_url, namespace=namespace) as client:
            kept = [event.reason for event in client.events()]
            return kept, next(iter(client.events("1h", follow=True))).reason

    assert await asyncio.to_thread(read) == (["one", "two"], "one")
