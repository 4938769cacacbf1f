"""What a worker tells the fleet of itself, its server and its breaker, and that a call never waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweft_schemas.event import Event, Kind, Who
from mcpweft_schemas.outcome import Code
from mcpweft_workers.breaker import State
from waiting import until
from workbench import POOL

if TYPE_CHECKING:
    from workbench import Bench


async def told(bench: Bench, kind: Kind) -> list[Event]:
    """The events of a kind that are on the stream."""
    return [event for event in (await bench.store.events(most=1000)).events if event.kind is kind]


async def test_a_worker_tells_that_it_joined_and_that_it_left(bench: Bench) -> None:
    async with bench.worker(worker_id="one"):
        (joined,) = await until(lambda: told(bench, Kind.WORKER_JOINED))
        assert (joined.who, joined.pool, joined.server, joined.worker) == (Who.WORKER, POOL, "echo", "one")
        assert [event.pool for event in await told(bench, Kind.POOL_DECLARED)] == [POOL]
        (ready,) = await until(lambda: told(bench, Kind.SERVER_READY))
        assert ready.data == {"connects": 1}
    (left,) = await told(bench, Kind.WORKER_LEFT)
    assert left.worker == "one"


async def test_a_server_that_dies_is_told_as_lost_and_as_ready_again(bench: Bench) -> None:
    async with bench.worker():
        await until(lambda: told(bench, Kind.SERVER_READY))
        await bench.enqueue("crash")
        (lost,) = await until(lambda: told(bench, Kind.SERVER_LOST))
        assert lost.server == "echo"
        assert lost.reason
        await until(lambda: again(bench))


async def again(bench: Bench) -> bool:
    return any(event.data["connects"] == 2 for event in await told(bench, Kind.SERVER_READY))


async def test_a_server_that_stays_away_is_told_as_lost_once(bench: Bench) -> None:
    worker = bench.make()
    for _ in range(5):
        worker.news.of_server(Kind.SERVER_LOST, "first")
        worker.news.state(worker.session.state.DOWN, "still away", 0)
        worker.news.state(worker.session.state.CONNECTING, "", 0)
    assert [one.event.reason for one in worker.herald._outbox.take(0, 9, all_of_it=True)] == ["first"] * 2
    await worker.store.link.close()


async def test_a_silent_server_is_told_as_degraded_and_then_as_restarted(bench: Bench) -> None:
    async with bench.worker(bench.rogue({"hung_after": 0.4, "attempt_timeout": 20.0})):
        await bench.enqueue("deaf")
        (degraded,) = await until(lambda: told(bench, Kind.SERVER_DEGRADED))
        assert "silent" in degraded.reason
        (restarted,) = await until(lambda: told(bench, Kind.SERVER_RESTARTED))
        assert "hung_after" in restarted.reason


async def test_the_breakers_moves_are_told_with_what_they_were_from_and_to(bench: Bench) -> None:
    async with bench.worker() as worker:
        worker.gate.breaker.force(State.FORCED_OPEN, "by hand", worker._clock())
        worker.gate.close("test", "so that the gate looks")
        (moved,) = await until(lambda: told(bench, Kind.BREAKER_MOVED))
    assert moved.data == {"before": "closed", "after": "forced_open"}
    assert moved.reason == "by hand"


async def test_attempts_that_fail_and_are_tried_again_are_told_by_their_cause_and_counted(
    bench: Bench,
) -> None:
    config = bench.rogue({"idempotent": ["*"]}, breaker={"failure_threshold": 100, "min_calls": 100})
    async with bench.worker(config):
        ids = await bench.enqueue_many([("error", {"code": -32603})] * 6, max_attempts=2)
        for request_id in ids:
            assert (await bench.outcome(request_id)).code is Code.FAILOVER_EXHAUSTED
        await until(lambda: counted(bench, 6), within=5.0)
        (cause,) = {event.reason for event in await told(bench, Kind.FAILOVER)}
        assert cause == "PROTOCOL"
        assert len(await told(bench, Kind.FAILOVER)) <= 3


async def counted(bench: Bench, count: int) -> bool:
    return sum(int(event.data["count"]) for event in await told(bench, Kind.FAILOVER)) == count


async def test_a_call_runs_while_no_event_can_be_told(bench: Bench) -> None:
    await bench.store.link.run("SET", bench.store.fleet.events, "no stream", "EX", 60)
    async with bench.worker() as worker:
        await until(lambda: worker.herald.dropped)
        assert (await bench.outcome(await bench.enqueue("echo", {"text": "x"}))).code is Code.OK
        assert f'mcpweft_worker_events_dropped{{server="echo"}} {float(worker.herald.dropped)}' in (
            worker.report.prometheus(0.0).decode()
        )
