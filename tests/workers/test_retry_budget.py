"""A pool whose servers all fail: its retries stay within the budget, and each request has its one outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweft_schemas.outcome import Code
from workbench import POOL, SERVERS

if TYPE_CHECKING:
    from pathlib import Path

    from mcpweft_schemas.config import Config
    from workbench import Bench

OFFERED, BURST = 600, 10
NEVER = {"failure_threshold": 10_000, "min_calls": 10_000}


def failing(bench: Bench, tally: Path, **queue: float) -> Config:
    """A server whose every call may have run and fails, and no breaker that would stop it."""
    args = [str(SERVERS / "rogue.py"), "--tally", str(tally)]
    server = {"args": args, "idempotent": ["*"], "concurrency": 16}
    return bench.config(server, breaker=NEVER, queue=queue, call={"backoff": 0.01, "backoff_max": 0.02})


async def ended(bench: Bench, requests: int) -> list[tuple[Code, str, int]]:
    """How so many failing requests end: code, cause, attempts."""
    ids: list[str] = []
    while len(ids) < requests:
        ids += await bench.enqueue_many([("error", {"code": -32603})] * min(50, requests - len(ids)))
    replies = [await bench.outcome(request_id, within=30.0) for request_id in ids]
    return [(reply.code, reply.cause, len(reply.attempts)) for reply in replies]


async def test_servers_that_all_fail_see_a_tenth_more_than_is_offered_and_no_more(
    bench: Bench, tmp_path: Path
) -> None:
    tally = tmp_path / "tally"
    config = failing(bench, tally, retry_floor=0, retry_burst=BURST)
    async with bench.worker(config, worker_id="one"), bench.worker(config, worker_id="two"):
        outcomes = await ended(bench, OFFERED)
    seen = tally.stat().st_size
    assert OFFERED + BURST <= seen <= 1.1 * OFFERED + BURST
    assert seen == sum(attempts for _, _, attempts in outcomes)
    assert {code for code, _, _ in outcomes} == {Code.FAILOVER_EXHAUSTED}
    refused = [attempts for _, cause, attempts in outcomes if cause == "RETRY_BUDGET"]
    assert len(refused) > OFFERED / 2
    assert set(refused) <= {1, 2}
    status = await bench.store.status(POOL)
    assert status is not None
    assert int(status.stat["unretried"]) == len(refused)
    assert int(status.stat["retried"]) == seen - OFFERED
    assert status.dead == OFFERED


async def test_a_few_failures_are_tried_again_as_often_as_they_may(bench: Bench, tmp_path: Path) -> None:
    async with bench.worker(failing(bench, tmp_path / "tally")):
        assert await ended(bench, 20) == [(Code.FAILOVER_EXHAUSTED, "PROTOCOL", 3)] * 20
