"""From a pool's slots to the load that was recorded: what came, and who was there for it.

Above stands `historian`; the simulator runs what comes of it under other strategies. Below: the slots, as
they were read. Plain functions of what they are given; this module must never put a guess in the place of a
figure: where one is missing, there is no load.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from mcpweft.analytics.figures import Arrivals, Load, ServerLoad
from mcpweft_schemas.figure import Figure, PoolLevel, ServerLevel, Tally, Time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from mcpweft.analytics.slots import Part, Picture
    from mcpweft.analytics.summary import Span
    from mcpweft_schemas.life import Class


def load_of(parts: Sequence[Part], span: Span, shared: Collection[str]) -> Load | None:
    """Return what was recorded; None where something of it was not. `shared`: servers of several pools."""
    within = [part for part in parts if part.start_s >= span.since_s]
    arrivals = tuple(_arrivals([part.picture for part in parts if part.picture is not None]))
    looks = sum(part.pool[PoolLevel.LOOKS] for part in within)
    names = {name for part in within for name in part.servers}
    seen = {server for part in within for server, _, _ in part.series}
    if not arrivals or not looks or not names or not seen <= names:
        return None
    servers = [_server(name, within, looks, shared=name in shared) for name in sorted(names)]
    known = tuple(server for server in servers if server is not None)
    if len(known) < len(servers):
        return None
    return Load(arrivals=arrivals, servers=known, classes=_classes(within))


def _arrivals(pictures: Sequence[Picture]) -> Iterator[Arrivals]:
    for old, new in pairwise(pictures):
        before, after = old.counters.get("accepted", 0), new.counters.get("accepted", 0)
        seconds = (new.at_ms - old.at_ms) / 1000
        if seconds > 0:  # a pool that was made anew began at 0
            yield Arrivals(seconds=seconds, accepted=after - before if after >= before else after)


def _server(name: str, parts: Sequence[Part], looks: float, *, shared: bool) -> ServerLoad | None:
    levels = Tally.sum(part.servers[name] for part in parts if name in part.servers)
    work = Tally.sum(tally for part in parts for place, tally in part.series.items() if place[0] == name)
    times = work.spread(Time.SERVICE)
    if not times.total or not levels[ServerLevel.WORKERS] or not levels[ServerLevel.SLOTS]:
        return None
    return ServerLoad(
        server=name,
        workers=levels[ServerLevel.WORKERS] / looks,
        slots=levels[ServerLevel.SLOTS] / looks,
        service_ms=work[Figure.SERVICE_MS] / times.total,
        service=tuple(times.told()),
        shared=shared,
    )


def _classes(parts: Sequence[Part]) -> dict[Class, int]:
    found: dict[Class, int] = {}
    for part in parts:
        for (_, _, klass), tally in part.series.items():
            found[klass] = found.get(klass, 0) + int(tally[Figure.OK] + tally[Figure.TOOL_ERROR])
    return found
