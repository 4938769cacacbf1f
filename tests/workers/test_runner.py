"""The runner: what it makes of every way in which a call can go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mcpweft_schemas.errors import ResourceExhaustedError
from mcpweft_schemas.life import Class
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.packing import unpack
from mcpweft_schemas.wire import Delivery
from mcpweft_schemas.word import Word
from mcpweft_workers import judgement
from mcpweft_workers.breaker import Outcome
from mcpweft_workers.failure import CallFailed, Cause
from mcpweft_workers.tool import Answer
from proxy import Proxy
from waiting import until
from workbench import POOL, web_server, what_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcpweft_workers.binding import Binding
    from workbench import Bench

CALL = Delivery(
    stream="s",
    entry="1-0",
    id="echo~1",
    klass=Class.NORMAL,
    attempt=1,
    deliveries=1,
    max_attempts=3,
    remaining_ms=1000,
    attempt_timeout_ms=0,
    safe=False,
    flags="",
    accepted_ms=0,
    tool="t",
    tenant="",
    trace="",
    body=b"",
    fields={},
)
RETRIES = {
    Cause.SERVER_DIED,
    Cause.ATTEMPT_TIMEOUT,
    Cause.PROTOCOL,
    Cause.CONNECTION_FAILED,
    Cause.SESSION_LOST,
}


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("executed", Executed)
def test_every_failure_keeps_its_cause_and_whether_the_tool_ran(cause: Cause, executed: Executed) -> None:
    judged = judgement.failed(CALL, CallFailed(cause, "why", executed=executed), 5, cut_short=False)
    settlement = judged.settlement
    assert settlement.executed is executed
    assert (settlement.id, settlement.stream, settlement.entry) == ("echo~1", "s", "1-0")
    if cause in RETRIES:
        assert (settlement.how, settlement.cause, settlement.backoff_ms) == ("retry", cause.value, 5)
        graver = cause in {Cause.SERVER_DIED, Cause.CONNECTION_FAILED, Cause.SESSION_LOST}
        assert judged.booked is (Outcome.DOWN if graver else Outcome.FAILURE)
        unweighed = CallFailed(cause, "why", executed=executed)
        judged = judgement.failed(CALL, unweighed, 5, cut_short=False, weights={})
        assert judged.booked is Outcome.NOTHING
    elif cause is Cause.RATE_LIMITED:
        assert (settlement.how, settlement.cause) == ("retry", cause.value)
        assert judged.booked is Outcome.NOTHING, "a server that asks for a pause has not failed"
    elif cause is Cause.CANCELLED:
        assert (settlement.how, settlement.cause) == ("retry", "SHUTTING_DOWN")
        assert judged.booked is Outcome.NOTHING
    else:
        assert settlement.how == "done"
        assert Code(settlement.code) in {
            Code.UNKNOWN_TOOL,
            Code.INVALID_ARGUMENTS,
            Code.INPUT_REQUIRED,
            Code.RESULT_TOO_LARGE,
        }
        assert judged.booked is (Outcome.NOTHING if executed is Executed.NO else Outcome.SUCCESS)


def test_an_attempt_that_the_deadline_cut_short_says_nothing_of_the_server() -> None:
    failure = CallFailed(Cause.ATTEMPT_TIMEOUT, "why", executed=Executed.MAYBE)
    judged = judgement.failed(CALL, failure, 5, cut_short=True)
    assert (judged.settlement.how, judged.booked) == ("retry", Outcome.NOTHING)


def test_a_tools_own_error_is_an_answer_unless_it_is_said_to_count() -> None:
    answer = Answer([], None, True, 1.0)  # noqa: FBT003  # is_error
    assert judgement.answered(CALL, answer, "srv", 100).booked is Outcome.SUCCESS
    counting = {"TOOL_ERROR": Outcome.FAILURE}
    assert judgement.answered(CALL, answer, "srv", 100, counting).booked is Outcome.FAILURE


def test_a_dead_servers_last_words_are_told_once() -> None:
    failure = CallFailed(Cause.SERVER_DIED, "it died", executed=Executed.MAYBE, stderr_tail="no such file\n")
    what = unpack(judgement.failed(CALL, failure, 5, cut_short=False).settlement.body)["what"]
    assert what == "it died; its stderr ends: no such file"


@pytest.mark.parametrize("value", [2**70, float("nan"), float("inf"), [[]]])
def test_an_answer_that_cannot_travel_is_refused_and_says_that_the_tool_ran(value: object) -> None:
    for _ in range(70):
        if isinstance(value, list):
            value = [value]
    judged = judgement.answered(CALL, Answer([], {"x": value}, False, 1.0), "srv", 10_000)  # noqa: FBT003  # is_error
    settlement = judged.settlement
    assert (settlement.how, settlement.code, settlement.executed) == (
        "done",
        "RESULT_TOO_LARGE",
        Executed.YES,
    )
    assert "$.structured.x" in unpack(settlement.body)["what"]
    assert judged.booked is Outcome.SUCCESS


async def test_a_cancel_that_overtakes_its_request_stops_it_unsent(bench: Bench) -> None:
    async with bench.worker() as worker:
        start = worker.runner.start

        def overtaken(
            group: asyncio.TaskGroup, binding: Binding, delivery: Delivery, waited_ms: float = 0.0
        ) -> bool:
            worker.runner.cancel(delivery.id, delivery.entry)
            return start(group, binding, delivery, waited_ms)

        worker.runner.start = overtaken  # type: ignore[method-assign]  # as a slow answer to fetch would
        request_id = await bench.enqueue("sleep", {"ms": 20_000}, max_attempts=1)
        reply = await bench.outcome(request_id)
    assert reply.cause == "CANCELLED"
    assert not bench.executed()


async def test_a_call_that_is_stopped_while_its_server_is_spared_is_told_all_the_same(bench: Bench) -> None:
    with web_server() as url:
        config = bench.config({"command": None, "args": [], "url": url})
        async with bench.worker(config) as worker:
            sparing, go_on = asyncio.Event(), asyncio.Event()

            async def slowly(capability: str, server: str, ms: int) -> Word:
                sparing.set()
                await go_on.wait()
                return Word.OK

            worker.store.pause = slowly  # type: ignore[method-assign]  # as a slow store answers
            call = {"status": 429, "after": 1, "_nonce": "n"}
            request_id = await bench.enqueue("later", call, max_attempts=1)
            await sparing.wait()
            assert worker.runner.in_flight == 1
            worker.runner.stop_all()
            go_on.set()
            reply = await bench.outcome(request_id)
            assert (reply.cause, reply.executed) == ("RATE_LIMITED", Executed.NO)
            assert not worker.runner.in_flight


async def test_a_large_answer_that_the_store_has_no_room_for_says_so(bench: Bench) -> None:
    async with bench.worker() as worker:

        async def full(capability: str, delivery: Delivery, pieces: Sequence[bytes], ttl_ms: int) -> None:
            raise ResourceExhaustedError("the store is out of memory")

        worker.store.lay_chunks = full  # type: ignore[method-assign]  # as a full store answers
        reply = await bench.outcome(await bench.enqueue("blob", {"size": 2_000_000}))
        assert worker.report.usable
    assert (reply.code, reply.executed) == (Code.RESOURCE_EXHAUSTED, Executed.YES)
    assert "out of memory" in what_of(reply)


async def test_a_large_answer_survives_a_store_that_goes_away_while_it_is_laid_down(bench: Bench) -> None:
    async with Proxy(bench.url) as way, bench.worker(url=way.url) as worker:
        way.cut("inspect")
        reply = await bench.outcome(await bench.enqueue("blob", {"size": 2_000_000}))
        assert (reply.code, way.lost.total()) == (Code.OK, 1)
        assert await bench.store.chunks(POOL, reply) is not None
        await until(lambda: worker.report.backlog == 0)


async def test_pieces_live_as_long_as_the_outcome(bench: Bench) -> None:
    async with bench.worker():
        request_id = await bench.enqueue("blob", {"size": 2_000_000}, keep_ms=3_600_000)
        reply = await bench.outcome(request_id)
        keys = bench.store.keys(POOL)
        piece = await bench.store.link.run("PTTL", keys.chunk(reply.id, reply.entry, 0))
        record = await bench.store.link.run("PTTL", keys.record(request_id))
    assert piece >= record > 3_000_000
