"""A leader that is followed while it stands still, or is cut off, does no harm when it is back.

Its successor is told to want another number of workers and to deal by another strategy, so a write of the
first that was accepted would be seen.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from beside import beside
from leaders import Process, coordinator
from mcpweft_coordinator.wanted import read_all
from mcpweft_schemas.life import State
from mcpweft_schemas.share import Share
from mcpweft_schemas.sweeper import LEASE
from mcpweft_schemas.word import Word
from proxy import Proxy
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from mcpweft_schemas.store import Reader
    from mcpweft_schemas.wire import Delivery
    from pool import Pool

FIRST, SECOND = 2, 3
"""How many workers the first coordinator wants, and the second."""
DEAD_AFTER = 2.0
RECONNECT = 1.0
"""The longest pause of a worker between two tries to reach the store: `rescue.Policy`."""
PERIODS = 20
"""Times that a follower asks for the lease; each takes 0.13 s at most, and a leader acts once a second."""
LEADS = {"want", "deal", "reclaim", "retire", "sweep", "seal"}
"""What only a leader does."""


def configure(folder: Path, wanted: int, strategy: str, *, lease: float, dead_after: float) -> Path:
    """Make a folder with the configuration of one coordinator."""
    folder.mkdir()
    (folder / "mcpweft.toml").write_text(
        f'[worker]\ndead_after = "{dead_after}s"\n[coordinator]\nlease = "{lease}s"\n'
        f'[strategy]\nname = "{strategy}"\n'
        f'[servers.echo]\ncommand = "never-run"\nmin = {wanted}\ncapabilities = ["echo"]\n'
    )
    return folder


def first_of(tmp_path: Path) -> Path:
    return configure(tmp_path / "first", FIRST, "least_connections", lease=0.4, dead_after=DEAD_AFTER)


def second_of(tmp_path: Path, dead_after: float = DEAD_AFTER) -> Path:
    """The successor's; its lease is so long that no busy machine costs it its term."""
    return configure(tmp_path / "second", SECOND, "round_robin", lease=10, dead_after=dead_after)


@dataclass(frozen=True)
class Ground:
    """What leaders write, as it lies in the store."""

    wanted: int | None
    strategy: str | None
    shares: dict[str, Share]
    epoch: int
    lease_epoch: int


async def ground(pool: Pool) -> Ground:
    store, keys = pool.store, pool.store.keys(pool.capability)
    status = await store.status(pool.capability)
    assert status is not None
    wanted = read_all((await store.muster("", (), 0)).wanted).get("echo")
    shares = await store.link.run("HGETALL", keys.shares)
    return Ground(
        wanted.wanted if wanted else None,
        status.settings.get("strategy"),
        {name.decode(): Share.read(packed) for name, packed in shares.items()},
        int(status.settings.get("epoch", 0)),
        int(await store.link.run("HGET", store.fleet.lease(LEASE), "epoch") or 0),
    )


async def written_by_the_second(pool: Pool, second: Process) -> Ground | None:
    """What lies there once the second one leads and has written all of it."""
    if not second.told("leading"):
        return None
    epoch = second.told("leading")[0]["epoch"]
    found = await ground(pool)
    return found if found == Ground(SECOND, "round_robin", {}, epoch, epoch) else None


async def silence_ms(pool: Pool) -> int:
    """For how long nobody of the pool has been heard."""
    status = await pool.store.status(pool.capability)
    assert status is not None
    return int(status.now_ms - max(status.alive.values()))


@asynccontextmanager
async def beating(pool: Pool, *readers: Reader) -> AsyncGenerator[None]:
    """Let workers beat, as living ones do."""

    async def beat() -> None:
        while True:
            for reader in readers:
                await pool.store.beat(pool.capability, reader, 60_000, b"load")
            await asyncio.sleep(0.1)

    async with beside(beat()):
        yield


async def at_work(pool: Pool, worker: str) -> tuple[Reader, Delivery]:
    """A worker that has joined and has a call in its hands that may run twice."""
    reader = await pool.join(worker, echo=True)
    await pool.accept()
    return reader, await pool.take(reader)


async def still_held(pool: Pool, worker: str, delivery: Delivery) -> bool:
    record = await pool.record(delivery.id)
    return (record["state"], record["worker"], record["entry"]) == (State.RUNNING, worker, delivery.entry)


# -- stopped -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("move", ["want", "deal", "reclaim"])
async def test_what_a_leader_was_about_to_write_when_it_was_stopped_is_refused_after_it_was_followed(
    pool: Pool, tmp_path: Path, move: str
) -> None:
    _, delivery = await at_work(pool, "w")  # silent from now on
    async with coordinator(pool.store, first_of(tmp_path), halt_at=move) as first:
        await until(first.halted, within=30)
        # The successor waits longer for the silent, so nobody but the first would take the call from them.
        async with coordinator(pool.store, second_of(tmp_path, dead_after=60)) as second:
            written = await until(lambda: written_by_the_second(pool, second), within=30)
            old = first.told("leading")[-1]["epoch"]
            assert old < written.epoch
            await until(lambda: _silent_for(pool, DEAD_AFTER))
            first.process.send_signal(signal.SIGCONT)
            await until(lambda: _late(first, {move}), within=30)
            assert await ground(pool) == written
            assert await still_held(pool, "w", delivery)

            await until(lambda: len(_late(first, {"lease"})) >= PERIODS, within=30)
            told = {(line["argument"], line["word"]) for line in _late(first, LEADS)}
            assert told == {(old, "STALE")}
            assert await ground(pool) == written
            assert await still_held(pool, "w", delivery)
            assert first.told("following")
            assert not second.told("following")
            assert await pool.settle(delivery, instance="w") is Word.OK


def _late(process: Process, moves: set[str]) -> list[dict[str, object]]:
    """What it asked of the store after it was woken, with the answers."""
    return [line for line in process.told("move") if line["woken"] and line["move"] in moves]


async def _silent_for(pool: Pool, seconds: float) -> bool:
    return await silence_ms(pool) > seconds * 1000


# -- cut off -----------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_leader_whose_own_link_is_cut_does_nothing_then_or_afterwards_while_another_leads(
    pool: Pool, tmp_path: Path
) -> None:
    reader, delivery = await at_work(pool, "w")
    async with (
        beating(pool, reader),
        Proxy(pool.store.link.url) as way,
        coordinator(pool.store, first_of(tmp_path), url=way.url) as first,
    ):
        await until(lambda: _written_by_the_first(pool), within=30)
        way.hold("want")
        await until(lambda: way.holds("want"))
        way.hush()
        hushed = time.monotonic()
        cut = await ground(pool)
        await until(lambda: first.told("following") and first.told("cut"))
        assert await ground(pool) == cut
        async with coordinator(pool.store, second_of(tmp_path)) as second:
            written = await until(lambda: written_by_the_second(pool, second), within=30)
            await until(lambda: time.monotonic() - hushed > DEAD_AFTER + RECONNECT)
            assert await ground(pool) == written
            way.thaw()  # and what was sent into the cut arrives, the count of the first among it
            await until(lambda: way.answers.get("want") and first.told("back"))
            assert b"STALE" in way.answers["want"][0]
            asked = way.asked.copy()
            await until(lambda: way.asked["lease"] - asked["lease"] >= PERIODS, within=30)
            assert not (way.asked - asked).keys() & LEADS
            assert await ground(pool) == written
            assert not second.told("following")
            await second.stop()
        await until(lambda: _written_by_the_first(pool), within=30)
        await until(lambda: way.asked["sweep"] - asked["sweep"] >= PERIODS, within=30)
        for one in (first, second):
            assert not one.told("reclaimed") + one.told("retired")
        assert await still_held(pool, "w", delivery)
        assert await pool.settle(delivery, instance="w") is Word.OK


async def _written_by_the_first(pool: Pool) -> bool:
    found = await ground(pool)
    return (found.wanted, found.strategy, set(found.shares)) == (FIRST, "least_connections", {"w"})


@pytest.mark.slow
async def test_after_a_cut_nobody_is_judged_before_a_living_worker_would_have_been_heard_again(
    pool: Pool, tmp_path: Path
) -> None:
    back, held = await at_work(pool, "back")
    gone, lost = await at_work(pool, "gone")
    async with (
        Proxy(pool.store.link.url) as way,
        coordinator(pool.store, first_of(tmp_path), url=way.url) as first,
    ):
        async with beating(pool, back, gone):
            await until(lambda: way.asked["sweep"] >= PERIODS, within=30)
            way.hush()
            await until(lambda: first.told("following"))
        # From here on the workers are cut off as well; another one leads, and gives up at the end of the cut.
        lease = await until(lambda: _taken(pool), within=15)
        assert await pool.store.seal(pool.capability, lease) is Word.OK
        await until(lambda: _silent_for(pool, 2 * DEAD_AFTER))
        await pool.store.lease(LEASE, "coordinator.other", 0)
        terms = len(first.told("leading"))
        thawed = time.monotonic()
        way.thaw()
        await until(lambda: len(first.told("leading")) > terms)
        async with beating(pool, back):
            await until(lambda: first.told("reclaimed"), within=30)
            judged = time.monotonic() - thawed
            assert judged >= DEAD_AFTER + RECONNECT
            assert {line["worker"] for line in first.told("reclaimed")} == {"gone"}
            assert not await still_held(pool, "gone", lost)
            assert await still_held(pool, "back", held)
            assert await pool.settle(held, instance="back") is Word.OK
            assert await pool.settle(lost, instance="gone") is Word.LOST


async def _taken(pool: Pool) -> int:
    """Take the lease for a minute; return its epoch."""
    lease = await pool.store.lease(LEASE, "coordinator.other", 60_000)
    return lease.epoch if lease.word is Word.OK else 0
