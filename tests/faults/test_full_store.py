"""A store that has no room: it takes no write at all (its disk is full), or no more work (its memory is).

Its disk is full when none of its files may grow any more, by a limit on its process: then a write to its
append-only file fails, and it refuses whatever would write until that write has gone through.
"""

from __future__ import annotations

import contextlib
import resource
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

import realredis
from faults.fabric import Fabric
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from faults.fabric import Process, Producer

limits_files = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits others' files")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

LONG = 2.5
"""Seconds without room: more than a worker may be silent, and more than the calls under way take."""


@pytest.fixture(params=["redis", "valkey"])
def own(request: pytest.FixtureRequest) -> Iterator[realredis.RedisServer]:
    """A server of the test's own as the durability `fast` asks for it."""
    binary = realredis.find(request.param)
    if binary is None:
        pytest.skip(f"no server for {request.param!r}")
    with realredis.RedisServer(binary, appendonly=True) as server:
        yield server


@pytest.fixture
async def fabric(own: realredis.RedisServer, tmp_path: Path) -> AsyncIterator[Fabric]:
    """A fabric without processes yet, on that server."""
    async with Fabric(own.url, "full", tmp_path) as fabric:
        yield fabric


class Scene:
    """Calls that run when the store has no room any more, and calls that are made while it has none."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.workers: list[Process] = []
        self.running = [
            fabric.call(tool, ms=800, how=how) for tool in ("ask", "say") for how in ("call", "submit")
        ]
        self.running += [fabric.call("progress", how="progress", arguments={"steps": 8, "ms": 100})]
        self.refused = [fabric.call("say", when_full="raise"), fabric.call("ask", timeout=1.0)]
        self.patient = [fabric.call("say"), fabric.call("ask", how="submit")]
        self.producer: Producer

    async def begin(self) -> None:
        """Start everybody, and have the first calls run."""
        self.fabric.coordinator()
        self.workers = [self.fabric.worker("one"), self.fabric.worker("two")]
        self.producer = self.fabric.producer()
        await self.fabric.usable(*self.workers)
        self.producer.tell(self.running)
        await self.fabric.begun(self.producer, *self.running)

    async def without_room(self, *, settles: bool) -> None:
        """Make the calls that are refused, and wait; `settles`: whether running ones end meanwhile."""
        until_then = time.monotonic() + LONG
        self.producer.tell([*self.refused, *self.patient])
        ended = [*self.refused, *(self.running if settles else [])]
        await self.producer.told(*_nonces(ended))
        await until(lambda: time.monotonic() >= until_then)
        assert self.producer.outcomes().keys() == {*_nonces(ended)}

    async def end(self) -> None:
        """Wait for the rest, make some calls more, and judge."""
        await self.producer.told(count=len([*self.running, *self.refused, *self.patient]))
        self.producer.tell(self.fabric.load(20))
        assert not any(worker.ended() for worker in self.workers)
        evidence = await self.fabric.verdict()
        outcomes = self.producer.outcomes()
        for nonce in _nonces(self.refused):
            assert (outcomes[nonce]["code"], outcomes[nonce]["executed"]) == ("RESOURCE_EXHAUSTED", "no")
        for call in [*self.running, *self.patient]:
            assert outcomes[call["nonce"]]["code"] == "OK"
            ran = evidence.ledger.count(call["nonce"])
            assert ran == 1 or (call["safe"] and ran > 1)  # a busy machine's worker may be taken for dead


def _nonces(calls: list[dict[str, Any]]) -> list[str]:
    return [call["nonce"] for call in calls]


def _write_fails(server: realredis.RedisServer) -> bool:
    with contextlib.closing(server.client()) as client:
        info = cast("dict[str, str]", client.info("persistence"))
        return info["aof_last_write_status"] == "err"


@limits_files
async def test_a_full_disk_refuses_new_calls_and_loses_nothing_and_all_goes_on_once_there_is_space(
    fabric: Fabric, own: realredis.RedisServer
) -> None:
    scene = Scene(fabric)
    await scene.begin()
    own.fill_disk()
    await until(lambda: _write_fails(own))  # a beat is the write that fails
    await scene.without_room(settles=False)
    own.free_disk()
    await scene.end()


async def test_a_full_memory_refuses_new_calls_and_ends_running_ones_and_all_goes_on_once_there_is_room(
    fabric: Fabric, own: realredis.RedisServer
) -> None:
    scene = Scene(fabric)
    await scene.begin()
    with contextlib.closing(own.client()) as client:
        client.config_set("maxmemory", "1mb")
        await scene.without_room(settles=True)
        late, newcomer = fabric.producer("late"), fabric.worker("three")
        waits = fabric.call("say")
        late.tell([waits])
        await fabric.usable(newcomer)  # a worker that starts now joins, and helps to drain
        assert waits["nonce"] not in late.outcomes()
        client.config_set("maxmemory", "0")
    await late.told(waits["nonce"])
    await scene.end()
