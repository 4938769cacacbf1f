"""The fleet's configuration: changed by command, followed by every coordinator, and never half or wrong."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from beside import beside
from mcpweft_coordinator.charter import Charter
from mcpweft_coordinator.receipt import Command
from mcpweft_coordinator.secretary import Secretary
from mcpweft_coordinator.steward import Steward
from mcpweft_schemas.config import Base, Config, overlay, read_base
from mcpweft_schemas.edition import Edition, Trial
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_schemas.event import Event, Kind
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcpweft_schemas.store import Store

BASE = read_base(None, {"servers": {"echo": {"command": "x"}}, "queue": {"bound": None}}, {})
ANN = Command("ann", "why")


class Office:
    """One coordinator's part in the configuration, with what it applied and told."""

    def __init__(self, store: Store, base: Base = BASE, clock: Any = time.monotonic) -> None:
        self.applied: list[Config] = []
        self.told: list[Event] = []
        self.steward = Steward(
            store, base, base.config(), self.applied.append, clock=clock, rng=random.Random(1),
            tell=self.told.append,
        )  # fmt: skip
        self.secretary = Secretary(store, self.steward, self.told.append)
        self.charter = Charter(store, self.steward)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with beside(self.steward.run()):
            yield


async def set_bound(office: Office, bound: int) -> dict[str, Any]:
    return await office.secretary.set("queue.bound", str(bound), "ann", "more room")


async def test_what_is_set_is_in_force_here_at_once_and_everywhere_within_a_second(store: Store) -> None:
    here, there = Office(store), Office(store)
    async with there.running():
        done = await set_bound(here, 77)
        began = time.monotonic()
        assert (done["version"], done["changed"]) == (1, ("queue.bound",))
        assert here.steward.config.queue.bound == 77
        await until(lambda: there.steward.config.queue.bound == 77)
        assert time.monotonic() - began < 1.0
    assert [config.queue.bound for config in here.applied] == [77]
    (event,) = here.told
    assert (event.kind, event.reason) == (Kind.CONFIGURATION_UPDATED, "more room")
    assert event.data == {"version": 1, "by": "ann", "keys": "queue.bound"}
    assert there.told == [], "one event a change, not one a coordinator"


async def test_what_is_set_twice_changes_nothing_and_gets_the_same_version(store: Store) -> None:
    office = Office(store)
    await set_bound(office, 77)
    again = await set_bound(office, 77)
    assert (again["version"], again["changed"]) == (1, ())
    assert len(office.told) == 1
    assert len(await store.editions()) == 1


async def test_what_is_wrong_as_a_whole_is_refused_and_nothing_is_written(store: Store) -> None:
    office = Office(store)
    await set_bound(office, 77)
    for key, text in (("queue.low_at", "2"), ("servers.echo.state", "odd"), ("breaker.window", "x")):
        with pytest.raises(InvalidConfigError):
            await office.secretary.set(key, text, "ann", "")
    assert (await store.edition()).version == 1
    assert office.steward.config.queue.low_at < 1


async def test_two_who_change_it_at_once_both_have_their_word(store: Store) -> None:
    one, two = Office(store), Office(store)
    keys = ("queue.bound", "queue.dead_ttl", "scaling.cooldown", "breaker.probes")
    await asyncio.gather(
        *(office.secretary.set(key, "9", by, "") for key in keys for office, by in ((one, "a"), (two, "b")))
    )
    edition = await store.edition()
    assert {".".join(key) for key in overlay.changed({}, edition.document)} == set(keys)
    assert edition.version == len(keys) == len(await store.editions())


async def test_a_process_that_cannot_apply_it_keeps_its_last_good_one_and_says_so_once(store: Store) -> None:
    flags = {"worker": {"inline_result": "2MiB"}, "servers": {"echo": {"command": "x", "min": 2}}}
    other = Office(store, read_base(None, flags, {}))  # its own flags do not go with what is set below
    here = Office(store)
    await set_bound(here, 77)
    await other.steward.catch_up()
    await here.secretary.set("servers.echo.max", "1", "ann", "")
    for _ in range(3):
        await other.steward.catch_up()
    assert (other.steward.config.queue.bound, other.steward.edition.version) == (77, 1)
    (told,) = [event for event in other.told if event.kind is Kind.CONFIGURATION_REFUSED]
    assert "min (2) is over max (1)" in told.reason
    assert told.data == {"version": 2, "kept": 1}
    await here.secretary.unset("servers.echo", "ann", "")
    await other.steward.catch_up()
    assert other.steward.edition.version == 3


async def test_a_version_is_gone_back_to_as_a_new_one(store: Store) -> None:
    office = Office(store)
    for bound in (10, 20, 30):
        await set_bound(office, bound)
    await office.secretary.rollback(1, "ann", "")
    assert office.steward.config.queue.bound == 10
    await office.secretary.rollback(None, "ann", "")
    assert office.steward.config.queue.bound == 30
    await office.secretary.rollback(0, "ann", "")
    assert office.steward.config.queue.bound == BASE.config().queue.bound
    with pytest.raises(InvalidConfigError, match="no version 99"):
        await office.secretary.rollback(99, "ann", "")
    told = [(each["version"], each["reason"]) for each in await office.secretary.history()]
    assert told[:2] == [(6, "back to version 0"), (5, "back to version 3")]


async def test_a_file_is_merged_in_or_is_all_there_is(store: Store) -> None:
    office = Office(store)
    await set_bound(office, 77)
    await office.secretary.apply({"queue": {"low_at": 0.2}}, "ann", "", "merge")
    assert (await store.edition()).document == {"queue": {"bound": "77", "low_at": 0.2}}
    await office.secretary.apply({"queue": {"low_at": 0.2}}, "ann", "", "replace")
    assert (await store.edition()).document == {"queue": {"low_at": 0.2}}


async def test_what_may_be_secret_is_hidden_from_whoever_looks(store: Store) -> None:
    office = Office(store)
    await office.secretary.set("servers.echo.env.TOKEN", "s3cret", "ann", "")
    assert office.steward.config.servers["echo"].env == {"TOKEN": "s3cret"}
    shown = [await office.secretary.get(None), await office.secretary.history()]
    assert "s3cret" not in str(shown)
    assert "TOKEN" in str(shown)
    assert all("s3cret" not in str(event) for event in office.told)
    with pytest.raises(InvalidConfigError, match=r"Did you mean queue\.bound"):
        await office.secretary.get("queue.buond")


async def test_a_store_that_was_wiped_leaves_each_process_its_own(store: Store) -> None:
    office = Office(store)
    await set_bound(office, 77)
    await store.link.run("DEL", store.fleet.config, store.fleet.config_history)
    await office.steward.catch_up()
    assert office.steward.config.queue.bound == BASE.config().queue.bound


async def test_a_trial_whose_coordinator_is_gone_is_ended_by_another(store: Store) -> None:
    now = 0.0
    office = Office(store, clock=lambda: now)
    late = {"servers": {"late": {"command": "never"}}, "queue": {"bound": 7}}
    await store.amend(Edition(0, late, "ann", "", trials=(Trial("late", 30.0, "ann", "m"),)), "m1")
    await office.steward.catch_up()
    assert "late" in office.steward.config.servers
    now = 39.0
    await office.steward.catch_up()
    assert (await store.edition()).version == 1
    now = 41.0
    await office.steward.catch_up()
    await office.steward.catch_up()
    assert (await store.edition()).document == {"queue": {"bound": 7}}
    assert "late" not in office.steward.config.servers
