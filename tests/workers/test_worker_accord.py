"""One breaker for all workers of a server: what one finds out, or somebody orders, the others follow."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft_schemas.circuit import SHUT, Act, Appeal, Circuit, Event, State, by_hand
from mcpweft_schemas.life import Class
from mcpweft_schemas.outcome import Code
from mcpweft_schemas.wire import PICKY, Submission, pack_request
from mcpweft_schemas.word import Word
from mcpweft_workers.breaker import Outcome
from mcpweft_workers.control import Control
from waiting import until
from workbench import POOL, web_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcpweft_schemas.config import Config
    from mcpweft_workers.worker import Worker
    from workbench import Bench

SOON = 1.0
"""Seconds within which all workers of a server must follow."""


def state_of(worker: Worker) -> State:
    return worker.gate.breaker.state(worker._clock())


def say(worker: Worker, *outcomes: Outcome) -> None:
    """Let the worker's breaker hear how so many calls ended."""
    for outcome in outcomes:
        permit = worker.gate.admit()
        assert permit is not None
        worker.gate.book(permit, outcome, 0.01)


async def record(bench: Bench, worker: Worker) -> Circuit:
    who = worker.plan.identity
    appeal = Appeal(act=Act.ASK, server=who.server, instance=who.instance, worker=who.worker, generation=0)
    return await bench.store.breaker(POOL, appeal)


@asynccontextmanager
async def two(bench: Bench, config: Config) -> AsyncGenerator[tuple[Worker, Worker]]:
    async with bench.worker(config, worker_id="one") as one, bench.worker(config, worker_id="two") as other:
        yield one, other


@asynccontextmanager
async def two_on_one_server(bench: Bench, **keys: Any) -> AsyncGenerator[tuple[Worker, Worker]]:
    with web_server() as url:
        config = bench.config({"command": None, "args": [], "url": url, "concurrency": 8}, breaker=keys)
        async with two(bench, config) as workers:
            yield workers


async def test_one_worker_of_a_server_trips_and_the_other_stops_pulling(bench: Bench) -> None:
    async with two_on_one_server(bench) as (one, other):
        say(one, *[Outcome.DOWN] * 5)
        assert state_of(one) is State.OPEN  # at once, before the store has heard of it
        await until(lambda: state_of(other) is State.OPEN, SOON)
        assert not other.report.usable
        waiting = await bench.enqueue("echo", {"text": "x"})
        assert one.gate.breaker.told == other.gate.breaker.told == (await record(bench, one)).generation
        assert await bench.state(waiting) == "queued"


async def test_probes_of_all_workers_together_close_it(bench: Bench) -> None:
    async with two_on_one_server(bench, recovery=0.3, probes=2) as (one, other):
        say(one, *[Outcome.DOWN] * 5)
        await until(lambda: state_of(other) is State.OPEN, SOON)
        ids = await bench.enqueue_many([("echo", {"text": "x"})] * 20)
        for request_id in ids:
            assert (await bench.outcome(request_id)).code is Code.OK
        await until(lambda: state_of(one) is state_of(other) is State.CLOSED, SOON)
        assert (await record(bench, one)).reason == "2 probes succeeded"


async def test_no_more_requests_are_fetched_half_open_than_there_are_permits(bench: Bench) -> None:
    async with two_on_one_server(bench, recovery=0.3, probes=1) as (one, other):
        say(one, *[Outcome.DOWN] * 5)
        await until(lambda: state_of(other) is State.OPEN, SOON)
        ids = await bench.enqueue_many([("sleep", {"ms": 700})] * 6)
        await until(lambda: one.runner.in_flight + other.runner.in_flight)
        states = [await bench.state(request_id) for request_id in ids]
        assert (states.count("running"), states.count("queued")) == (1, 5)
        for request_id in ids:
            assert (await bench.outcome(request_id)).code is Code.OK


async def test_a_worker_with_nothing_to_do_holds_one_permit_and_gives_the_others_back(bench: Bench) -> None:
    async with two_on_one_server(bench, recovery=0.3, probes=4) as (one, other):
        say(one, *[Outcome.DOWN] * 5)
        await until(lambda: state_of(other) is State.OPEN, SOON)
        await until(lambda: state_of(one) is state_of(other) is State.HALF_OPEN, 2.0)

        async def one_each() -> bool:
            held: list[bytes] = await bench.store.link.run("HKEYS", bench.store.keys(POOL).breaker("echo"))
            return sum(name.startswith(b"p:") for name in held) == 2

        await until(one_each, 5.0)
        assert (await bench.outcome(await bench.enqueue("echo", {"text": "x"}))).code is Code.OK


async def test_a_server_proves_itself_with_light_work_that_another_would_take_alone(bench: Bench) -> None:
    config = bench.config(breaker={"recovery": 0.3, "probes": 3})
    async with two(bench, config) as (one, other):
        say(one, *[Outcome.DOWN] * 5)
        await until(lambda: state_of(one) is State.OPEN, SOON)
        await until(lambda: state_of(one) is State.HALF_OPEN, 2.0)
        for _ in range(100):  # twenty a second, one at a time: the other worker is always idle
            if state_of(one) is State.CLOSED:
                break
            assert (await bench.outcome(await bench.enqueue("echo", {"text": "x"}))).code is Code.OK
            await asyncio.sleep(0.05)
        assert state_of(one) is State.CLOSED
        assert state_of(other) is State.CLOSED


@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_what_somebody_orders_all_workers_of_the_server_follow_whatever_their_transport(
    bench: Bench, transport: str
) -> None:
    both = two_on_one_server(bench) if transport == "http" else two(bench, bench.config())
    async with both as workers:
        orders = [
            (Event.FORCE_OPEN, State.FORCED_OPEN),
            (Event.CORDON, State.CORDONED),
            (Event.DISABLE, State.DISABLED),
            (Event.OBSERVE, State.METRICS_ONLY),
            (Event.RESET, State.CLOSED),
        ]
        for event, state in orders:
            await bench.store.breaker(POOL, by_hand(event, "echo", "the disk is replaced", event))

            def follow(state: State = state) -> bool:
                return all(state_of(worker) is state for worker in workers)

            await until(follow, SOON)
            usable = state not in SHUT
            assert [worker.report.usable for worker in workers] == [usable, usable]


async def test_a_worker_that_joins_a_server_that_was_taken_out_pulls_nothing(bench: Bench) -> None:
    async with bench.worker(worker_id="one"):
        await bench.store.breaker(POOL, by_hand(Event.FORCE_OPEN, "echo", "the disk is replaced", "1"))
    late = bench.make(worker_id="late")
    waiting = await bench.enqueue("echo", {"text": "x"})
    life = asyncio.create_task(late.run())
    why = "breaker open: the disk is replaced"
    await until(lambda: late.report.readiness()["reason"] == why)
    assert await bench.state(waiting) == "queued"
    await bench.store.breaker(POOL, by_hand(Event.RESET, "echo", "", "2"))
    assert (await bench.outcome(waiting)).worker == "late"
    late.stop()
    await life


def deaf(*_: object) -> None:
    """Obey nothing that the control stream says."""


async def test_a_notice_that_was_missed_is_made_up_for_by_the_next_beat(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Control, "_obey", deaf)
    async with two_on_one_server(bench) as (one, other):
        say(one, *[Outcome.DOWN] * 5)
        await until(lambda: state_of(other) is State.OPEN, SOON)


async def test_figures_alone_keep_the_last_server_of_a_pool_and_take_out_one_of_two(bench: Bench) -> None:
    async with bench.worker(worker_id="one") as one:
        say(one, *[Outcome.FAILURE] * 5)
        await until(lambda: state_of(one) is State.CLOSED, SOON)
        assert (await record(bench, one)).generation == 0
        async with bench.worker(worker_id="two") as two_:

            async def both_usable() -> bool:
                status = await bench.store.status(POOL)
                return status is not None and set(status.usable) == {"one", "two"}

            await until(both_usable)
            say(one, *[Outcome.FAILURE] * 5)
            await until(lambda: one.gate.breaker.told, SOON)
            assert (state_of(one), state_of(two_)) == (State.OPEN, State.CLOSED)


async def test_figures_alone_keep_the_last_server_of_any_of_its_pools(bench: Bench) -> None:
    def in_pools(*names: str) -> Config:
        return bench.config({"capabilities": list(names)})

    async def usable(pool: str, *workers: str) -> bool:
        status = await bench.store.status(pool)
        return status is not None and set(status.usable) == set(workers)

    async with (
        bench.worker(in_pools(POOL, "side"), worker_id="one") as one,
        bench.worker(worker_id="two"),
    ):
        await until(lambda: usable(POOL, "one", "two"))
        say(one, *[Outcome.FAILURE] * 5)
        await until(lambda: state_of(one) is State.CLOSED, SOON)
        assert (await record(bench, one)).generation == 0
        async with bench.worker(in_pools("side"), worker_id="three"):
            await until(lambda: usable("side", "one", "three"))
            say(one, *[Outcome.FAILURE] * 5)
            await until(lambda: one.gate.breaker.told, SOON)
            assert state_of(one) is State.OPEN


async def test_a_worker_whose_store_is_away_keeps_its_own_judgement_and_tells_it_later(
    own_bench: Bench,
) -> None:
    async with own_bench.worker(worker_id="one") as one:
        redis = own_bench.store.link
        await redis.run("CLIENT", "PAUSE", 1500, "ALL")
        say(one, *[Outcome.DOWN] * 5)
        assert (state_of(one), one.gate.breaker.told) == (State.OPEN, 0)
        await until(lambda: one.gate.breaker.told, 10.0)
        assert state_of(one) is State.OPEN
        seen = await record(own_bench, one)
        assert (seen.state, seen.generation) == (State.OPEN, one.gate.breaker.told)


async def test_with_every_breaker_open_a_caller_is_told_at_once_or_waits_as_it_chose(bench: Bench) -> None:
    async with two(bench, bench.config(breaker={"recovery": 1.0, "probes": 1})) as workers:
        for worker in workers:
            say(worker, *[Outcome.DOWN] * 5)

        async def unusable() -> bool:
            status = await bench.store.status(POOL)
            return status is not None and not any(until > status.now_ms for until in status.usable.values())

        await until(unusable, SOON)
        item = Submission(
            id=f"{POOL}~{uuid.uuid4().hex}", tool="echo", klass=Class.NORMAL,
            body=pack_request({"text": "x"}, None), timeout_ms=9000, flags=PICKY,
        )  # fmt: skip
        (told,) = (await bench.store.enqueue(POOL, [item])).items
        assert (told.word, told.retry_after_ms) == (Word.NO_SERVERS, 1000)
        patient = await bench.enqueue("echo", {"text": "x"})
        assert (await bench.outcome(patient)).code is Code.OK, "once they are let back"
