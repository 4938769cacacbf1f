"""Another configuration, applied by a launcher while its workers run: real processes, calls in flight."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from launching import POOL, Launchers, Running
from mcpweft_coordinator.view import CrewState
from mcpweft_schemas.config import Config
from mcpweft_schemas.life import State
from waiting import until

if TYPE_CHECKING:
    from mcpweft_coordinator.view import ServerView
    from mcpweft_schemas.store import Store
    from pool import Pool


def config(grace: float = 5.0, **servers: dict[str, Any]) -> Config:
    named = {name: {"command": "never-run", "capabilities": [POOL], **more} for name, more in servers.items()}
    return Config.model_validate({"servers": named, "worker": {"grace": grace}})


def view(running: Running, name: str) -> ServerView | None:
    return next((view for view in running.launcher.views() if view.name == name), None)


def serves(running: Running, name: str, workers: int = 1) -> bool:
    seen = view(running, name)
    return seen is not None and (seen.up, seen.wanted) == (workers, workers)


async def members(store: Store) -> set[str]:
    status = await store.status(POOL)
    assert status is not None
    return {worker.partition(".")[0] for worker in status.members}


async def is_in(pool: Pool, request_id: str, *states: State) -> bool:
    return await pool.state(request_id) in states


async def test_a_server_that_comes_is_started_and_one_that_goes_ends(
    pool: Pool, launchers: Launchers, store: Store
) -> None:
    running = launchers.start(config(a={}))
    await until(lambda: serves(running, "a"))
    running.launcher.apply(config(a={}, b={}))
    await until(lambda: serves(running, "b"))
    assert serves(running, "a"), "what has not changed goes on"
    running.launcher.apply(config(b={}))

    async def gone() -> bool:
        return view(running, "a") is None and await members(store) == {"b"}

    await until(gone)
    assert serves(running, "b")


async def test_more_and_fewer_workers_are_had_without_a_restart(pool: Pool, launchers: Launchers) -> None:
    running = launchers.start(config(a={}))
    await until(lambda: serves(running, "a"))
    (first,) = running.pids
    running.launcher.apply(config(a={"workers": 3}))
    await until(lambda: serves(running, "a", 3))
    assert first in running.pids
    running.launcher.apply(config(a={"workers": 0}))
    await until(lambda: not running.pids)


async def test_the_workers_of_what_has_changed_are_replaced_and_one_serves_at_every_moment(
    pool: Pool, launchers: Launchers, store: Store
) -> None:
    running = launchers.start(config(a={"workers": 2}))
    await until(lambda: serves(running, "a", 2))
    before = set(running.pids)
    running.launcher.apply(config(a={"workers": 2, "concurrency": 3}))
    most, least = 0, 9

    async def replaced() -> bool:
        nonlocal most, least
        status = await store.status(POOL)
        assert status is not None
        least = min(least, sum(until > status.now_ms for until in status.usable.values()))
        most = max(most, len(running.pids))
        return not before & set(running.pids) and serves(running, "a", 2)

    await until(replaced, within=20)
    assert least >= 1
    assert most <= 4, "two that serve, one that comes, one that goes"


def nowhere(server: str, worker: str) -> list[str]:
    return ["/nowhere/python", server, worker]


async def test_a_change_that_never_serves_leaves_the_old_workers_as_they_are(
    pool: Pool, launchers: Launchers
) -> None:
    running = launchers.start(config(a={"workers": 2}))
    await until(lambda: serves(running, "a", 2))
    before = set(running.pids)
    running.launcher._argv = nowhere
    running.launcher.apply(config(a={"workers": 2, "concurrency": 3}))

    def failing() -> bool:
        seen = view(running, "a")
        assert seen is not None
        return running.launcher._posts[0].crew._failures >= 3 and seen.state is CrewState.UP

    await until(failing)
    assert before <= set(running.pids)
    running.launcher.apply(config(a={"workers": 2}))
    await until(lambda: serves(running, "a", 2))


async def test_a_server_that_goes_finishes_its_calls_within_the_grace_and_hands_back_the_rest(
    pool: Pool, launchers: Launchers, store: Store
) -> None:
    running = launchers.start(config(0.5, a={}))
    await until(lambda: serves(running, "a"))
    request_id = await pool.accept(tool="hold", safe=True)  # holds for longer than any grace
    await until(lambda: is_in(pool, request_id, State.RUNNING))
    began = time.monotonic()
    running.launcher.apply(config(0.5, b={"capabilities": ["other"]}))
    await until(lambda: is_in(pool, request_id, State.DELAYED, State.QUEUED))
    assert time.monotonic() - began < 10.0

    async def left() -> bool:
        return "a" not in await members(store) and view(running, "a") is None

    await until(left)


async def test_a_server_that_comes_back_is_not_started_before_its_last_worker_is_gone(
    pool: Pool, launchers: Launchers
) -> None:
    running = launchers.start(config(a={}))
    await until(lambda: serves(running, "a"))
    (first,) = running.pids
    await pool.accept(tool="hold")
    running.launcher.apply(config(b={}))
    running.launcher.apply(config(a={"state": "exclusive"}, b={}))
    seen: set[str] = set()

    def back() -> bool:
        seen.update(running.pids)
        return serves(running, "a")

    await until(back)
    assert first not in running.pids


async def test_an_exclusive_server_s_old_worker_goes_before_the_new_one_comes(
    pool: Pool, launchers: Launchers
) -> None:
    running = launchers.start(config(a={"state": "exclusive"}))
    await until(lambda: serves(running, "a"))
    (first,) = running.pids
    running.launcher.apply(config(a={"state": "exclusive", "concurrency": 2}))
    await until(lambda: first not in running.pids and serves(running, "a"))


async def test_a_fixed_number_becomes_one_that_follows_the_load_and_back(
    pool: Pool, launchers: Launchers
) -> None:
    running = launchers.start(config(a={"workers": 1}))
    await until(lambda: serves(running, "a"))
    running.launcher.apply(config(a={"min": 2, "max": 3}))
    await until(lambda: serves(running, "a", 2))
    running.launcher.apply(config(a={"workers": 1}))
    await until(lambda: serves(running, "a"))
