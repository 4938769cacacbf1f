"""Which events of a process are told, when, and as what: the outbox, by its own clock."""

from __future__ import annotations

from mcpweft_schemas.event import Event, Kind, Who
from mcpweft_schemas.outbox import ROOM, WINDOW_S, Outbox


def lost(server: str = "s", reason: str = "") -> Event:
    return Event(Kind.SERVER_LOST, Who.WORKER, server=server, reason=reason)


def told(outbox: Outbox, now: float, *, all_of_it: bool = False) -> list[tuple[str, str, int | None]]:
    """What is ready: server, reason, count."""
    batch = outbox.take(now, 1000, all_of_it=all_of_it)
    return [(one.event.server, one.event.reason, one.event.data.get("count")) for one in batch]


def test_the_first_of_its_likeness_is_told_at_once_and_those_that_follow_a_second_later_as_one() -> None:
    outbox = Outbox()
    for turn in range(10):
        outbox.put(lost(reason=f"{turn}"), turn / 100)
    assert told(outbox, 0.1) == [("s", "0", None)]
    assert outbox.next_in(0.1) == WINDOW_S - 0.1
    assert told(outbox, 0.9) == []
    assert told(outbox, WINDOW_S) == [("s", "9", 9)]
    assert outbox.next_in(WINDOW_S) is None


def test_a_storm_of_one_likeness_costs_no_more_than_one_event_a_second_from_then_on() -> None:
    outbox, heard, sent = Outbox(), 0, 0
    for turn in range(5000):
        now = turn / 1000
        outbox.put(Event(Kind.FAILOVER, Who.WORKER, server="s", reason="SERVER_DIED", data={"count": 1}), now)
        for one in outbox.take(now, 50):
            heard += one.event.data["count"]
            sent += 1
    heard += sum(one.event.data["count"] for one in outbox.take(5.0, 50, all_of_it=True))
    assert heard == 5000
    assert sent <= 6
    assert outbox.dropped == 0


def test_events_that_differ_in_cause_or_state_are_told_each() -> None:
    outbox = Outbox()
    for after in ("open", "half_open", "closed"):
        outbox.put(Event(Kind.BREAKER_MOVED, Who.WORKER, server="s", data={"after": after}), 0.0)
    for cause in ("SERVER_DIED", "ATTEMPT_TIMEOUT"):
        outbox.put(Event(Kind.FAILOVER, Who.WORKER, server="s", reason=cause), 0.0)
    assert len(outbox.take(0.0, 50)) == 5


def test_what_finds_no_room_is_dropped_and_counted_and_room_comes_back() -> None:
    outbox = Outbox()
    for turn in range(10 * ROOM):
        outbox.put(lost(server=f"s{turn}"), 0.0)
    kept = len(outbox.take(0.0, 10_000))
    assert 0 < kept <= ROOM
    assert outbox.dropped == 10 * ROOM - kept
    outbox.put(lost("another"), WINDOW_S)
    assert told(outbox, WINDOW_S) == [("another", "", None)]


def test_at_the_end_what_is_being_gathered_is_told_too() -> None:
    outbox = Outbox()
    outbox.put(lost(), 0.0)
    outbox.put(lost(), 0.1)
    outbox.put(lost(), 0.2)
    assert told(outbox, 0.3, all_of_it=True) == [("s", "", None), ("s", "", 2)]
