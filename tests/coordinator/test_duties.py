"""Duties by arq on a real store: once in the fleet, commands with results, no key without a TTL."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from beside import beside
from mcpweft_coordinator.admin import Admin
from mcpweft_coordinator.duties import Duties, control_of, queue_of
from mcpweft_schemas.connect import Link
from mcpweft_schemas.life import State
from mcpweft_schemas.store import Store
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from pool import Pool

NEVER = {"month": {1}, "day": {1}, "hour": {4}, "minute": {0}, "second": {0}}
EACH_SECOND = {"second": set(range(60))}


@asynccontextmanager
async def duties(
    store: Store, holder: str, schedule: dict[str, set[int]], told: Callable[[str], None] | None = None
) -> AsyncGenerator[None]:
    async with Link.to(store.link.url) as link:
        one = Duties(
            Store(link, store.namespace), store.link.url, holder, random.Random(1), schedule=schedule,
            on_tick=told,
        )  # fmt: skip
        async with beside(one.run()):
            yield


async def test_a_tick_runs_once_in_a_fleet_of_three(store: Store, pool: Pool) -> None:
    ran: Counter[str] = Counter()
    by: Counter[str] = Counter()

    def tell(holder: str) -> Callable[[str], None]:
        def told(job_id: str) -> None:
            ran[job_id] += 1
            by[holder] += 1

        return told

    async with (
        duties(store, "coordinator.a", EACH_SECOND, tell("a")),
        duties(store, "coordinator.b", EACH_SECOND, tell("b")),
        duties(store, "coordinator.c", EACH_SECOND, tell("c")),
    ):
        await until(lambda: len(ran) >= 4, within=15)
    assert set(ran.values()) == {1}, ran
    assert all(job_id.startswith(f"mcpweft:{store.namespace}:") for job_id in ran)
    for key in await _arq_keys(store):
        assert int(await store.link.run("PTTL", key)) > 0, key
    await store.link.run("DEL", queue_of(store.namespace))  # a tick that was scheduled and not run


async def _arq_keys(store: Store) -> list[bytes]:
    found: list[bytes] = await store.link.run("KEYS", f"arq:*mcpweft:{store.namespace}:*")
    return found


async def test_members_that_nobody_heard_for_an_hour_are_purged(store: Store, pool: Pool) -> None:
    await pool.join("gone")
    await pool.join("here")
    await store.link.run("ZADD", store.keys(pool.capability).prefix + "alive", 1, "gone")
    async with duties(store, "coordinator.a", EACH_SECOND):
        await until(lambda: _members(pool, {"here"}), within=15)
    await store.link.run("DEL", queue_of(store.namespace))


async def _members(pool: Pool, names: set[str]) -> bool:
    status = await pool.store.status(pool.capability)
    return status is not None and set(status.members) == names


async def test_dead_letters_are_replayed_and_purged_by_command(store: Store, pool: Pool) -> None:
    w1 = await pool.join("w1")
    dead: list[str] = []
    for _ in range(3):
        request_id = await pool.accept(max_attempts=1)
        await pool.settle(await pool.take(w1), "retry")
        assert await pool.state(request_id) is State.DEAD
        dead.append(request_id)
    async with (
        duties(store, "coordinator.a", NEVER),
        Admin(store.link.url, store.namespace) as admin,
    ):
        answers = await admin.replay_dead(pool.capability, [dead[0], "echo~none"], within_s=15)
        word, new_id = answers[dead[0]]
        assert word == "OK"
        assert answers["echo~none"][0] == "UNKNOWN"
        assert await pool.state(new_id) is State.QUEUED
        assert await admin.purge_dead(pool.capability, [dead[1]], within_s=15) == 1
        assert await admin.purge_dead(pool.capability, within_s=15) == 1
        assert await store.dead(pool.capability) == ()
    for key in await _arq_keys(store):
        assert int(await store.link.run("PTTL", key)) > 0, key


def test_duties_need_a_plain_store_of_their_own_where_the_data_is_on_a_cluster() -> None:
    assert control_of("redis://h", None) == "redis://h"
    assert control_of("redis+cluster://h", None) is None
    assert control_of("redis+cluster://h", "redis://c") == "redis://c"
