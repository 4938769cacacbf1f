"""The launcher: wanted workers run, an exit is told at once, nothing is hidden and nobody is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from launching import PLAIN, POOL, Launchers, Running, config_of
from mcpweft_coordinator import crew
from mcpweft_coordinator.launcher import worker_argv, worker_environment
from mcpweft_coordinator.view import CrewState
from mcpweft_schemas.event import Event, Kind
from mcpweft_schemas.life import State
from mcpweft_schemas.outcome import Code, Executed
from waiting import until

if TYPE_CHECKING:
    from mcpweft_schemas.store import Store
    from pool import Pool


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def up(running: Running, workers: int = 1) -> None:
    await until(lambda: running.view.up == workers, within=15)


async def _is(pool: Pool, request_id: str, *states: State) -> bool:
    return await pool.state(request_id) in states


def test_a_workers_command_line_names_its_server_and_id_and_no_secret() -> None:
    argv = worker_argv(Path("/etc/mcpweft.toml"), [Path("/a/mcp.json")])("git", "git.host.1.abcd")
    assert argv == [
        sys.executable, "-m", "mcpweft_workers", "--server", "git", "--id", "git.host.1.abcd",
        "--config", "/etc/mcpweft.toml", "--include", "/a/mcp.json",
    ]  # fmt: skip
    environ = worker_environment("redis://:secret@h", "shop", {"PATH": "/bin"})
    assert environ == {"PATH": "/bin", "MCPWEFT_URL": "redis://:secret@h", "MCPWEFT_NAMESPACE": "shop"}


# -- running -----------------------------------------------------------------------------------------------


async def test_the_wanted_number_of_workers_runs_and_serves_and_the_table_says_so(
    pool: Pool, launchers: Launchers
) -> None:
    running = launchers.start(config_of({"workers": 2}))
    assert running.launcher.views()[0].state is CrewState.STARTING
    await up(running, 2)
    request_id = await pool.accept()
    await until(lambda: _is(pool, request_id, State.DONE))
    await until(lambda: running.view.tools == 2)
    view = running.view
    assert (view.name, view.kind, view.wanted) == ("echo", "stdio", 2)
    assert (view.state, view.reason) == (CrewState.UP, "")


async def test_a_killed_workers_request_is_told_at_once_and_a_new_worker_starts(
    pool: Pool, launchers: Launchers
) -> None:
    running = launchers.start(config_of())
    await up(running)
    request_id = await pool.accept(tool="hold")  # not safe: silence alone would keep it for 11 s
    await until(lambda: _is(pool, request_id, State.RUNNING))
    (first,) = running.pids.values()
    os.kill(first, signal.SIGKILL)
    died = time.monotonic()
    await until(lambda: _is(pool, request_id, State.DEAD))
    assert time.monotonic() - died < 0.3
    assert await pool.ended_as(request_id) == (State.DEAD, Code.OUTCOME_UNKNOWN, Executed.MAYBE)
    await until(lambda: running.pids and first not in running.pids.values())
    await up(running)
    assert running.view.restarts == 1


async def test_a_killed_workers_safe_request_waits_for_the_next_one_at_once(
    pool: Pool, launchers: Launchers
) -> None:
    running = launchers.start(config_of())
    await up(running)
    request_id = await pool.accept(tool="hold", safe=True)
    await until(lambda: _is(pool, request_id, State.RUNNING))
    (first,) = running.pids.values()
    os.kill(first, signal.SIGKILL)
    await until(lambda: _attempts(pool, request_id, 2), within=15)


async def _attempts(pool: Pool, request_id: str, count: int) -> bool:
    return int((await pool.record(request_id)).get("attempt", 0)) >= count


async def test_a_crash_loop_is_reported_with_the_last_words(pool: Pool, launchers: Launchers) -> None:
    running = launchers.start(config_of(), mode="crash")
    await until(lambda: running.view.state is CrewState.CRASHING, within=20)
    assert "ended with exit code 3" in running.view.reason
    assert running.view.last_lines == ("loading the model", "no such file: weights.bin")
    assert running.view.restarts >= 3


async def test_a_command_that_cannot_be_started_is_reported(pool: Pool, launchers: Launchers) -> None:
    running = launchers.start(config_of(), command=["/nowhere/python"])
    await until(lambda: running.view.state is CrewState.CRASHING, within=20)
    assert "could not be started" in running.view.reason


# -- lazy and idle -----------------------------------------------------------------------------------------


async def test_a_lazy_server_starts_on_the_first_request(pool: Pool, launchers: Launchers) -> None:
    running = launchers.start(config_of({"start": "lazy"}))
    await until(lambda: running.launcher._posts[0].look_at > 0)
    assert running.view.state is CrewState.ASLEEP
    assert not running.pids
    request_id = await pool.accept()
    await until(lambda: _is(pool, request_id, State.DONE), within=15)
    assert running.view.wanted == 1


async def test_a_caller_who_would_not_wait_starts_a_lazy_server_for_the_next(
    pool: Pool, launchers: Launchers
) -> None:
    running = launchers.start(config_of({"start": "lazy"}))
    await until(lambda: running.launcher._posts[0].look_at > 0)
    assert (await pool.enqueue(flags="u")).word == "NO_SERVERS"
    await up(running)
    request_id = await pool.accept(flags="u")
    await until(lambda: _is(pool, request_id, State.DONE))


async def test_idle_workers_are_stopped_and_come_back_with_the_next_request(
    pool: Pool, launchers: Launchers
) -> None:
    running = launchers.start(config_of({"idle_stop": "1s"}))
    await up(running)
    (pid,) = running.pids.values()
    await until(lambda: running.view.state is CrewState.ASLEEP and not running.pids, within=10)
    assert not alive(pid)
    status = await pool.store.status(POOL)
    assert status is not None
    assert not status.members  # it left in order
    assert running.view.restarts == 0
    request_id = await pool.accept()
    await until(lambda: _is(pool, request_id, State.DONE), within=15)


async def test_a_server_that_takes_longer_to_start_than_it_may_be_idle_is_let_begin(
    pool: Pool, launchers: Launchers
) -> None:
    told: list[Event] = []
    launchers.start(config_of({"idle_stop": "1s"}), mode="slow", tell=told.append)

    def exited() -> list[Event]:
        return [event for event in told if event.kind is Kind.WORKER_EXITED]

    (ended,) = await until(exited, within=20)
    assert (ended.data["asked"], ended.data["last"]) == (True, "ready"), "it was ready before it was stopped"


# -- exclusive servers -------------------------------------------------------------------------------------


async def test_an_exclusive_server_runs_under_one_of_two_launchers_and_moves_when_that_one_ends(
    pool: Pool, launchers: Launchers
) -> None:
    config = config_of({"state": "exclusive"})
    first = launchers.start(config, holder="coordinator.a")
    await up(first)
    second = launchers.start(config, holder="coordinator.b")
    await until(lambda: second.launcher._posts[0].renew_at > 0)
    assert second.view.state is CrewState.ELSEWHERE
    assert len(first.pids) == 1
    assert not second.pids
    (pid,) = first.pids.values()
    await first.stop()
    assert not alive(pid)
    await up(second)
    assert len(second.pids) == 1


async def test_an_exclusive_servers_worker_is_killed_when_its_lease_is_no_longer_sure(
    pool: Pool, launchers: Launchers
) -> None:
    running = launchers.start(config_of({"state": "exclusive"}))
    await up(running)
    (pid,) = running.pids.values()
    # Somebody else has it by now, as after a partition that was longer than the lease.
    lease = pool.store.fleet.lease("launch.echo")
    await pool.store.link.run(
        "HSET", lease, "holder", "coordinator.z", "until", str(int(time.time() * 1000) + 3000)
    )
    await until(lambda: not alive(pid), within=2)
    assert running.view.state is CrewState.ELSEWHERE
    await up(running)  # the other one never renews


# -- the end -----------------------------------------------------------------------------------------------


async def test_at_the_end_all_workers_go_and_leave_the_fleet(pool: Pool, launchers: Launchers) -> None:
    running = launchers.start(config_of({"workers": 2}))
    await up(running, 2)
    pids = list(running.pids.values())
    await running.stop()
    assert not [pid for pid in pids if alive(pid)]
    status = await pool.store.status(POOL)
    assert status is not None
    assert not status.members


async def test_a_worker_that_ignores_sigterm_is_killed_after_its_grace_and_a_time_to_hand_back(
    pool: Pool, launchers: Launchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "_HAND_BACK_S", 0.5)
    running = launchers.start(config_of(worker={"grace": 0.5}), mode="deaf")
    await up(running)
    (pid,) = running.pids.values()
    began = time.monotonic()
    await running.stop()
    assert 1.0 <= time.monotonic() - began < 3.5
    assert not alive(pid)


LAUNCH = """
    import asyncio, random, sys, time
    from launching import Launcher, Pace, PLAIN, POOL, config_of, worker_environment
    from mcpweft_coordinator import crew
    from mcpweft_schemas.connect import Link
    from mcpweft_schemas.store import Store

    async def main(url, namespace, mode):
        crew._HAND_BACK_S = 0.5
        async with Link.to(url) as link:
            launcher = Launcher(
                Store(link, namespace), config_of({"workers": 2}, worker={"grace": 0.5}), "coordinator.x",
                argv=lambda server, worker: [sys.executable, PLAIN, server, worker, POOL, mode],
                environ=worker_environment(url, namespace), clock=time.monotonic, rng=random.Random(1),
                pace=Pace(look=0.1),
            )
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(launcher.run())
                while launcher.views()[0].up < 2:
                    await asyncio.sleep(0.02)
                print(*launcher.pids().values(), flush=True)

    asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("mode", ["well", "deaf"])
async def test_a_killed_launcher_leaves_no_worker(store: Store, pool: Pool, mode: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(LAUNCH), store.link.url, store.namespace, mode,
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path(PLAIN).parents[1])},
    )  # fmt: skip
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 20)
    pids = [int(word) for word in line.split()]
    assert len(pids) == 2
    process.kill()
    await process.wait()
    await until(lambda: not [pid for pid in pids if alive(pid)], within=4)
