"""`mcpweft analytics`: what was measured of the fleet, what failed over, and what to change.

Below is the client. This module must never compute a figure: one that nobody knows is `?`.
"""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mcpweft.cli import answer
from mcpweft.cli.chart import WIDTH, chart
from mcpweft.cli.exits import Exit
from mcpweft.cli.option import FOUND, Fabric, Json
from mcpweft.cli.running import run
from mcpweft.cli.table import print_table
from mcpweft_schemas import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mcpweft import Analytics
    from mcpweft.analytics import Failover, Point, PoolAnalytics, Range, Recommendation, Rehearsal, Series

_HEADS = (
    "pool", "server", "tool", "class", "answers", "per s", "failed", "retries", "wait p95", "p50", "p95",
    "p99", "all p95",
)  # fmt: skip
_CHARTS: dict[str, tuple[str, Callable[[Point], float | None]]] = {
    "answers/s": ("{:.1f}", lambda point: point.throughput),
    "p95 ms": ("{:.0f}", lambda point: point.response_p95_ms),
    "failed": ("{:.0%}", lambda point: point.error_rate),
    "waiting": ("{:.0f}", lambda point: point.waiting),
}


def analytics(
    capability: str | None = None,
    /,
    *,
    since: str = "1h",
    rehearse: bool = False,
    json: Json = False,
    fabric: Fabric = FOUND,
) -> int:
    """Show what was measured: figures of pools, servers, tools and classes, failovers, recommendations.

    Parameters
    ----------
    capability
        Whose; unset: every pool's.
    since
        How far back, such as 15m or 2d: in slots of 10 s up to an hour, of 10 min up to a week.
    rehearse
        Run the recorded load under other strategies in the simulator, some 10 s a pool: what do they give?
    json
        Print JSON.
    fabric
        Which fabric.

    """
    found = run(_analytics(fabric, since, capability, rehearse=rehearse))
    if json:
        answer.print_json(asdict(found))
        return Exit.OK
    show(found, drawn=sys.stdout.isatty())
    return Exit.OK


async def _analytics(fabric: Fabric, since: str, capability: str | None, *, rehearse: bool) -> Analytics:
    from mcpweft import Client  # once the command line is known to be right

    place = fabric.place()
    async with Client(place.url, namespace=place.namespace) as client:
        return await client.analytics(since, capability, rehearse=rehearse)


def show(found: Analytics, *, drawn: bool) -> None:
    """Print it for people; `drawn`: with charts."""
    for pool in found.pools if drawn else ():
        for line in charts(pool, found):
            answer.print_line(line)
    rows = [_row(one) for pool in found.pools for one in (pool.total, *pool.series)]
    print_table(_HEADS, rows, empty="No pool is registered yet: start a worker, or `mcpweft up`.")
    _print_troubles(found.failovers)
    _print_rehearsals(found.rehearsals)
    for line in _advice(found.recommendations):
        answer.print_line(line)


def charts(pool: PoolAnalytics, whole: Analytics, width: int = WIDTH) -> Iterator[str]:
    """Yield a pool's charts, a line each: from the beginning of what was asked for to its end."""
    first, last = whole.since_ms, whole.until_ms
    span = duration.spoken(float(round((last - first) / 1000)))
    yield f"{pool.capability}: the last {span}, by {pool.strategy or '?'}"
    for name, (form, value) in _CHARTS.items():
        points = [(point.at_ms, value(point)) for point in pool.timeline]
        yield chart(name, points, first, last, form, width)
    yield ""


def _row(one: Series) -> tuple[str, ...]:
    service = one.service
    times = (one.queue.p95_ms, service.p50_ms, service.p95_ms, service.p99_ms, one.response.p95_ms)
    return (
        one.pool, one.server or "", one.tool or "", one.klass.value if one.klass else "", str(one.answered),
        _figure(one.throughput, 2), _part(one.error_rate), str(one.retries), *map(_figure, times),
    )  # fmt: skip


def _figure(value: float | None, digits: int = 0) -> str:
    return "?" if value is None else f"{value:.{digits}f}"


def _part(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:.1f}%"


def _print_troubles(failovers: Sequence[Failover]) -> None:
    if not failovers:
        return
    heads = ("when", "what", "server", "back after", "moved", "lost", "to", "why")
    print_table(heads, [_trouble(one) for one in failovers], empty="")


def _trouble(one: Failover) -> tuple[str, ...]:
    when = dt.datetime.fromtimestamp(one.began_ms / 1000, dt.UTC).astimezone()
    back = "?" if one.recovery_s is None else duration.spoken(round(one.recovery_s, 1))
    to = "?" if one.to is None else ", ".join(one.to)
    what = (when.isoformat(sep=" ", timespec="seconds")[:19], one.trouble.value, one.server, back)
    return (*what, str(one.moved), str(one.lost), to, one.cause)


def _print_rehearsals(rehearsals: Sequence[Rehearsal]) -> None:
    rows = [
        (one.pool, run.strategy, *map(_range, (run.p50, run.p95, run.p99)))
        for one in rehearsals
        for run in one.runs
    ]
    if rows:
        print_table(("pool", "simulated under", "p50", "p95", "p99"), rows, empty="")
    for one in rehearsals:
        if one.reason:
            answer.print_line(f"{one.pool}: the simulator recommends no other strategy: {one.reason}.")


def _range(one: Range) -> str:
    return f"{one.middle_ms:.0f} ({one.least_ms:.0f} to {one.most_ms:.0f})"


def _advice(found: Sequence[Recommendation]) -> Iterator[str]:
    for one in found:
        yield f"{one.pool}: {one.text} ({one.key})"
        yield "  " + ", ".join(f"{name} {_shown(value)}" for name, value in one.evidence.items())


def _shown(value: Any) -> str:
    return "?" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
