"""Servers that come and go by command: told of once ready, else out again; gone, their work handed back."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from launching import PLAIN, POOL
from mcpweft_coordinator.commissioner import Commissioner
from mcpweft_coordinator.launcher import Launcher, Pace, worker_environment
from mcpweft_coordinator.roster import Roster
from mcpweft_coordinator.secretary import Secretary
from mcpweft_coordinator.steward import Steward
from mcpweft_schemas.circuit import Event as Move
from mcpweft_schemas.circuit import State as Breaker
from mcpweft_schemas.circuit import by_hand, question
from mcpweft_schemas.config import read_base
from mcpweft_schemas.config.layer import Layer
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_schemas.event import Event, Kind
from mcpweft_schemas.herald import Herald
from mcpweft_schemas.life import State
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from mcpweft_schemas.store import Store
    from pool import Pool

SAID = {"command": "never-run", "capabilities": [POOL]}


class Host:
    """A coordinator's part in it, with a launcher of plain workers; `mode` says how they behave."""

    def __init__(self, store: Store, holder: str = "a") -> None:
        self.mode = "well"
        self.told: list[Event] = []
        self.herald = Herald(store, 1000, time.monotonic)
        servers = {"first": SAID, "off": {**SAID, "disabled": True}}
        given = read_base(None, {"servers": servers, "worker": {"grace": "500ms"}}, {})
        base = replace(given, file=given.hand, hand=Layer())  # as if a file said so
        config = base.config()
        self.launcher = Launcher(
            store, config, f"coordinator.{holder}",
            argv=self.argv,
            environ=worker_environment(store.link.url, store.namespace),
            clock=time.monotonic, rng=random.Random(3), pace=Pace(tend=0.02, look=0.1, look_asleep=0.05),
            tell=self.herald.tell,
        )  # fmt: skip
        self.steward = Steward(
            store, base, config, self.launcher.apply, clock=time.monotonic, rng=random.Random(1),
            tell=self.told.append,
        )  # fmt: skip
        secretary = Secretary(store, self.steward, self.told.append)
        self.desk = Commissioner(store, Roster(store), secretary, self.steward, self.told.append)

    def argv(self, server: str, worker: str) -> list[str]:
        if self.mode == "silent":
            return [sys.executable, "-c", "import time; time.sleep(600)"]
        return [sys.executable, PLAIN, server, worker, POOL, self.mode]

    async def add(
        self, name: str = "second", within_s: float = 15.0, by: str = "ann", **said: Any
    ) -> dict[str, Any]:
        return await self.desk.add(name, {**SAID, **said}, within_s, by, "more")

    async def remove(self, name: str) -> dict[str, Any]:
        return await self.desk.remove(name, "ann", "enough")

    def kinds(self, kind: Kind) -> list[Event]:
        return [event for event in self.told if event.kind is kind]


@asynccontextmanager
async def running(host: Host) -> AsyncGenerator[Host]:
    parts = [asyncio.create_task(part.run()) for part in (host.steward, host.herald, host.launcher)]
    try:
        yield host
    finally:
        for task in parts:
            task.cancel()
        await asyncio.wait(parts)


@pytest.fixture
async def host(store: Store, pool: Pool) -> AsyncIterator[Host]:
    async with running(Host(store)) as host:
        yield host


async def usable(store: Store) -> set[str]:
    status = await store.status(POOL)
    assert status is not None
    return {worker.partition(".")[0] for worker, end in status.usable.items() if end > status.now_ms}


async def test_a_server_is_added_once_it_serves_and_told_of_then(host: Host, store: Store) -> None:
    done = await host.add()
    assert "second" in await usable(store), "ready when the answer comes"
    assert (done["server"], done["changed"], done["version"], done["workers"]) == ("second", True, 1, 1)
    (event,) = host.kinds(Kind.SERVER_ADDED)
    assert (event.server, event.reason) == ("second", "more")
    assert event.data == {"by": "ann", "version": 1, "workers": 1}
    edition = await store.edition()
    assert (edition.trials, edition.document) == ((), {"servers": {"second": SAID}})


async def test_a_server_that_is_added_twice_changes_nothing_and_gets_the_same_answer(host: Host) -> None:
    first = await host.add()
    again = await host.add()
    assert (first["changed"], again["changed"]) == (True, False)
    assert (first["version"], first["workers"]) == (again["version"], again["workers"])
    assert len(host.kinds(Kind.SERVER_ADDED)) == 1
    with pytest.raises(InvalidConfigError, match="already, and it is another one"):
        await host.add(concurrency=3)


async def test_two_who_add_the_same_server_at_once_both_get_it_and_it_is_told_once(
    host: Host, store: Store
) -> None:
    answers = await asyncio.gather(host.add(by="ann"), host.add(by="bob"), host.add("third"))
    assert {answer["workers"] for answer in answers} == {1}
    assert sorted(event.server for event in host.kinds(Kind.SERVER_ADDED)) == ["second", "third"]
    edition = await store.edition()
    assert (edition.trials, sorted(edition.document["servers"])) == ((), ["second", "third"])


async def test_a_server_that_crashes_is_taken_out_again_with_its_last_words(host: Host, store: Store) -> None:
    host.mode = "crash"
    with pytest.raises(InvalidConfigError, match=r"taken out again: its worker ended .*weights\.bin"):
        await host.add(within_s=60.0)
    edition = await store.edition()
    assert (edition.document, edition.trials) == ({}, ())
    assert "weights.bin" in edition.reason
    assert host.kinds(Kind.SERVER_ADDED) == []
    await until(lambda: [view.name for view in host.launcher.views()] == ["first"])


async def test_a_server_that_is_never_ready_is_taken_out_after_its_time(host: Host, store: Store) -> None:
    host.mode = "silent"
    began = time.monotonic()
    with pytest.raises(InvalidConfigError, match="no worker of it has come"):
        await host.add(within_s=1.0)
    assert time.monotonic() - began < 10.0
    assert (await store.edition()).document == {}


async def test_what_is_said_wrong_is_refused_before_anything_is_written(host: Host, store: Store) -> None:
    wrong: list[dict[str, Any]] = [{"url": "http://h"}, {"workers": -1}, {"comand": "x"}]
    for said in wrong:
        with pytest.raises(InvalidConfigError):
            await host.add(**said)
    with pytest.raises(InvalidConfigError, match="was not said"):
        await host.desk.add("third", {}, 1.0, "ann", "")
    assert (await store.edition()).version == 0


async def test_a_server_that_sleeps_until_it_is_asked_for_is_not_waited_for(host: Host) -> None:
    done = await host.add(min=0, max=2)
    assert (done["changed"], done["workers"]) == (True, 0)


async def test_a_server_is_removed_once_its_workers_are_gone_and_its_work_is_handed_back(
    host: Host, store: Store, pool: Pool
) -> None:
    await until(lambda: host.launcher.views()[0].up)
    held = await pool.accept(tool="hold", safe=True)  # longer than any grace

    async def is_in(*states: State) -> bool:
        return await pool.state(held) in states

    await until(lambda: is_in(State.RUNNING))
    done = await host.remove("first")
    assert (done["changed"], done["workers"]) == (True, 0)
    assert await usable(store) == set()
    assert await store.tools(POOL) == {}
    assert await is_in(State.QUEUED, State.DELAYED), "for any other server"
    assert (await store.edition()).document == {"servers": {"first": {"disabled": True}}}
    (event,) = host.kinds(Kind.SERVER_REMOVED)
    assert (event.server, event.data) == ("first", {"by": "ann", "version": 1, "left": 0})
    assert not (await host.remove("first"))["changed"]
    assert len(host.kinds(Kind.SERVER_REMOVED)) == 1


async def test_a_server_comes_back_as_it_was(host: Host, store: Store) -> None:
    await until(lambda: host.launcher.views()[0].up)
    await host.remove("first")
    done = await host.desk.add("first", {}, 15.0, "ann", "again")
    assert (done["changed"], done["workers"]) == (True, 1)
    assert (await store.edition()).document == {}


@pytest.mark.parametrize("said", [{}, SAID])
async def test_a_server_that_a_file_switches_off_is_switched_on(
    host: Host, store: Store, said: dict[str, Any]
) -> None:
    done = await host.desk.add("off", said, 15.0, "ann", "now")
    assert (done["changed"], done["workers"]) == (True, 1)
    assert (await store.edition()).document == {"servers": {"off": {**said, "disabled": False}}}


async def test_a_server_that_a_flag_switches_off_is_not_waited_for(host: Host) -> None:
    flags = Layer({"servers": {"off": {"disabled": True}}})
    host.steward.base = replace(host.steward.base, hand=flags)
    with pytest.raises(InvalidConfigError, match="own environment or flags"):
        await host.desk.add("off", {}, 15.0, "ann", "now")


async def test_an_added_server_that_is_removed_leaves_nothing_set_and_can_be_removed_again(
    host: Host, store: Store
) -> None:
    await host.add()
    await host.remove("second")
    assert (await store.edition()).document == {}
    again = await host.remove("second")
    assert (again["changed"], again["workers"]) == (False, 0)
    with pytest.raises(InvalidConfigError, match=r"There is no server 'frist'\. Did you mean 'first'"):
        await host.remove("frist")


async def test_what_was_ordered_of_a_removed_server_does_not_meet_the_next_of_its_name(
    host: Host, store: Store
) -> None:
    await host.add()
    await store.breaker(POOL, by_hand(Move.FORCE_OPEN, "second", "it lies", "m", "ann"))
    await host.remove("second")
    assert (await store.breaker(POOL, question("second"))).state is Breaker.CLOSED


KILLED = """
import asyncio, sys
sys.path.insert(0, {tests!r})
from coordinator.test_commissioner import Host, running
from mcpweft_schemas.connect import Link
from mcpweft_schemas.store import Store

async def main():
    async with Link.to({url!r}) as link:
        async with running(Host(Store(link, {namespace!r}), "b")) as host:
            host.mode = "crash"
            await host.add(within_s=1.0)

asyncio.run(main())
"""


async def test_a_coordinator_that_is_killed_while_it_adds_leaves_a_trial_that_another_ends(
    store: Store, pool: Pool, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    tests: Path = pytestconfig.rootpath / "tests"
    code = KILLED.format(tests=str(tests), url=store.link.url, namespace=store.namespace)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )

    async def on_trial() -> bool:
        return (await store.edition_version())[1]

    await until(on_trial)
    process.kill()
    await process.wait()
    assert json.loads(await store.link.run("HGET", store.fleet.config, "document"))["servers"].keys() == {
        "second"
    }
    monkeypatch.setattr("mcpweft_coordinator.steward._MARGIN_S", 0.5)
    async with running(Host(store)):

        async def ended() -> bool:
            return (await store.edition()).document == {} and not await on_trial()

        await until(ended)
    assert "gone" in (await store.edition()).reason
