"""Every lost reply: a move is carried out, its answer is cut off, and the caller goes by docs/protocol.md.

The cut is real: a proxy forwards the command, waits until the store has answered, and drops the connection.
Time stands still, so that a repeat which writes anything at all is seen in the keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import realredis
from altered import TEST_CLOCK, Clock, altered
from mcpweft_schemas.circuit import Act, Appeal, Event, Pace, by_hand
from mcpweft_schemas.connect import Link, StoreUnreachableError
from mcpweft_schemas.figure import Figure, Tally, series
from mcpweft_schemas.outcome import Executed
from mcpweft_schemas.script import script
from mcpweft_schemas.store import Reader, Store
from mcpweft_schemas.word import Word
from pool import OTHER, PRODUCER, Pool
from proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

PACE = Pace(probes=2, successes=2)
pytestmark = realredis.stores("redis", "valkey")


@dataclass(frozen=True, slots=True)
class Cut:
    """A pool behind a proxy that can lose answers."""

    pool: Pool
    proxy: Proxy
    clock: Clock

    async def lose(self, move: str, call: Callable[[], Awaitable[Any]]) -> None:
        """Let `call`, which runs `move`, be carried out and its answer be lost."""
        in_force = altered(TEST_CLOCK)(move)
        await self.pool.store.link.run("SCRIPT", "LOAD", in_force.text)
        lost = self.proxy.lost.total()
        self.proxy.sever(in_force.sha)
        with pytest.raises(StoreUnreachableError):
            await call()
        assert self.proxy.lost.total() == lost + 1


@pytest.fixture
async def cut(standing_clock: None, store_url: str, namespace: str) -> AsyncIterator[Cut]:
    async with Proxy(store_url) as proxy, Link.to(proxy.url) as link:
        store = Store(link, namespace)
        clock = Clock(store, "echo")
        await clock.forward(0)
        yield Cut(await Pool.make(store, "echo"), proxy, clock)


# -- what each move does when it is repeated ---------------------------------------------------------------


async def _declare(cut: Cut) -> Any:
    return lambda: cut.pool.store.declare("echo", "other", {"bound": 9})


async def _enqueue(cut: Cut) -> Any:
    item = cut.pool.submission()
    return lambda: cut.pool.enqueue(item)


async def _enqueue_delayed(cut: Cut) -> Any:
    item = cut.pool.submission(delay_ms=1000, key="k")
    return lambda: cut.pool.enqueue(item)


async def _enqueue_attaching(cut: Cut) -> Any:
    await cut.pool.accept(key="k")
    item = cut.pool.submission(key="k", waiter=OTHER)
    return lambda: cut.pool.enqueue(item)


async def _attach(cut: Cut) -> Any:
    request = await cut.pool.accept()
    return lambda: cut.pool.store.attach("echo", request, OTHER)


async def _cancel_queued(cut: Cut) -> Any:
    request = await cut.pool.accept()
    return lambda: cut.pool.cancel(request)


async def _cancel_running(cut: Cut) -> Any:
    request = await cut.pool.accept()
    await cut.pool.take(await cut.pool.join())
    return lambda: cut.pool.cancel(request)


async def _leave(cut: Cut) -> Any:
    request = await cut.pool.accept()
    await cut.pool.store.attach("echo", request, OTHER)
    return lambda: cut.pool.cancel(request, PRODUCER)


async def _leave_last(cut: Cut) -> Any:
    request = await cut.pool.accept()
    return lambda: cut.pool.cancel(request, PRODUCER)


async def _expire_queued(cut: Cut) -> Any:
    request = await cut.pool.accept(timeout_ms=10)
    await cut.clock.forward(10)
    return lambda: cut.pool.expire(request)


async def _expire_running(cut: Cut) -> Any:
    request = await cut.pool.accept(timeout_ms=10)
    await cut.pool.take(await cut.pool.join())
    await cut.clock.forward(10)
    return lambda: cut.pool.expire(request)


def _settle(how: str, **fields: Any) -> Callable[[Cut], Awaitable[Any]]:
    async def prepare(cut: Cut) -> Any:
        await cut.pool.accept(**fields)
        delivery = await cut.pool.take(await cut.pool.join())
        executed = {"executed": Executed.MAYBE} if fields.get("safe") is False else {}
        return lambda: cut.pool.settle(delivery, how, **executed)

    return prepare


async def _adopt(cut: Cut) -> Any:
    await cut.pool.accept()
    worker = await cut.pool.join()
    await cut.pool.take(worker)
    newer = await cut.pool.newer(worker)
    return lambda: cut.pool.store.adopt("echo", newer, [])


async def _register(cut: Cut) -> Any:
    worker = await cut.pool.join()
    return lambda: cut.pool.store.register("echo", worker, b"new", [("t", True, b"{}")])


async def _beat(cut: Cut) -> Any:
    worker = await cut.pool.join()
    await cut.clock.forward(100)
    return lambda: cut.pool.store.beat("echo", worker, 500, b"load")


async def _book(cut: Cut) -> Any:
    told = [(series("alpha", "echo", "low"), Tally({Figure.OK: 3}).told())]
    return lambda: cut.pool.store.book("echo", "w1", 7, told)


async def _trip(cut: Cut) -> Any:
    return await _appeal(cut, Act.TRIP)


async def _hold_permit(cut: Cut) -> Any:
    await (await _appeal(cut, Act.TRIP))()
    await cut.clock.forward(PACE.first_ms)
    return await _appeal(cut, Act.PROBE, await _generation(cut))


async def _prove(cut: Cut) -> Any:
    await (await _hold_permit(cut))()
    return await _appeal(cut, Act.PROVE, await _generation(cut))


async def _force(cut: Cut) -> Any:
    await cut.pool.join()
    order = by_hand(Event.FORCE_OPEN, "alpha", "why", "mark")
    return lambda: cut.pool.store.breaker("echo", order)


async def _generation(cut: Cut) -> int:
    return int((await cut.pool.shot()).hashes["breaker:w1"]["generation"])


async def _appeal(cut: Cut, act: Act, generation: int = 0) -> Any:
    await cut.pool.join()
    said = Appeal(
        act=act, server="alpha", instance="w1", worker="w1", generation=generation, hard=True, pace=PACE,
        permits=("w1/1",),
    )  # fmt: skip
    return lambda: cut.pool.store.breaker("echo", said)


async def _retire(cut: Cut) -> Any:
    await cut.pool.join()
    return lambda: cut.pool.store.retire("echo", "w1")


async def _reclaim(cut: Cut) -> Any:
    for safe in (True, False):
        await cut.pool.accept(safe=safe)
    await cut.pool.fetch(await cut.pool.join(), 2)
    return lambda: cut.pool.store.reclaim("echo", 1, "w1", confirmed=True, dead_after_ms=1)


async def _sweep(cut: Cut) -> Any:
    await cut.pool.accept(timeout_ms=10)
    await cut.clock.forward(10)
    return lambda: cut.pool.store.sweep("echo", 3)


async def _seal(cut: Cut) -> Any:
    return lambda: cut.pool.store.seal("echo", 3)


async def _deal(cut: Cut) -> Any:
    return lambda: cut.pool.store.deal("echo", 3, "predictive", {"w1": b"share"}, 60_000)


async def _dead_letter(cut: Cut) -> str:
    request = await cut.pool.accept(max_attempts=1)
    await cut.pool.settle(await cut.pool.take(await cut.pool.join()), "retry")
    return request


async def _replay(cut: Cut) -> Any:
    letter = await _dead_letter(cut)
    return lambda: cut.pool.store.replay("echo", letter, "echo~two", timeout_ms=9, keep_ms=9)


async def _purge(cut: Cut) -> Any:
    letter = await _dead_letter(cut)
    return lambda: cut.pool.store.purge("echo", [letter])


async def _hear(cut: Cut) -> Any:
    await cut.pool.cancel(await cut.pool.accept())
    (*_, last) = (await cut.pool.shot()).streams[f"reply:{PRODUCER}"].entries
    return lambda: cut.pool.store.hear("echo", PRODUCER, 60_000, last)


async def _forget(cut: Cut) -> Any:
    reader = Reader("w1", "git", "w1", cut.pool.incarnation, 1)
    await cut.pool.store.register("echo", reader, b"", [("say", True, b"x")])
    await cut.pool.store.retire("echo", "w1")
    return lambda: cut.pool.store.forget("echo", "git")


def _word(answer: Any) -> Any:
    return getattr(answer, "word", answer)


@pytest.mark.parametrize(
    ("move", "prepare", "again"),
    [
        pytest.param("declare", _declare, None, id="declare"),
        pytest.param("enqueue", _enqueue, Word.REPEAT, id="enqueue"),
        pytest.param("enqueue", _enqueue_delayed, Word.REPEAT, id="enqueue delayed"),
        pytest.param("enqueue", _enqueue_attaching, Word.ATTACHED, id="enqueue attaching"),
        pytest.param("attach", _attach, Word.ATTACHED, id="attach"),
        pytest.param("cancel", _cancel_queued, Word.SETTLED, id="cancel queued"),
        pytest.param("cancel", _cancel_running, Word.SIGNALLED, id="cancel running"),
        pytest.param("cancel", _leave, Word.DETACHED, id="leave"),
        pytest.param("cancel", _leave_last, Word.SETTLED, id="leave last"),
        pytest.param("expire", _expire_queued, Word.SETTLED, id="expire queued"),
        pytest.param("expire", _expire_running, Word.SIGNALLED, id="expire running"),
        pytest.param("settle", _settle("done"), Word.REPEAT, id="settle done"),
        pytest.param("settle", _settle("retry"), Word.REPEAT, id="settle retry"),
        pytest.param("settle", _settle("retry", max_attempts=1), Word.REPEAT, id="settle exhausted"),
        pytest.param("settle", _settle("retry", safe=False), Word.REPEAT, id="settle unknown"),
        pytest.param("settle", _settle("release"), Word.REPEAT, id="settle release"),
        pytest.param("adopt", _adopt, Word.OK, id="adopt"),
        pytest.param("register", _register, None, id="register"),
        pytest.param("beat", _beat, Word.OK, id="beat"),
        pytest.param("book", _book, Word.REPEAT, id="book"),
        pytest.param("breaker", _trip, Word.STALE, id="breaker trip"),
        pytest.param("breaker", _prove, Word.REPEAT, id="breaker prove"),
        pytest.param("breaker", _force, Word.REPEAT, id="breaker force"),
        pytest.param("retire", _retire, Word.OK, id="retire"),
        pytest.param("reclaim", _reclaim, Word.OK, id="reclaim"),
        pytest.param("sweep", _sweep, Word.OK, id="sweep"),
        pytest.param("seal", _seal, Word.OK, id="seal"),
        pytest.param("deal", _deal, Word.OK, id="deal"),
        pytest.param("replay", _replay, Word.REPEAT, id="replay"),
        pytest.param("purge", _purge, 0, id="purge"),
        pytest.param("hear", _hear, True, id="hear"),
        pytest.param("forget", _forget, 0, id="forget"),
    ],
)
async def test_a_move_whose_answer_was_lost_is_repeated_and_writes_nothing_twice(
    cut: Cut, move: str, prepare: Callable[[Cut], Awaitable[Any]], again: Any
) -> None:
    call = await prepare(cut)
    before = await cut.pool.shot()
    await cut.lose(move, call)
    carried_out = await cut.pool.shot()
    assert carried_out != before
    answer = await call()
    assert again is None or _word(answer) == again
    assert await cut.pool.shot() == carried_out


async def test_what_a_repeated_sweep_and_reclaim_count_was_counted_once(cut: Cut) -> None:
    sweep = await _sweep(cut)
    await cut.lose("sweep", sweep)
    assert (await sweep()).expired == 0
    reclaim = await _reclaim(cut)
    await cut.lose("reclaim", reclaim)
    again = await reclaim()
    assert (again.moved, again.lost) == (0, 0)


async def test_a_fetch_whose_answer_was_lost_is_adopted_and_its_late_repeat_is_stale(cut: Cut) -> None:
    sent = [await cut.pool.accept() for _ in range(3)]
    worker = await cut.pool.join()
    held = await cut.pool.take(worker)
    await cut.lose("fetch", lambda: cut.pool.fetch(worker, 5))
    newer = await cut.pool.newer(worker)
    adopted = await cut.pool.store.adopt("echo", newer, [f"{held.stream} {held.entry}"])
    assert [d.id for d in adopted.deliveries] == sent[1:]
    late = await cut.pool.store.fetch("echo", worker, 5, ("1",))
    assert (late.word, late.deliveries) == (Word.STALE, ())
    for delivery in (held, *adopted.deliveries):
        assert await cut.pool.settle(delivery) == Word.OK


async def test_a_permit_whose_answer_was_lost_is_held_once(cut: Cut) -> None:
    probe = await _hold_permit(cut)
    await cut.lose("breaker", probe)
    assert (await probe()).word == Word.STALE  # it was half open before, of which the caller has not heard
    again = await _appeal(cut, Act.PROBE, await _generation(cut))
    assert [(await again()).permits for _ in range(2)] == [("w1/1",), ("w1/1",)]


async def test_progress_that_nobody_answered_for_has_reached_its_waiter_once(cut: Cut) -> None:
    await cut.pool.accept()
    delivery = await cut.pool.take(await cut.pool.join())
    await cut.lose("progress", lambda: cut.pool.store.progress("echo", delivery, b"half"))
    assert [r.body for r in await cut.pool.heard()] == [b"half"]


async def test_a_lease_whose_answer_was_lost_is_renewed_with_the_same_epoch(cut: Cut) -> None:
    store = cut.pool.store
    await cut.lose("lease", lambda: store.lease("lead", "one", 60_000))
    again = await store.lease("lead", "one", 60_000)
    assert (again.word, again.epoch) == (Word.OK, 1)
    await cut.lose("lease", lambda: store.lease("lead", "one", 0))
    await store.lease("lead", "one", 0)
    assert (await store.lease("lead", "two", 60_000)).epoch == 2


async def test_chunks_whose_answer_was_lost_are_laid_again_and_are_the_same(cut: Cut) -> None:
    request = await cut.pool.accept()
    delivery = await cut.pool.take(await cut.pool.join())
    cut.proxy.sever(f":c:{request}")
    with pytest.raises(StoreUnreachableError):
        await cut.pool.store.lay_chunks("echo", delivery, [b"one", b"two"], 60_000)
    await cut.pool.store.lay_chunks("echo", delivery, [b"one", b"two"], 60_000)
    await cut.pool.settle(delivery, body=b"", chunks=2)
    assert await cut.pool.store.chunks("echo", await cut.pool.outcome(request)) == b"onetwo"


# -- nobody repeats behind our back ------------------------------------------------------------------------


async def test_the_client_never_sends_a_command_again_whose_answer_was_lost(cut: Cut) -> None:
    link, key = cut.pool.store.link, cut.pool.store.keys("echo").prefix + "reply:count"
    await link.run("XADD", key, "*", "n", "first")
    await link.run("EXPIRE", key, 600)
    for n in range(20):
        cut.proxy.sever("XADD")
        with pytest.raises(StoreUnreachableError):
            await link.run("XADD", key, "*", "n", n)
    assert (await link.run("XLEN", key), cut.proxy.lost.total()) == (21, 20)


async def test_a_script_that_the_store_forgot_is_sent_once_even_if_its_answer_is_lost(cut: Cut) -> None:
    await cut.pool.store.link.run("SCRIPT", "FLUSH")
    cut.proxy.sever("local STRIDE = 20")  # the text itself, not its hash
    item = cut.pool.submission()
    with pytest.raises(StoreUnreachableError):
        await cut.pool.enqueue(item)
    assert (await cut.pool.enqueue(item)).word == Word.REPEAT
    assert "local STRIDE = 20" in script("enqueue").text
