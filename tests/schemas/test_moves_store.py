"""A store in trouble: full, with a key of the wrong type, or with its scripts forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ResponseError

import realredis
from altered import Clock
from mcpweft_schemas.connect import Link
from mcpweft_schemas.errors import ResourceExhaustedError
from mcpweft_schemas.life import State
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.store import Store
from mcpweft_schemas.wire import Settlement
from mcpweft_schemas.word import Word
from pool import OTHER, PRODUCER, Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


# -- a full store ------------------------------------------------------------------------------------------


@pytest.fixture(params=["redis", "valkey"])
async def own(request: pytest.FixtureRequest) -> AsyncIterator[Pool]:
    """A pool on a server of the test's own, which may be filled."""
    binary = realredis.find(request.param)
    if binary is None:
        pytest.skip(f"no server for {request.param!r}")
    with realredis.RedisServer(binary) as server:
        async with Link.to(server.url) as link:
            yield await Pool.make(Store(link, "own"), "echo")


async def _fill(pool: Pool) -> None:
    """Let the store have less memory than it uses already."""
    await pool.store.link.run("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await pool.store.link.run("CONFIG", "SET", "maxmemory", "1mb")
    with pytest.raises(ResourceExhaustedError):
        await pool.store.link.run("SET", "x", "y")


async def test_a_full_store_refuses_new_requests_with_a_word_and_writes_nothing(own: Pool) -> None:
    await _fill(own)
    before = await own.shot()
    items = [own.submission(), own.submission(delay_ms=1000), own.submission(key="k")]
    enqueued = await own.store.enqueue("echo", items)
    assert [i.word for i in enqueued.items] == [Word.OOM] * 3
    assert await own.shot() == before


async def test_what_runs_in_a_full_store_is_settled_every_way(own: Pool) -> None:
    for _ in range(4):
        await own.accept(safe=True)
    done, retried, released, dead = await own.fetch(await own.join(), 4)
    await _fill(own)
    assert await own.settle(done) == Word.OK
    assert await own.settle(retried, "retry") == Word.RETRIED
    assert await own.settle(released, "release") == Word.OK
    assert await own.settle(dead, "dead", code=Code.SESSION_LOST) == Word.OK
    assert {r.id for r in await own.heard()} == {done.id, dead.id}


async def test_a_full_store_still_hands_out_work_so_that_it_drains(own: Pool) -> None:
    worker = await own.join()
    retried = await own.accept()
    await own.settle(await own.take(worker), "retry", backoff_ms=0)
    fresh = await own.accept()
    delayed = await own.accept(delay_ms=1)
    await _fill(own)
    got: set[str] = set()
    while len(got) < 3:
        got |= {d.id for d in await own.fetch(worker, 5)}
    assert got == {retried, fresh, delayed}


async def test_a_full_store_keeps_the_fleet_alive_and_led(own: Pool) -> None:
    worker = await own.join()
    await own.store.lease("lead", "one", 60_000)
    delivery_id = await own.accept(safe=True)
    await own.take(worker)
    await _fill(own)
    assert (await own.store.beat("echo", worker, 60_000, b"a larger load than before")).word == Word.OK
    assert (await own.store.lease("lead", "one", 90_000)).left_ms == 90_000
    assert await own.store.seal("echo", 4) == Word.OK
    assert (await own.store.sweep("echo", 5)).word == Word.OK
    assert await own.store.hear("echo", PRODUCER, 60_000) is True
    adopted = await own.store.adopt("echo", await own.newer(worker), [])
    assert [d.id for d in adopted.deliveries] == [delivery_id]
    got = await own.store.reclaim("echo", 6, "w1", confirmed=True, dead_after_ms=1000)
    assert got.moved == 1
    assert await own.store.retire("echo", "w1") == Word.OK


async def test_a_full_store_lets_requests_be_cancelled_and_expire(own: Pool, standing_clock: None) -> None:
    clock = Clock(own.store, "echo")
    await clock.forward(0)
    running = await own.accept(timeout_ms=1000)
    await own.take(await own.join())
    late, queued = await own.accept(timeout_ms=1000), await own.accept()
    await clock.forward(1000)
    await _fill(own)
    assert await own.cancel(queued, PRODUCER) == Word.OK
    assert await own.expire(running) == Word.SIGNALLED
    assert await own.cancel(running) == Word.SIGNALLED
    assert await own.expire(late) == Word.ENDED
    assert [await own.state(r) for r in (queued, late)] == [State.CANCELLED, State.EXPIRED]


async def test_a_worker_that_starts_on_a_full_store_joins_a_pool_that_is_there(own: Pool) -> None:
    queued = await own.accept()
    await _fill(own)
    assert await own.store.declare("echo", "other", {"bound": 9}) != "other"
    assert await own.take(await own.join("late")) is not None
    assert await own.state(queued) == State.RUNNING
    with pytest.raises(ResourceExhaustedError):
        await own.store.declare("another", "inc")


async def test_attaching_in_a_full_store_is_refused_as_a_whole(own: Pool) -> None:
    request = await own.accept()
    await _fill(own)
    before = await own.shot()
    with pytest.raises(ResourceExhaustedError):
        await own.store.attach("echo", request, OTHER)
    assert await own.shot() == before


# -- keys of the wrong type --------------------------------------------------------------------------------

_KEYS = (
    "stat", "delayed", "expiry", "picky", "dead", "usable", "alive", "bell", "safe", "readers", "q:critical",
    "q:low", "q:due",
)  # fmt: skip


def _writers(pool: Pool) -> dict[str, Callable[[], Awaitable[object]]]:
    """Every move that writes to requests, each on a request in the state that it needs."""
    worker = pool.workers["w1"]
    store = pool.store
    return {
        "enqueue": lambda: store.enqueue("echo", [pool.submission()]),
        "fetch": lambda: store.fetch("echo", worker, 5, ("1",)),
        "adopt": lambda: store.adopt("echo", worker, []),
        "cancel": lambda: store.cancel("echo", "echo~queued"),
        "expire": lambda: store.expire("echo", ["echo~queued"]),
        "sweep": lambda: store.sweep("echo", 7),
        "reclaim": lambda: store.reclaim("echo", 7, "w1", confirmed=True, dead_after_ms=0),
        "replay": lambda: store.replay("echo", "echo~dead", "echo~new", timeout_ms=9, keep_ms=9),
    }


@pytest.mark.parametrize("key", _KEYS)
@realredis.stores("redis", "valkey")
async def test_a_key_of_the_wrong_type_is_refused_before_the_first_write(pool: Pool, key: str) -> None:
    pool.sound = False
    worker = await pool.join()
    await pool.accept(id="echo~dead", max_attempts=1)
    await pool.settle(await pool.take(worker), "retry")
    await pool.accept(safe=True)
    running = await pool.take(worker)
    await pool.accept(id="echo~queued")
    name = pool.store.keys("echo").prefix + key
    await pool.store.link.run("DEL", name)
    await pool.store.link.run("SET", name, "not this type", "EX", 600)
    moves = _writers(pool)
    moves["settle"] = lambda: pool.settle(running)
    before = await pool.shot()
    for move in moves.values():
        with pytest.raises(ResponseError, match=r"^WRONGTYPE"):
            await move()
        assert await pool.shot() == before
    for request in before.records():
        await pool.store.link.run("DEL", pool.store.keys("echo").record(request))


@realredis.every_store
async def test_a_record_of_the_wrong_type_fails_its_own_item_only(pool: Pool) -> None:
    prefix = pool.store.keys("echo").prefix
    await pool.store.link.run("SET", f"{prefix}r:echo~bad", "x", "EX", 600)
    items = [pool.submission(), pool.submission(id="echo~bad"), pool.submission()]
    enqueued = await pool.store.enqueue("echo", items)
    assert [i.word for i in enqueued.items] == [Word.OK, Word.ERROR, Word.OK]
    one, two = await pool.fetch(await pool.join(), 2)
    settlements = [
        Settlement(i, d.stream, d.entry, "done", "OK", "OK", Executed.YES)
        for d, i in ((one, one.id), (one, "echo~bad"), (two, two.id))
    ]
    assert await pool.store.settle("echo", "w1", settlements) == (Word.OK, Word.LOST, Word.OK)
    assert await pool.cancel("echo~bad") == Word.UNKNOWN


@realredis.every_store
async def test_a_control_stream_of_the_wrong_type_does_not_stop_a_cancel(pool: Pool) -> None:
    request = await pool.accept()
    delivery = await pool.take(await pool.join())
    await pool.store.link.run("SET", pool.store.keys("echo").control("w1"), "x", "EX", 600)
    assert await pool.cancel(request) == Word.SIGNALLED
    assert await pool.settle(delivery) == Word.OK


# -- scripts that the store has forgotten ------------------------------------------------------------------


async def test_scripts_that_the_store_forgot_are_sent_again(own: Pool) -> None:
    await own.accept()
    worker = await own.join()
    await own.store.link.run("SCRIPT", "FLUSH")
    delivery = await own.take(worker)
    await own.store.link.run("SCRIPT", "FLUSH")
    assert await own.settle(delivery) == Word.OK
    await own.store.link.run("SCRIPT", "FLUSH")
    assert (await own.enqueue()).word == Word.OK
    assert len(await own.heard()) == 1
