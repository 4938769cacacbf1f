"""When a worker stops pulling: its breaker is open, or its server has gone silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweft_schemas.outcome import Code
from mcpweft_workers.breaker import State
from waiting import until
from workbench import POOL, text_of

if TYPE_CHECKING:
    from mcpweft_workers.worker import Worker
    from workbench import Bench


def state_of(worker: Worker) -> State:
    return worker.gate.breaker.state(worker._clock())


async def test_an_open_breaker_stops_the_pulling_and_probes_close_it(bench: Bench) -> None:
    config = bench.rogue(breaker={"failure_threshold": 3, "recovery": 1.0, "probes": 1})
    async with bench.worker(config) as worker:
        for _ in range(3):
            await until(lambda: worker.report.usable)
            request_id = await bench.enqueue("close_stdout", max_attempts=1)
            assert (await bench.outcome(request_id)).code is Code.OUTCOME_UNKNOWN
        assert state_of(worker) is State.OPEN
        await until(lambda: not_usable(bench))
        waiting = await bench.enqueue_many([("ok", {})] * 5)
        assert not worker.runner.in_flight
        assert {await bench.state(request_id) for request_id in waiting} == {"queued"}
        for request_id in waiting:
            assert text_of(await bench.outcome(request_id)) == "ok"
        assert state_of(worker) is State.CLOSED


async def not_usable(bench: Bench) -> bool:
    status = await bench.store.status(POOL)
    return status is not None and not status.usable


async def test_work_flows_to_the_other_worker_while_a_breaker_is_open(bench: Bench) -> None:
    async with bench.worker(worker_id="one") as one, bench.worker(worker_id="two"):
        one.gate.breaker.force(State.FORCED_OPEN, "by hand", one._clock())
        ids = await bench.enqueue_many([("echo", {"text": "x"})] * 20)
        assert {(await bench.outcome(request_id)).worker for request_id in ids} == {"two"}


async def test_what_arrives_once_the_gate_is_shut_is_given_back_uncharged(bench: Bench) -> None:
    async with bench.worker() as worker:
        worker.gate.admit = lambda: None  # type: ignore[method-assign]  # shut between the fetch and its answer
        request_id = await bench.enqueue("echo", {"text": "x"})
        await until(lambda: released(bench, request_id))
        del worker.gate.admit
        reply = await bench.outcome(request_id)
    assert (reply.code, reply.attempt) == (Code.OK, 1)


async def released(bench: Bench, request_id: str) -> bool:
    return int((await bench.seen(request_id)).fields["deliveries"]) >= 2


async def test_a_silent_server_is_pinged_and_one_that_answers_is_left_alone(bench: Bench) -> None:
    async with bench.worker(bench.rogue()) as worker:
        await bench.enqueue("mute", timeout_ms=4000)
        await until(lambda: worker.runner.in_flight)
        began = worker.runner.heard_at
        await until(lambda: worker.runner.heard_at > began, within=4.0)  # the pong
        assert not worker.vigil.hung
        assert worker.report.usable


async def test_a_hung_server_is_degraded_first_and_restarted_once_an_attempt_has_timed_out(
    bench: Bench,
) -> None:
    config = bench.rogue({"attempt_timeout": 4.0})
    async with bench.worker(config) as worker:
        pid = worker.session.pids
        request_id = await bench.enqueue("deaf")
        await until(lambda: worker.vigil.hung, within=6.0)
        assert not worker.report.usable
        assert worker.report.readiness()["state"] == "DEGRADED"
        assert worker.session.pids == pid
        reply = await bench.outcome(request_id)
        assert (reply.code, reply.cause) == (Code.OUTCOME_UNKNOWN, "ATTEMPT_TIMEOUT")
        assert text_of(await bench.outcome(await bench.enqueue("ok"))) == "ok"
        assert worker.session.pids != pid


async def test_hung_after_restarts_a_hung_server_sooner(bench: Bench) -> None:
    config = bench.rogue({"hung_after": 0.4, "attempt_timeout": 20.0})
    async with bench.worker(config) as worker:
        reply = await bench.outcome(await bench.enqueue("deaf"), within=4.0)
        assert (reply.code, reply.cause) == (Code.OUTCOME_UNKNOWN, "SERVER_DIED")
        await until(lambda: worker.report.usable)
