"""Events paired into failovers: each trouble with its return, and what has no return has no time."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft.analytics.failovers import breaker_moves, failovers, strategy_changes
from mcpweft.analytics.figures import Trouble
from mcpweft_schemas.circuit import Event as Order
from mcpweft_schemas.circuit import by_hand, question
from mcpweft_schemas.event import Event, Kind, Who
from mcpweft_schemas.figure import Figure, Tally, series
from mcpweft_schemas.word import Word
from waiting import until

if TYPE_CHECKING:
    from mcpweft import Client
    from mcpweft.analytics import Failover
    from workbench import Bench


def at(
    second: float,
    kind: Kind,
    worker: str = "w1",
    server: str = "alpha",
    pool: str = "",
    reason: str = "",
    **data: Any,
) -> Event:
    return Event(kind, Who.WORKER, pool, server, worker, reason, data, at_ms=round(1000 * second))


def breaker(second: float, after: str, worker: str = "w1", server: str = "alpha") -> Event:
    return at(second, Kind.BREAKER_MOVED, worker, server, reason=f"is {after}", before="x", after=after)


def told(*events: Event) -> list[Failover]:
    def beta(server: str, began_ms: int, ended_ms: int | None) -> tuple[str, ...]:
        return ("beta",)

    return list(failovers(events, beta))


def brief(*events: Event) -> list[tuple[str, str, float | None]]:
    return [(one.trouble.value, one.server, one.recovery_s) for one in told(*events)]


def test_a_breaker_is_back_when_it_is_closed_and_not_while_it_probes() -> None:
    (one,) = told(breaker(10, "open"), breaker(40, "half_open"), breaker(41, "open"), breaker(72.5, "closed"))
    assert (one.trouble, one.cause, one.began_ms, one.ended_ms) == (
        Trouble.BREAKER,
        "is open",
        10_000,
        72_500,
    )
    assert (one.recovery_s, one.workers, one.to) == (62.5, ("w1",), ("beta",))


def test_what_is_out_still_has_no_time() -> None:
    (one,) = told(breaker(10, "open"), breaker(40, "half_open"))
    assert (one.ended_ms, one.recovery_s) == (None, None)


def test_workers_of_one_server_are_one_failover_until_the_last_is_back() -> None:
    events = [breaker(1, "open"), breaker(2, "open", "w2"), breaker(5, "closed"), breaker(9, "closed", "w2")]
    (one,) = told(*events)
    assert (one.workers, one.recovery_s) == (("w1", "w2"), 8.0)


@pytest.mark.parametrize("after", ["forced_open", "cordoned"])
def test_what_was_taken_out_by_hand_is_told_as_that(after: str) -> None:
    assert brief(breaker(1, after), breaker(4, "closed")) == [("forced", "alpha", 3.0)]


def died(second: float, worker: str = "w1", pool: str = "a", **data: Any) -> Event:
    return at(second, Kind.WORKER_DIED, worker, pool=pool, **data)


def joined(second: float, worker: str = "w1", pool: str = "a") -> Event:
    return at(second, Kind.WORKER_JOINED, worker, pool=pool)


def test_a_worker_that_comes_back_and_dies_again_has_died_twice() -> None:
    twice = told(died(1, moved=1), joined(2), died(1000, moved=5), joined(1003))
    assert [(one.began_ms, one.recovery_s, one.moved) for one in twice] == [
        (1000, 1.0, 1),
        (1_000_000, 3.0, 5),
    ]
    stood_in = told(died(1), joined(2, "w2"), died(1000, "w2"), joined(1001, "w2"))
    assert [one.recovery_s for one in stood_in] == [1.0, 1.0]


def test_what_is_told_late_of_a_workers_other_pools_is_the_same_death() -> None:
    events = [died(1, moved=1), joined(2, "w2"), died(3, pool="b", moved=2), joined(4, "w2", "b")]
    (one,) = told(*events)
    assert (one.pools, one.moved, one.recovery_s) == (("a", "b"), 3, 1.0)


def test_each_time_is_a_failover_of_its_own() -> None:
    events = [breaker(1, "open"), breaker(3, "closed"), breaker(10, "open"), breaker(11, "disabled")]
    assert brief(*events) == [("breaker", "alpha", 2.0), ("breaker", "alpha", 1.0)]


def test_an_end_without_a_beginning_is_none() -> None:
    events = [
        breaker(1, "half_open"),
        breaker(2, "closed"),
        at(3, Kind.SERVER_READY),
        at(4, Kind.WORKER_JOINED),
    ]
    assert brief(*events) == []


def test_a_worker_that_is_gone_leaves_its_servers_return_unknown() -> None:
    events = [breaker(1, "open"), at(2, Kind.WORKER_LEFT), breaker(8, "closed")]
    assert brief(*events) == [("breaker", "alpha", None)]
    lost = [at(1, Kind.SERVER_LOST), at(2, Kind.WORKER_LEFT), at(5, Kind.SERVER_READY)]
    assert brief(*lost) == [("server_lost", "alpha", None)]


def test_a_lost_server_is_back_when_the_same_worker_has_it_again() -> None:
    events = [
        at(1, Kind.SERVER_LOST, reason="it exited"),
        at(2, Kind.SERVER_READY, "w2"),
        at(3, Kind.SERVER_READY),
    ]
    (one,) = told(*events)
    assert (one.trouble, one.cause, one.recovery_s) == (Trouble.SERVER_LOST, "it exited", 2.0)


def test_a_dead_worker_is_replaced_by_the_next_that_joins_which_replaces_one_only() -> None:
    events = [
        at(1, Kind.WORKER_DIED, pool="p", moved=2, lost=1),
        at(1.1, Kind.WORKER_DIED, pool="q", moved=3, lost=0),
        at(2, Kind.WORKER_DIED, "w2", pool="p", moved=0, lost=0),
        at(4, Kind.WORKER_JOINED, "w3", pool="p"), at(4.1, Kind.WORKER_JOINED, "w3", pool="q"),
        at(5, Kind.WORKER_JOINED, "w4", "beta", pool="p"),
    ]  # fmt: skip
    first, second = told(*events)
    assert (first.pools, first.moved, first.lost, first.recovery_s) == (("p", "q"), 5, 1, 3.0)
    assert (second.workers, second.recovery_s) == (("w2",), None)


def test_a_worker_that_was_only_silent_stands_in_for_itself() -> None:
    events = [
        at(1, Kind.WORKER_DIED, "w1"), at(2, Kind.WORKER_DIED, "w2"), at(3, Kind.WORKER_JOINED, "w2"),
    ]  # fmt: skip
    assert [one.recovery_s for one in told(*events)] == [None, 1.0]


def test_a_worker_that_was_asked_to_end_has_not_died() -> None:
    assert brief(at(1, Kind.WORKER_EXITED, asked=True)) == []
    assert brief(at(1, Kind.WORKER_EXITED, asked=False, moved=1)) == [("worker_died", "alpha", None)]


def test_attempts_that_were_moved_meanwhile_are_counted() -> None:
    events = [
        at(0, Kind.FAILOVER, count=9), breaker(1, "open"), at(2, Kind.FAILOVER, count=4),
        at(3, Kind.FAILOVER, server="beta", count=5), breaker(4, "closed"), at(5, Kind.FAILOVER, count=7),
    ]  # fmt: skip
    (one,) = told(*events)
    assert one.moved == 4


def test_moves_and_changes_are_told_as_they_came() -> None:
    changed = at(3, Kind.STRATEGY_CHANGED, pool="p", before="round_robin", after="adaptive")
    (move,) = breaker_moves([breaker(1, "open"), changed])
    assert (move.at_ms, move.server, move.worker, move.after, move.reason) == (
        1000, "alpha", "w1", "open", "is open",
    )  # fmt: skip
    (change,) = strategy_changes([breaker(1, "open"), changed])
    assert (change.pool, change.before, change.after) == ("p", "round_robin", "adaptive")


async def test_a_servers_death_is_told_with_its_measured_return_and_who_stood_in(
    bench: Bench, client: Client
) -> None:
    quiet = {"breaker": {"failure_threshold": 50}}
    async with bench.worker(bench.config(**quiet), worker_id="one"):
        await bench.outcome(await bench.enqueue("crash", {}, safe=True, max_attempts=1))

        async def back() -> bool:
            found = (await client.analytics()).failovers
            return bool(found) and found[0].recovery_s is not None

        await until(back)
    (one,) = (await client.analytics("5m", "echo")).failovers
    assert (one.trouble, one.server, one.workers) == (Trouble.SERVER_LOST, "echo", ("one",))
    assert one.cause
    assert 0 < (one.recovery_s or 0) < 30
    assert one.to == ()


async def test_a_server_that_is_taken_out_by_hand_is_told_as_forced(bench: Bench, client: Client) -> None:
    async with bench.worker():
        for order in (Order.FORCE_OPEN, Order.RESET):
            now = await bench.store.breaker("echo", question("echo"))
            given = replace(by_hand(order, "echo", "to be mended", order.value), generation=now.generation)
            assert (await bench.store.breaker("echo", given)).word is Word.OK
            await until(partial(moved, client, 1 if order is Order.FORCE_OPEN else 2))
    (one,) = (await client.analytics()).failovers
    assert (one.trouble, one.server) == (Trouble.FORCED, "echo")
    assert "to be mended" in one.cause
    assert one.recovery_s is not None


async def test_who_answered_retries_meanwhile_is_who_stood_in(bench: Bench, client: Client) -> None:
    await bench.store.declare("echo", "1")
    again, first = Tally({Figure.OK: 1, Figure.AGAIN: 1}), Tally({Figure.OK: 1})
    booked = {"alpha": first, "beta": again, "gamma": first}
    told = [(series(server, "find", "low"), tally.told()) for server, tally in booked.items()]
    await bench.store.book("echo", "w1", 1, told)
    for event in (breaker(0, "open"), breaker(0, "open", "w9", "elsewhere"), breaker(0, "closed")):
        await bench.store.tell([event.fields(0)], 1000)
    mine, other = (await client.analytics()).failovers
    assert (mine.server, mine.to) == ("alpha", ("beta",))
    assert mine.recovery_s is not None
    assert (other.server, other.to, other.recovery_s) == ("elsewhere", None, None)
    assert [one.server for one in (await client.analytics(capability="echo")).failovers] == ["alpha"]


async def moved(client: Client, count: int) -> bool:
    return len((await client.analytics()).breaker_moves) == count
