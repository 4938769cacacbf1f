"""The recorded load of a pool, and what a client is told of it under other strategies."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft import Class, Client, SyncClient
from mcpweft.analytics.figures import Advice, Arrivals, PoolAnalytics, Rehearsal
from mcpweft.analytics.load import load_of
from mcpweft.analytics.slots import Part, Picture, read_slot
from mcpweft.analytics.summary import Span
from mcpweft_schemas.config import Config
from mcpweft_schemas.figure import Figure, PoolLevel, ServerLevel, Tally, Time
from mcpweft_schemas.spread import Spread
from mcpweft_simulator import excerpt, rehearsal
from waiting import until
from workbench import POOL, SERVERS, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench import Bench

SPAN = Span(1000, 1_030_000, 10)
QUICK_MS, SLOW_MS = 40, 160


def part(start_s: int, accepted: int | None, ms: float = 50.0, **given: Any) -> Part:
    """A slot with two answers of one server, and a look at its two workers of four slots each."""
    tally = Tally()
    for _ in range(2):
        tally.count(Figure.OK)
        tally.time(Time.SERVICE, ms)
    plain: dict[str, Any] = {
        "series": {("alpha", "find", Class.NORMAL): tally},
        "pool": Tally({PoolLevel.LOOKS: 1}),
        "servers": {"alpha": Tally({ServerLevel.LOOKS: 1, ServerLevel.WORKERS: 2, ServerLevel.SLOTS: 8})},
        "picture": None if accepted is None else Picture(1000 * start_s + 500, {"accepted": accepted}),
    }
    return Part(start_s, **plain | given)


def test_a_load_is_what_came_between_looks_and_who_was_there_for_it() -> None:
    parts = [part(990, 100), part(1000, 130), part(1010, None, 400.0), part(1020, 10)]
    load = load_of(parts, SPAN, {"alpha"})
    assert load is not None
    assert load.arrivals == (Arrivals(seconds=10.0, accepted=30), Arrivals(seconds=20.0, accepted=10))
    assert load.classes == {Class.NORMAL: 6}
    (alpha,) = load.servers
    assert (alpha.server, alpha.workers, alpha.slots, alpha.shared) == ("alpha", 2.0, 8.0, True)
    assert alpha.service_ms == pytest.approx((4 * 50 + 2 * 400) / 6)
    assert list(Spread.read(list(alpha.service)).counts.values()) == [4, 2]


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [part(1000, 130)],  # one look tells no rate
        [part(1000, 130, pool=Tally()), part(1010, 140, pool=Tally())],
        [part(1000, 130, servers={}), part(1010, 140, servers={})],
        [part(1000, 130, series={}), part(1010, 140, series={})],
        [part(1000, 130), part(1010, 140, series={("beta", "find", Class.LOW): Tally()})],  # nobody saw it
    ],
)
def test_there_is_no_load_where_something_of_it_was_not_measured(parts: list[Part]) -> None:
    assert load_of(parts, SPAN, ()) is None


def unequal(bench: Bench) -> Config:
    """Two quick servers and a slow one, of one call at a time."""
    servers = {
        name: {
            "command": sys.executable, "args": [str(SERVERS / "echo.py"), "--pace", str(pace)],
            "mode": "legacy", "capabilities": [POOL], "concurrency": 1,
        }
        for name, pace in (("quick", QUICK_MS), ("other", QUICK_MS), ("slow", SLOW_MS))
    }  # fmt: skip
    return Config.model_validate({"namespace": bench.namespace, "servers": servers, **settings()})


async def test_a_client_is_told_what_another_strategy_would_have_given(
    bench: Bench, client: Client, store_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(excerpt, "MOST", 1500)
    monkeypatch.setattr(rehearsal, "TOLERANCE", 1.0)  # a busy machine is not what is tried here
    config = unequal(bench)
    async with (
        bench.worker(config, server="quick"),
        bench.worker(config, server="other"),
        bench.worker(config, server="slow"),
    ):
        await bench.store.deal(POOL, 1, "round_robin", {}, 60_000)
        await bench.store.sweep(POOL, 1)
        sent = await send(bench)
    found = await client.analytics("5m", POOL, rehearse=True)
    (pool,), (told,) = found.pools, found.rehearsals
    load = pool.load
    assert load is not None
    assert {one.server: (one.workers, one.slots) for one in load.servers} == dict.fromkeys(
        ("other", "quick", "slow"), (1.0, 1.0)
    )
    assert sum(one.accepted for one in load.arrivals) <= sent
    assert {one.server: one.service_ms for one in load.servers} == {
        one.server: one.service.mean_ms for one in pool.servers
    }
    assert (told.holds, told.better) == (True, "predictive"), told.reason
    assert told.measured_p95_ms == pool.total.response.p95_ms
    (said,) = [one for one in found.recommendations if one.advice is Advice.STRATEGY]
    assert said.evidence["rehearsed_p95_most_ms"] < said.evidence["simulated_p95_ms"]
    plain = await client.analytics("5m", POOL)
    assert (plain.rehearsals, plain.pools[0].load) == ((), None)
    assert "rehearsed" not in next(iter(plain.recommendations)).evidence
    assert await asyncio.to_thread(blocking, store_url, namespace) == found.rehearsals


def blocking(url: str, namespace: str) -> Any:
    with SyncClient(url, namespace=namespace) as client:
        return client.analytics("5m", POOL, rehearse=True).rehearsals


async def send(bench: Bench) -> int:
    """Let requests come, ten a second, until a look tells of a hundred of them; return how many."""
    rng, sent, at = random.Random(4), list[str](), time.monotonic()
    while len(sent) < 120 or not await looked(bench, 110):
        at += rng.expovariate(10)
        await until(over(at))
        sent += await bench.enqueue_many([("echo", {"text": "a"})])
        assert len(sent) < 400
    for request in sent:
        await bench.outcome(request)
    return len(sent)


def over(moment: float) -> Callable[[], bool]:
    return lambda: time.monotonic() >= moment


async def looked(bench: Bench, accepted: int) -> bool:
    """Whether a look at the pool tells of so many requests."""
    await bench.store.sweep(POOL, 1)
    history = await bench.store.history(POOL, 10, int(time.time()) // 10 * 10 - 60, 8)
    pictures = [read_slot(slot).picture for slot in history.slots]
    return any(one is not None and one.counters["accepted"] >= accepted for one in pictures)


async def test_the_caller_s_loop_goes_on_while_it_is_rehearsed(
    bench: Bench, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.store.declare(POOL, "1")
    began, free = threading.Event(), threading.Event()

    def rehearse(pool: PoolAnalytics, *, doubt: str = "") -> Rehearsal:
        began.set()
        assert free.wait(5)
        return Rehearsal(
            pool=pool.capability, strategy=None, measured_p95_ms=None, holds=False, better=None, reason="no"
        )

    monkeypatch.setattr(rehearsal, "rehearse", rehearse)
    asking = asyncio.create_task(client.analytics(rehearse=True))
    await until(began.is_set)
    free.set()  # which nobody could do on a loop that stands still
    assert [one.reason for one in (await asking).rehearsals] == ["no"]
