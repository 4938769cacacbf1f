"""What ended lately: the counters' difference to a picture that is half a minute to a minute old."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import realredis
from mcpweft_schemas.outcome import Code
from mcpweft_schemas.recent import Recent
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from altered import Clock
    from pool import Pool

pytestmark = realredis.every_store


async def recent(pool: Pool) -> Recent | None:
    """The figures as anybody reads them."""
    status = await pool.store.status(pool.capability)
    assert status is not None
    return Recent.read(status.stat, status.now_ms)


async def end_one(clock: Clock, pool: Pool, took_ms: int, how: str = "done") -> None:
    """Let one request end so long after its acceptance."""
    await pool.accept(max_attempts=1)
    delivery = await pool.take(pool.workers["w1"])
    await clock.forward(took_ms)
    await pool.settle(delivery, how)


async def sweep(pool: Pool) -> None:
    assert (await pool.store.sweep(pool.capability, 1)).word == Word.OK


@pytest.fixture
async def swept(clock: Clock, pool: Pool) -> Pool:
    await pool.join(usable_ms=10_000_000)
    await sweep(pool)
    return pool


async def test_nothing_is_known_before_anybody_sweeps(clock: Clock, pool: Pool) -> None:
    await pool.join()
    await end_one(clock, pool, 100)
    assert await recent(pool) is None


async def test_the_mean_is_from_acceptance_to_outcome_however_a_request_ended(
    clock: Clock, swept: Pool
) -> None:
    assert (await recent(swept)) == Recent(0, 0, 0)
    await end_one(clock, swept, 100)
    await end_one(clock, swept, 300)
    await end_one(clock, swept, 50, how="retry")
    request = await swept.accept()
    await clock.forward(60_000)
    assert await swept.expire(request) == Word.ENDED
    gone = await swept.accept()
    assert await swept.cancel(gone) == Word.OK
    found = await recent(swept)
    assert found == Recent(ended=5, unanswered=2, took_ms=60_450)
    assert found is not None
    assert found.mean_ms == 12_090
    assert found.error_rate == 0.4


async def test_a_tools_own_error_is_an_answer(clock: Clock, swept: Pool) -> None:
    await swept.accept()
    await swept.settle(await swept.take(swept.workers["w1"]), code=Code.TOOL_ERROR, cause="TOOL_ERROR")
    assert await recent(swept) == Recent(1, 0, 0)


async def test_what_ended_is_remembered_for_half_a_minute_at_least_and_a_minute_at_most(
    clock: Clock, swept: Pool
) -> None:
    await end_one(clock, swept, 100)
    await clock.forward(29_800)
    await sweep(swept)
    assert await recent(swept) == Recent(1, 0, 100)
    for _ in range(3):
        await clock.forward(10_000)
        await sweep(swept)
    found = await recent(swept)
    assert found == Recent(1, 0, 100)  # as the older picture is the first one
    for _ in range(3):
        await clock.forward(10_000)
        await sweep(swept)
    assert await recent(swept) == Recent(0, 0, 0)


async def test_pictures_that_nobody_has_renewed_are_no_recent_ones(clock: Clock, swept: Pool) -> None:
    await end_one(clock, swept, 100)
    await clock.forward(91_000)
    assert await recent(swept) is None
    await sweep(swept)
    assert await recent(swept) == Recent(0, 0, 0)
    await end_one(clock, swept, 7)
    assert await recent(swept) == Recent(1, 0, 7)


def test_the_figures_of_several_pools_are_those_of_all_their_requests_together(store_url: str) -> None:
    found = Recent.sum([Recent(9, 0, 90), None, Recent(1, 1, 910)])
    assert found == Recent(10, 1, 1000)
    assert found is not None
    assert (found.mean_ms, found.error_rate) == (100.0, 0.1)
    assert Recent.sum([None]) is None
    assert (Recent().mean_ms, Recent().error_rate) == (None, None)
