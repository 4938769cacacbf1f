"""From a pool's slots to its figures: everything is added first, and divided last.

Above stands `historian`, which asks the store. Below: the slots, as they were read, and the values that come
of them. Plain functions of what they are given; this module must never ask anybody anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mcpweft.analytics.figures import (
    Latency,
    Point,
    PoolAnalytics,
    Requests,
    Series,
    ServerUse,
    Standing,
)
from mcpweft_schemas.figure import SUMS, Figure, PoolLevel, ServerLevel, Tally, Time
from mcpweft_schemas.life import Class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mcpweft.analytics.slots import Part, Picture, Place

LEVELS = dict(zip(Class, (PoolLevel.CRITICAL, PoolLevel.HIGH, PoolLevel.NORMAL, PoolLevel.LOW), strict=True))
"""Where the waiting requests of each class lie."""


@dataclass(frozen=True, slots=True)
class Span:
    """The time that was asked for."""

    since_s: int
    """The beginning of its first slot."""
    until_ms: int
    slot_s: int

    def seconds(self, start_s: int) -> float:
        """Return how much of it lies behind a moment."""
        return max(0.0, self.until_ms / 1000 - start_s)


def summarise(capability: str, parts: Sequence[Part], span: Span, strategy: str | None) -> PoolAnalytics:
    """Return a pool's figures of its slots, oldest first; one before the span is where counters begin."""
    within = [part for part in parts if part.start_s >= span.since_s]
    covered = span.seconds(within[0].start_s) if within else 0.0
    places: dict[Place, Tally] = {}
    for part in within:
        for place, tally in part.series.items():
            places.setdefault(place, Tally()).add(tally)
    total = Tally.sum(places.values())

    def grouped(**by: int) -> tuple[Series, ...]:
        sums: dict[tuple[Any, ...], Tally] = {}
        for place, tally in places.items():
            sums.setdefault(tuple(place[at] for at in by.values()), Tally()).add(tally)
        return tuple(
            series_of(capability, sums[key], covered, **dict(zip(by, key, strict=True)))
            for key in sorted(sums, key=_order)
        )

    pool = Tally.sum(part.pool for part in within)
    return PoolAnalytics(
        capability=capability,
        covered_s=round(covered, 3),
        strategy=strategy,
        total=series_of(capability, total, covered),
        classes=grouped(klass=2),
        servers=grouped(server=0),
        tools=grouped(tool=1),
        series=grouped(server=0, tool=1, klass=2),
        requests=_requests([part.picture for part in parts if part.picture is not None]),
        standing=_standing(pool),
        use=_use(capability, within, places, int(pool[PoolLevel.LOOKS]), covered),
        timeline=tuple(_point(capability, part, span) for part in within),
    )


def _order(key: tuple[Any, ...]) -> tuple[Any, ...]:
    classes = list(Class)
    return tuple(classes.index(each) if isinstance(each, Class) else each for each in key)


def series_of(pool: str, tally: Tally, seconds: float, **labels: Any) -> Series:
    """Return what a tally of attempts in so many seconds says."""
    ok, errors, failed = (int(tally[f]) for f in (Figure.OK, Figure.TOOL_ERROR, Figure.FAILED))
    refused, stopped, timed_out = (
        int(tally[figure]) for figure in (Figure.REFUSED, Figure.STOPPED, Figure.TIMED_OUT)
    )
    return Series(
        pool=pool, attempts=ok + errors + failed + refused + stopped, answered=ok + errors,
        tool_errors=errors, failed=failed, timed_out=timed_out, refused=refused, stopped=stopped,
        retries=int(tally[Figure.AGAIN]), near_timeout=int(tally[Figure.NEAR]),
        throughput=part_of(ok + errors, seconds), error_rate=part_of(failed, ok + errors + failed),
        busy=part_of(tally[Figure.BUSY_MS] / 1000, seconds),
        timeout_ms=part_of(tally[Figure.TIMED_OUT_MS], timed_out),
        queue=_latency(tally, Time.QUEUE), service=_latency(tally, Time.SERVICE),
        response=_latency(tally, Time.RESPONSE), **labels,
    )  # fmt: skip


def part_of(amount: float, whole: float) -> float | None:
    """Return an amount by a whole; None where there is none."""
    return amount / whole if whole > 0 else None


def _latency(tally: Tally, kind: Time) -> Latency:
    spread = tally.spread(kind)
    count = spread.total
    return Latency(
        count, part_of(tally[SUMS[kind]], count), *(spread.quantile(part) for part in (0.5, 0.95, 0.99))
    )


def _requests(pictures: Sequence[Picture]) -> Requests:
    if len(pictures) < 2:  # noqa: PLR2004  # a difference has two ends
        return Requests()

    def grown(counter: str) -> int:
        steps = (
            (old.counters.get(counter, 0), new.counters.get(counter, 0)) for old, new in pairwise(pictures)
        )
        return sum(
            new - old if new >= old else new for old, new in steps
        )  # a pool that was made anew began at 0

    ended = sum(grown(what) for what in ("done", "dead", "cancelled", "expired"))
    return Requests(
        accepted=grown("accepted"), done=grown("done"), dead=grown("dead"), cancelled=grown("cancelled"),
        expired=grown("expired"), retried=grown("retried"), unretried=grown("unretried"),
        reclaimed=grown("reclaimed"), turned_away=grown("turned_away"), mean_ms=part_of(grown("took"), ended),
    )  # fmt: skip


def _standing(pool: Tally) -> Standing:
    looks = int(pool[PoolLevel.LOOKS])
    if not looks:
        return Standing()
    return Standing(
        looks=looks,
        waiting={klass: pool[level] / looks for klass, level in LEVELS.items()},
        running=pool[PoolLevel.RUNNING] / looks,
        delayed=pool[PoolLevel.DELAYED] / looks,
    )


def _use(
    capability: str, parts: Sequence[Part], places: Mapping[Place, Tally], looks: int, covered: float
) -> tuple[ServerUse, ...]:
    def of(name: str) -> ServerUse:
        levels = Tally.sum(part.servers[name] for part in parts if name in part.servers)
        slots = part_of(levels[ServerLevel.SLOTS], looks)
        busy = sum(tally[Figure.BUSY_MS] for (server, _, _), tally in places.items() if server == name)
        used = None if slots is None or not covered else part_of(busy / 1000 / covered, slots)
        return ServerUse(
            pool=capability, server=name, workers=part_of(levels[ServerLevel.WORKERS], looks), slots=slots,
            utilisation=used,
        )  # fmt: skip

    return tuple(of(name) for name in sorted({name for part in parts for name in part.servers}))


def _point(capability: str, part: Part, span: Span) -> Point:
    one = series_of(capability, Tally.sum(part.series.values()), min(span.slot_s, span.seconds(part.start_s)))
    looks = part.pool[PoolLevel.LOOKS]
    return Point(
        at_ms=1000 * part.start_s,
        throughput=one.throughput,
        error_rate=one.error_rate,
        response_p95_ms=one.response.p95_ms,
        waiting=part_of(sum(part.pool[level] for level in LEVELS.values()), looks),
    )


def answered_retries(parts: Iterable[Part], chosen: Callable[[int], bool]) -> dict[str, int]:
    """Return server → attempts that were not the first of their request, in the chosen slots."""
    found: dict[str, int] = {}
    for part in parts:
        if chosen(part.start_s):
            for (server, _, _), tally in part.series.items():
                if tally[Figure.AGAIN] and tally[Figure.OK] + tally[Figure.TOOL_ERROR]:
                    found[server] = found.get(server, 0) + int(tally[Figure.AGAIN])
    return found
