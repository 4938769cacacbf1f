"""The fabric that a storm breaks over: its seats, who sits there now, and the store and the ways to it.

A seat is a role that is always filled: whoever ended is replaced, under a name of its own, as a launcher
would. Some seats reach the store through a proxy. Above stand the blows and the storm; below are the fault
tests' fabric, proxy and server. It must never know a blow.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import leak
from chaos.orphans import Orphans
from faults.fabric import Process, Producer
from mcpweft_schemas.errors import McpweftError
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import realredis
    from chaos.load import Feed
    from faults.fabric import Fabric
    from proxy import Proxy

PRODUCERS, WORKERS, COORDINATORS = 4, 8, 2
BEHIND_A_PROXY = {"p0", "w0", "w1", "w2", "c0"}
_P = TypeVar("_P", bound=Process)


@dataclass(slots=True, eq=False)
class Seat(Generic[_P]):
    """A role that is always filled."""

    name: str
    start: Callable[[str], _P]
    """Starts a process of that name."""
    process: _P
    turn: int = 0
    away: bool = False
    """Whether somebody sees to it that it is filled again."""


class Arena:
    """All seats of one fabric."""

    def __init__(self, fabric: Fabric, server: realredis.RedisServer, proxy: Proxy, feed: Feed) -> None:
        self.fabric = fabric
        self.server = server
        self.proxy = proxy
        self.feed = feed
        self.orphans = Orphans(fabric)
        self.store_lock = asyncio.Lock()
        """Held by whoever hurts the store."""

        def where(name: str) -> str:
            return proxy.url if name in BEHIND_A_PROXY else server.url

        def worker(index: int) -> Callable[[str], Process]:
            pool, url = fabric.pools[index % len(fabric.pools)], where(f"w{index}")
            return lambda name: fabric.worker(name, url=url, server=pool)

        def coordinator(index: int) -> Callable[[str], Process]:
            return lambda name: fabric.coordinator(name, url=where(f"c{index}"))

        def producer(index: int) -> Callable[[str], Producer]:
            return lambda name: fabric.producer(name, url=where(f"p{index}"))

        self.coordinators = [_filled(f"c{i}", coordinator(i)) for i in range(COORDINATORS)]
        self.workers = [_filled(f"w{i}", worker(i)) for i in range(WORKERS)]
        self.producers = [_filled(f"p{i}", producer(i)) for i in range(PRODUCERS)]

    @property
    def calling(self) -> list[Producer]:
        """The producers that can be told to call."""
        return [seat.process for seat in self.producers if not seat.process.ended()]

    async def ready(self) -> None:
        """Wait until all workers take work."""
        await self.fabric.usable(*(seat.process for seat in self.workers))

    def servers(self) -> list[int]:
        """Return the living MCP servers, by process id."""
        found = {pid: leak.command(pid) for pid in self.fabric.left()}
        return sorted(
            pid for pid, line in found.items() if "faults/server.py" in line and "deathwatch" not in line
        )

    async def ask(self, *command: Any) -> Any:
        """Run a command on the store itself."""

        def run() -> Any:
            with contextlib.closing(self.server.client()) as client:
                return cast("Any", client).execute_command(*command)

        return await asyncio.to_thread(run)

    # -- filling seats -------------------------------------------------------------------------------------

    async def kill(self, seat: Seat[Any], *, reported: bool = False) -> None:
        """Kill who sits there and fill the seat; with `reported`, tell the fabric of a worker's death."""
        seat.away = True
        process = seat.process
        if isinstance(process, Producer):
            self.fabric.kill_producer(process)
            self.orphans.adopt(process)
        else:
            process.kill()
        if reported:
            await self._bury(process)
        self._fill(seat)

    def tend(self) -> None:
        """Fill the seats of workers and coordinators that ended by themselves."""
        seats: list[Seat[Any]] = [*self.workers, *self.coordinators]
        for seat in seats:
            if seat.process.ended() and not seat.away:
                self._fill(seat)

    def _fill(self, seat: Seat[Any]) -> None:
        seat.turn += 1
        seat.process = seat.start(f"{seat.name}-{seat.turn}")
        seat.away = False

    async def _bury(self, worker: Process) -> None:
        """Report a death, as soon as the store hears of it."""
        while True:
            try:
                await self.fabric.bury(worker)
            except McpweftError:
                await asyncio.sleep(0.05)
            else:
                return

    # -- calm ----------------------------------------------------------------------------------------------

    async def calm(self) -> None:
        """Undo all that can be undone."""
        self.proxy.behave()
        seats: list[Seat[Any]] = [*self.producers, *self.workers, *self.coordinators]
        for seat in seats:
            if seat.process.stopped:
                seat.process.resume()
        await self.ask("CONFIG", "SET", "maxmemory", "0")
        await until(self._answers, 30.0)

    async def _answers(self) -> bool:
        try:
            await self.fabric.store.pools()
        except McpweftError:
            return False
        return True


def _filled(name: str, start: Callable[[str], _P]) -> Seat[_P]:
    return Seat(name, start, start(f"{name}-0"))


def chosen(seats: Sequence[Seat[Any]], pick: float) -> Seat[Any] | None:
    """Return one of the seats whose process runs and is not stopped; None where there is none."""
    able = [s for s in seats if not (s.away or s.process.stopped or s.process.ended())]
    return able[int(pick * len(able))] if able else None
