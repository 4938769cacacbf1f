"""Launchers that act on what is wanted: they divide it, grow, drain, and sleep."""

from __future__ import annotations

import random
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from beside import beside
from launching import POOL, Launchers, config_of
from mcpweft_coordinator.coordinator import Coordinator, coordinator_id
from mcpweft_coordinator.launcher import Launcher, Pace, worker_argv, worker_environment
from mcpweft_coordinator.view import CrewState
from mcpweft_coordinator.wanted import Wanted
from mcpweft_schemas.config import load_config
from mcpweft_schemas.outcome import Code
from mcpweft_schemas.portion import part_of
from waiting import until
from workbench import SERVERS, Bench

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from launching import Running
    from mcpweft_schemas.config import Config
    from mcpweft_schemas.store import Store
    from pool import Pool


ECHO = SERVERS / "echo.py"


async def want(store: Store, count: int) -> None:
    said = Wanted(count, count, 0, 9, 0, 0, 0.0, "backlog", 0, None, (POOL,))
    await store.want(0, {"echo": said.packed()}, 30_000)


async def runs(running: Running, count: int) -> None:
    await until(lambda: len(running.pids) == count and running.view.up == count)


def test_the_parts_of_all_launchers_add_up() -> None:
    hosts = ("a", "b", "c")
    for whole in range(8):
        assert sum(part_of(whole, hosts, host) for host in hosts) == whole
    assert part_of(5, hosts, "stranger") == 0


async def test_a_launcher_runs_as_many_as_are_wanted(pool: Pool, launchers: Launchers) -> None:
    running = launchers.start(config_of({"min": 0, "max": 9}))
    await until(lambda: running.launcher._call_at > 0)
    assert running.view.state is CrewState.ASLEEP
    await want(pool.store, 2)
    await runs(running, 2)
    await want(pool.store, 1)
    await runs(running, 1)
    await want(pool.store, 0)
    await until(lambda: not running.pids and running.view.state is CrewState.ASLEEP)
    assert running.view.restarts == 0


async def test_two_launchers_divide_what_is_wanted_and_one_takes_over_when_the_other_ends(
    pool: Pool, launchers: Launchers
) -> None:
    await want(pool.store, 3)
    config = config_of({"min": 0, "max": 9})
    first = launchers.start(config, holder="coordinator.a")
    second = launchers.start(config, holder="coordinator.b")
    await runs(first, 2)
    await runs(second, 1)
    await first.stop()
    await runs(second, 3)


async def test_an_exclusive_server_that_scales_runs_where_its_lease_is(
    pool: Pool, launchers: Launchers
) -> None:
    await want(pool.store, 1)
    config = config_of({"min": 0, "state": "exclusive"})
    both = [launchers.start(config, holder=f"coordinator.{name}") for name in "ba"]
    await until(lambda: sum(running.view.up for running in both) == 1)
    assert sum(len(running.pids) for running in both) == 1


# -- with real workers -------------------------------------------------------------------------------------


@asynccontextmanager
async def fabric(bench: Bench, config: Config, tmp_path: Path) -> AsyncGenerator[Coordinator]:
    """A coordinator with a launcher of real workers, as `mcpweft up` has it."""
    holder, rng = coordinator_id(), random.Random(5)
    launcher = Launcher(
        bench.store, config, holder, argv=worker_argv(tmp_path / "mcpweft.toml"),
        environ=worker_environment(bench.url, bench.namespace), clock=time.monotonic, rng=rng,
        pace=Pace(tend=0.02, look=0.2, look_asleep=0.05),
    )  # fmt: skip
    made = Coordinator(bench.store, config, holder=holder, clock=time.monotonic, rng=rng, launcher=launcher)
    await made.registrar.declare()
    async with beside(made.run()):
        yield made


def written(bench: Bench, tmp_path: Path, **server: Any) -> Config:
    """The configuration of the echo server, and the same as the file that its workers read."""
    lines = [
        f'command = "{sys.executable}"', f'args = ["{ECHO}", "--ledger", "{bench.ledger}"]',
        'mode = "legacy"',
        *(f"{key} = {value}" for key, value in server.items()),
    ]  # fmt: skip
    file = tmp_path / "mcpweft.toml"
    head = f'namespace = "{bench.namespace}"\n[scaling]\ncooldown = "2s"\ntarget_wait = "200ms"\n'
    file.write_text(head + "[servers.echo]\n" + "\n".join(lines) + "\n")
    return load_config(file)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_under_load_a_sleeping_server_grows_to_its_most_and_sleeps_again_and_no_call_is_lost_or_cut(
    bench: Bench, tmp_path: Path
) -> None:
    config = written(bench, tmp_path, min=0, max=3, concurrency=2)
    async with fabric(bench, config, tmp_path) as made:
        await until(lambda: "echo" in made.scaler.wanted)
        launcher = made.launcher
        assert launcher is not None
        assert made.views()[0].state is CrewState.ASLEEP
        ids = [
            request_id
            for _ in range(3)
            for request_id in await bench.enqueue_many([("sleep", {"ms": 200})] * 50)
        ]
        most = [0]

        def asleep_again() -> bool:
            most[0] = max(most[0], made.views()[0].up)
            return most[0] > 0 and made.views()[0].state is CrewState.ASLEEP and not launcher.pids()

        await until(asleep_again, within=90)
        outcomes = [await bench.outcome(request_id) for request_id in ids]
        assert {outcome.code for outcome in outcomes} == {Code.OK}
        assert {outcome.attempt for outcome in outcomes} == {1}
        assert most == [3]
        assert made.views()[0].restarts == 0


async def test_a_worker_that_is_drained_ends_its_calls_however_long_and_hands_nothing_back_cut(
    bench: Bench, tmp_path: Path
) -> None:
    config = written(bench, tmp_path, min=0, max=3, concurrency=4)
    config = config.model_copy(update={"worker": config.worker.model_copy(update={"grace": 0.3})})
    holder = coordinator_id()
    launcher = Launcher(
        bench.store, config, holder, argv=worker_argv(tmp_path / "mcpweft.toml"),
        environ=worker_environment(bench.url, bench.namespace), clock=time.monotonic, rng=random.Random(5),
        pace=Pace(tend=0.02, look=0.1, look_asleep=0.05),
    )  # fmt: skip
    async with beside(launcher.run()):
        await want(bench.store, 1)
        await until(lambda: launcher.views()[0].up == 1)
        long = await bench.enqueue("sleep", {"ms": 1500})
        await until(lambda: _is_running(bench, long))
        await want(bench.store, 0)
        await until(lambda: launcher.views()[0].state is CrewState.STOPPING)
        assert launcher.pids()
        late = await bench.enqueue("echo", {"text": "late"})  # nobody takes it until there is a worker again
        await until(lambda: not launcher.pids())
        assert (await bench.outcome(long)).code is Code.OK
        await want(bench.store, 1)
        assert (await bench.outcome(late)).code is Code.OK


async def _is_running(bench: Bench, request_id: str) -> bool:
    return await bench.state(request_id) == "running"
