"""What a leader publishes on a real store is refused once it was followed, taken over, and exported."""

from __future__ import annotations

import json
import random
import time
import uuid
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import realredis
from asking import get
from beside import beside
from mcpweft_coordinator.coordinator import Coordinator, coordinator_id
from mcpweft_coordinator.scaler import TTL_MS
from mcpweft_coordinator.wanted import Wanted, read_all
from mcpweft_schemas.config import Config
from mcpweft_schemas.event import Kind
from mcpweft_schemas.life import Class
from mcpweft_schemas.sweeper import LEASE
from mcpweft_schemas.wire import Submission, pack_request
from mcpweft_schemas.word import Word
from standin import stand_in
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcpweft_schemas.event import Event
    from mcpweft_schemas.store import Store

LEFT = Wanted(2, 2, 0, 3, 2, 2, 0.0, "backlog", 1000, 900, ("echo",))


def config_of(**server: Any) -> Config:
    servers = {"echo": {"command": "never-run", "concurrency": 4, **server}}
    return Config.model_validate(
        {"servers": servers, "coordinator": {"port": 0}, "scaling": {"cooldown": 0.5}}
    )


@asynccontextmanager
async def coordinating(store: Store, config: Config) -> AsyncGenerator[Coordinator]:
    """A coordinator without a launcher."""
    made = Coordinator(store, config, holder=coordinator_id(), clock=time.monotonic, rng=random.Random(5))
    async with beside(made.run()):
        await until(lambda: "echo" in made.scaler.wanted)
        yield made


async def scalings(store: Store) -> list[Event]:
    """The events of scaling that the fleet was told."""
    page = await store.events()
    return [event for event in page.events if event.kind in {Kind.SCALE_NEEDED, Kind.SCALE_DONE}]


async def enqueue(store: Store) -> None:
    given = Submission(
        id=f"echo~{uuid.uuid4().hex}",
        tool="echo",
        klass=Class.NORMAL,
        body=pack_request({}, None),
        timeout_ms=9000,
    )
    assert (await store.enqueue("echo", [given])).items[0].word is Word.OK


async def page(made: Coordinator, path: str) -> str:
    assert made.endpoint is not None
    return (await get(made.endpoint.port, path))[1].decode()


# -- the moves ---------------------------------------------------------------------------------------------


@realredis.every_store
async def test_a_leader_that_was_followed_is_refused_and_writes_nothing(store: Store) -> None:
    first = (await store.lease(LEASE, "coordinator.a", 1)).epoch
    assert await store.want(first, {"echo": b"one"}, TTL_MS) is Word.OK
    await until(lambda: _taken(store))
    assert await store.want(first, {"echo": b"two", "git": b"two"}, TTL_MS) is Word.STALE
    assert (await store.muster("", (), 0)).wanted == {"echo": b"one"}
    assert await store.want(first + 1, {"git": b"three"}, TTL_MS) is Word.OK
    assert (await store.muster("", (), 0)).wanted == {"echo": b"one", "git": b"three"}
    assert 0 < await store.link.run("PTTL", store.fleet.wanted) <= TTL_MS


async def _taken(store: Store) -> bool:
    return (await store.lease(LEASE, "coordinator.b", 5000)).word is Word.OK


@realredis.every_store
async def test_launchers_see_who_is_there_for_which_server_until_they_leave_or_are_silent(
    store: Store,
) -> None:
    await store.muster("host.b", ["echo", "git"], 60_000)
    found = await store.muster("host.a", ["echo"], 60_000)
    assert found.launchers == ("echo host.a", "echo host.b", "git host.b")
    assert (await store.muster("host.b", ["echo"], 0)).launchers == ("echo host.a", "git host.b")
    await store.muster("host.c", ["git"], 1)
    await until(lambda: _only(store, "echo host.a", "git host.b"))


async def _only(store: Store, *members: str) -> bool:
    return (await store.muster("", (), 0)).launchers == members


def test_a_record_is_read_as_it_was_written_and_another_versions_is_passed_over() -> None:
    assert Wanted.read(LEFT.packed()) == LEFT
    assert read_all({"a": LEFT.packed(), "b": b"\xc1", "c": b"\x80"}) == {"a": LEFT}


# -- a leader ----------------------------------------------------------------------------------------------


async def test_what_is_exported_moves_from_none_to_one_on_one_request_with_nobody_acting(
    store: Store,
) -> None:
    async with coordinating(store, config_of(min=0, max=3)) as made:
        await until(lambda: made.sweeper.figures.leading)
        assert 'mcpweft_wanted_workers{server="echo"} 0.0' in await page(made, "/metrics")
        await enqueue(store)
        await until(lambda: made.scaler.wanted["echo"].wanted == 1, within=3)
        metrics, said = await page(made, "/metrics"), json.loads(await page(made, "/v1/scaling"))
        assert 'mcpweft_wanted_workers{server="echo"} 1.0' in metrics
        assert 'mcpweft_pool_wanted_workers{pool="echo"} 1.0' in metrics
        assert said["servers"]["echo"] | {"last_change_ms": 0, "waiting": 0} == {
            "wanted": 1, "need": 1, "min": 0, "max": 3, "running": 0, "ready": 0, "waiting": 0,
            "reason": "request", "last_change_ms": 0, "pools": ["echo"],
        }  # fmt: skip
        assert said["pools"]["echo"]["wanted"] == 1
        (needed,) = await until(partial(scalings, store))
        assert (needed.kind, needed.server, needed.reason) == (Kind.SCALE_NEEDED, "echo", "request")
        assert needed.data == {"before": 0, "wanted": 1}
        await stand_in(store, "echo", "echo.1")

        async def done() -> list[Event]:
            return [event for event in await scalings(store) if event.kind is Kind.SCALE_DONE]

        (ended,) = await until(done)
        assert ended.data["wanted"] == 1


async def test_a_follower_shows_what_the_leader_says_and_goes_on_from_there(store: Store) -> None:
    config = config_of(min=0, max=3)
    async with coordinating(store, config) as second:
        await until(lambda: second.sweeper.figures.leading)
        async with coordinating(store, config) as first:
            await enqueue(store)
            await until(lambda: first.scaler.wanted["echo"].wanted == 1)
            assert not first.sweeper.figures.leading
    changed = second.scaler.wanted["echo"].changed_ms
    async with coordinating(store, config) as third:
        await until(lambda: third.sweeper.figures.leading)
        assert third.scaler.wanted["echo"].wanted == 1
        assert abs(third.scaler.wanted["echo"].changed_ms - changed) < 100
