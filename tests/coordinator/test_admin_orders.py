"""Orders to servers by command: what is told, what a repeat does, and where nobody takes a command."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from beside import beside
from launching import POOL
from mcpweft_coordinator import admin as administration
from mcpweft_coordinator.admin import Admin, CommandUnansweredError, NoCoordinatorError
from mcpweft_coordinator.clerk import Clerk
from mcpweft_coordinator.duties import Duties, queue_of
from mcpweft_schemas.circuit import State, question
from mcpweft_schemas.config import Config
from mcpweft_schemas.connect import Link
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_schemas.event import Event, Kind, Who
from mcpweft_schemas.packing import pack
from mcpweft_schemas.store import Reader, Store
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from mcpweft_coordinator.duties import Handler
    from pool import Pool

NEVER = {"month": {1}, "day": {1}, "hour": {4}, "minute": {0}, "second": {0}}
SERVERS = {"Echo": {"command": "never-run", "capabilities": [POOL]}}
CONFIG = Config.model_validate({"servers": SERVERS})


@asynccontextmanager
async def served(store: Store, commands: Mapping[str, Handler], holder: str = "a") -> AsyncGenerator[None]:
    """Commands that a coordinator's duties carry out."""
    async with Link.to(store.link.url) as link:
        one = Duties(
            Store(link, store.namespace), store.link.url, f"coordinator.{holder}", random.Random(1),
            schedule=NEVER, commands=commands,
        )  # fmt: skip
        async with beside(one.run()):
            yield


@pytest.fixture
async def told() -> list[Event]:
    return []


@pytest.fixture
async def admin(store: Store, pool: Pool, told: list[Event]) -> AsyncIterator[Admin]:
    """Gives commands to a coordinator that runs; in its pool is one worker of the server `echo`."""
    reader = Reader("w1", "echo", "w1", pool.incarnation, 1)
    info = pack({"server": "echo", "instance": "w1", "kind": "stdio", "capabilities": [POOL]})
    await store.register(POOL, reader, info, [])
    load = pack({"in_flight": 2, "breaker": "closed", "health": "healthy", "usable": True})
    await store.beat(POOL, reader, 600_000, load)
    clerk = Clerk(store, lambda: CONFIG, told.append)
    async with (
        served(store, clerk.commands()),
        Admin(store.link.url, store.namespace, by="ann@desk") as admin,
    ):
        yield admin


async def state(store: Store) -> State:
    return (await store.breaker(POOL, question("echo"))).state


async def test_the_list_tells_what_is_configured_what_runs_and_what_was_ordered(admin: Admin) -> None:
    await admin.drain("Echo", "new disk")
    (row,) = await admin.servers()
    assert (row.name, row.server, row.kind, row.capabilities) == ("Echo", "echo", "stdio", (POOL,))
    assert (row.configured, row.workers, row.usable, row.in_flight) == (True, 1, 1, 2)
    assert (row.state, row.health, row.breaker) == ("cordoned", "healthy", "cordoned")
    assert row.order is not None
    assert (row.order.state, row.order.by, row.order.reason) == ("cordoned", "ann@desk", "new disk")
    assert row.order.at_ms > 0


async def test_an_order_that_is_given_twice_changes_nothing_and_gets_the_same_answer(
    admin: Admin, store: Store, told: list[Event]
) -> None:
    first = await admin.failover("echo", "it lies")
    again = await admin.failover("echo", "another reason")
    assert (first.state, first.changed, again.changed) == ("forced_open", True, False)
    assert first.order == again.order
    assert await state(store) is State.FORCED_OPEN
    (event,) = told
    assert (event.kind, event.who, event.server, event.reason) == (
        Kind.SERVER_ORDERED, Who.ADMIN, "echo", "it lies",
    )  # fmt: skip
    expected = {"order": "failover", "by": "ann@desk", "before": "closed", "after": "forced_open"}
    assert event.data == expected


async def test_uncordon_undoes_a_drain_alone_and_reset_undoes_everything(admin: Admin, store: Store) -> None:
    await admin.cordon("echo")
    assert (await admin.uncordon("echo")).changed
    assert await state(store) is State.CLOSED
    await admin.failover("echo", "it lies")
    left = await admin.uncordon("echo")
    assert (left.changed, left.state) == (False, "forced_open")
    reset = await admin.reset("echo")
    assert (reset.changed, reset.state, reset.order) == (True, "closed", None)
    assert not (await admin.reset("echo")).changed


async def test_of_two_who_order_the_same_at_once_one_changes_it(
    admin: Admin, store: Store, told: list[Event]
) -> None:
    async with Admin(store.link.url, store.namespace, by="bob") as other:
        receipts = await asyncio.gather(admin.drain("echo", "a"), other.drain("echo", "b"))
    assert sorted(receipt.changed for receipt in receipts) == [False, True]
    assert receipts[0].order == receipts[1].order
    assert len(told) == 1


async def test_a_misspelt_server_is_refused_with_the_near_name(admin: Admin) -> None:
    with pytest.raises(InvalidConfigError, match=r"There is no server 'ehco'\. Did you mean 'echo'\?"):
        await admin.drain("ehco")


async def test_a_command_that_no_coordinator_takes_is_taken_back_and_never_done(
    store: Store, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(administration, "TAKEN_S", 0.3)
    async with Admin(store.link.url, store.namespace) as admin:
        with pytest.raises(NoCoordinatorError, match=r"No coordinator .* Nothing was done\. Start one"):
            await admin.drain("echo")
    assert not await store.link.run("EXISTS", queue_of(store.namespace))
    assert not await store.link.run("KEYS", f"arq:job:mcpweft:{store.namespace}:*")


async def test_a_command_that_is_taken_and_not_answered_may_have_been_done(store: Store, pool: Pool) -> None:
    began = asyncio.Event()

    async def hang(*_: Any) -> None:
        began.set()
        await asyncio.Event().wait()

    async with Admin(store.link.url, store.namespace) as admin:
        async with served(store, {"drain": hang}):
            with pytest.raises(CommandUnansweredError, match="It may have been carried out"):
                await admin.drain("echo", within_s=3.0)
            assert began.is_set()
            began.clear()
            giving = asyncio.create_task(admin.drain("echo", within_s=10.0))
            await until(began.is_set)
        with pytest.raises(CommandUnansweredError, match="It may have been carried out"):
            await giving  # its coordinator ended in the middle of it


async def test_a_store_that_is_away_is_told_at_once() -> None:
    with pytest.raises(NoCoordinatorError, match="was not reached"):
        async with Admin("redis://127.0.0.1:1", "default"):
            pass
