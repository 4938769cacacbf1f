"""What somebody orders of a server, on a worker with calls under way: taken out, or cordoned."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mcpweft_schemas.circuit import Event, State, by_hand
from mcpweft_schemas.outcome import Code
from waiting import until
from workbench import POOL

if TYPE_CHECKING:
    from mcpweft_workers.worker import Worker
    from workbench import Bench

LONG_MS = 20_000


async def order(bench: Bench, event: Event, server: str = "echo") -> None:
    await bench.store.breaker(POOL, by_hand(event, server, "the disk is replaced", event, "ann"))


def stands(worker: Worker, state: State) -> bool:
    return worker.gate.breaker.state(worker._clock()) is state


async def test_a_server_that_is_taken_out_gives_up_what_may_run_twice_and_finishes_the_rest(
    bench: Bench,
) -> None:
    async with bench.worker() as worker:
        safe = await bench.enqueue("sleep", {"ms": LONG_MS})
        last = await bench.enqueue("sleep", {"ms": 800}, max_attempts=1)
        unsafe = await bench.enqueue("progress", {"steps": 1, "ms": 800})
        await until(lambda: len(bench.executed()) == 3)
        began = time.monotonic()
        await order(bench, Event.FORCE_OPEN)

        async def given_up() -> bool:
            return await bench.state(safe) == "delayed"  # due at once, for any other server

        await until(given_up)
        assert time.monotonic() - began < LONG_MS / 2000, "long before the call itself was over"
        assert [each.cause for each in (await bench.seen(safe)).attempts] == ["TAKEN_OUT"]
        for request_id in (last, unsafe):
            outcome = await bench.outcome(request_id)
            assert (outcome.code, outcome.attempt) == (Code.OK, 1)
        assert worker.report.health == "unhealthy"
        status = await bench.store.status(POOL)
        assert status is not None
        assert "retry" not in status.stat, "it costs the pool's retry budget nothing"


async def test_a_cordoned_server_finishes_all_that_it_has_and_takes_nothing_more(bench: Bench) -> None:
    async with bench.worker() as worker:
        running = [await bench.enqueue("sleep", {"ms": 600}), await bench.enqueue("sleep", {"ms": 600})]
        await until(lambda: len(bench.executed()) == 2)
        await order(bench, Event.CORDON)
        await until(lambda: stands(worker, State.CORDONED))
        waiting = await bench.enqueue("echo", {"text": "later"})
        for request_id in running:
            outcome = await bench.outcome(request_id)
            assert (outcome.code, outcome.attempt) == (Code.OK, 1)
        assert worker.report.health == "draining"
        assert worker.report.readiness()["reason"] == "cordoned: the disk is replaced"
        assert await bench.state(waiting) == "queued"
        await order(bench, Event.RESET)
        assert (await bench.outcome(waiting)).code is Code.OK
