"""Coordinators as processes: one is killed or stopped, the other leads within a second and is obeyed."""

from __future__ import annotations

import random
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from asking import get
from beside import beside
from leaders import coordinator
from mcpweft_schemas.connect import Link
from mcpweft_schemas.store import Store
from mcpweft_schemas.sweeper import LEASE, Policy, Sweeper
from mcpweft_schemas.word import Word
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from pool import Pool


@asynccontextmanager
async def follower(store: Store) -> AsyncGenerator[Sweeper]:
    async with Link.to(store.link.url) as link:
        sweeper = Sweeper(
            Store(link, store.namespace), "coordinator.follower", Policy(), clock=time.monotonic,
            rng=random.Random(5),
        )  # fmt: skip
        async with beside(sweeper.run()):
            yield sweeper


async def sealed(pool: Pool, epoch: int) -> bool:
    status = await pool.store.status(pool.capability)
    return status is not None and int(status.settings.get("epoch", 0)) == epoch


async def test_a_killed_leader_is_followed_and_the_pools_sealed_within_a_second(
    pool: Pool, tmp_path: Path
) -> None:
    async with coordinator(pool.store, tmp_path) as leader:
        await until(lambda: leader.told("leading"), within=15)
        async with follower(pool.store) as other:
            await until(lambda: other.figures.holder.startswith("coordinator.") and other.connected)
            leader.process.kill()
            killed = time.monotonic()
            await until(lambda: other.figures.leading)
            await until(lambda: sealed(pool, other.figures.epoch))
            assert time.monotonic() - killed < 1.0
            assert other.figures.epoch == leader.told("leading")[0]["epoch"] + 1


async def test_a_stopped_leader_is_followed_and_refused_when_it_wakes_up(pool: Pool, tmp_path: Path) -> None:
    async with coordinator(pool.store, tmp_path) as leader:
        await until(lambda: leader.told("leading"), within=15)
        old = leader.told("leading")[0]["epoch"]
        async with follower(pool.store) as other:
            await until(lambda: other.figures.holder.startswith("coordinator.") and other.connected)
            leader.process.send_signal(signal.SIGSTOP)
            stopped = time.monotonic()
            await until(lambda: other.figures.leading)
            await until(lambda: sealed(pool, other.figures.epoch))
            assert time.monotonic() - stopped < 1.0
            leader.process.send_signal(signal.SIGCONT)
            await until(lambda: leader.told("following"))
            assert (await pool.store.sweep(pool.capability, old)).word is Word.STALE
            assert await pool.store.seal(pool.capability, old) is Word.STALE
            assert other.figures.leading
            assert other.figures.terms == 1


async def test_a_coordinator_ends_in_order_at_sigterm_and_gives_its_lease_up(
    pool: Pool, tmp_path: Path
) -> None:
    async with coordinator(pool.store, tmp_path) as leader:
        await until(lambda: leader.told("leading"), within=15)
        assert await leader.stop() == 0
    lease = await pool.store.lease(LEASE, "coordinator.next", 1)
    assert lease.word is Word.OK


async def test_a_coordinator_declares_the_configured_pools_with_their_bounds_also_after_a_wipe(
    pool: Pool, tmp_path: Path
) -> None:
    (tmp_path / "mcpweft.toml").write_text(
        f'namespace = "{pool.store.namespace}"\n[queue]\nbound = 77\n'
        '[servers.git]\ncommand = "git-server"\n[servers.web]\nurl = "http://127.0.0.1:1/mcp"\n'
        'capabilities = ["fetch", "search"]\n'
    )
    async with coordinator(pool.store, tmp_path):
        wanted = {"fetch", "git", "search"}
        await until(lambda: _declared(pool.store, wanted), within=15)
        for name in wanted:
            await pool.store.link.run("DEL", pool.store.keys(name).pool)
        await pool.store.link.run("DEL", pool.store.fleet.pools)
        await until(lambda: _declared(pool.store, wanted), within=5)


async def _declared(store: Store, names: set[str]) -> bool:
    found = {name: await store.status(name) for name in names}
    return names <= set(await store.pools()) and all(
        status is not None and status.settings.get("bound") == "77" for status in found.values()
    )


async def test_the_port_answers_health_and_metrics(pool: Pool, tmp_path: Path) -> None:
    async with coordinator(pool.store, tmp_path, "--port", "0") as leader:
        await until(lambda: leader.told("listening") and leader.told("leading"), within=15)
        port = leader.told("listening")[0]["port"]
        assert (await get(port, "/healthz"))[0] == 200
        assert (await get(port, "/readyz"))[0] == 200
        assert (await get(port, "/nothing"))[0] == 404
        status, metrics = await get(port, "/metrics")
        text = metrics.decode()
        assert status == 200
        assert "mcpweft_coordinator_leader 1.0" in text
        assert f"mcpweft_coordinator_epoch {float(leader.told('leading')[0]['epoch'])}" in text
        assert 'mcpweft_coordinator_requests_total{outcome="reclaimed"} 0.0' in text


async def test_a_coordinator_whose_store_is_away_lives_and_is_not_ready(tmp_path: Path) -> None:
    async with (
        Link.to("redis://127.0.0.1:1") as link,
        coordinator(Store(link, "nowhere"), tmp_path, "--port", "0") as lonely,
    ):
        await until(lambda: lonely.told("listening") and lonely.told("cut"), within=15)
        assert (await get(lonely.told("listening")[0]["port"], "/healthz"))[0] == 200
        assert (await get(lonely.told("listening")[0]["port"], "/readyz"))[0] == 503
        assert await lonely.stop() == 0
