"""The blows, one function each: what is done to an arena, until it is over.

Above stands the storm. Below is the arena; how a process is hurt is its own business. No blow decides when.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

from chaos.arena import Arena, Seat, chosen
from chaos.plan import Blow, Kind
from faults import calling

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

LATENCY = 0.05
"""Seconds that a slow way holds back what passes, in each direction."""
SLACK = 256 * 1024
"""Bytes that a store may still take when it is being filled."""
HUGE = (3_000_000, 20_000_000)
"""Letters in a huge reply: one that is kept in pieces, and one that is over the limit."""


async def _kill(arena: Arena, seats: Sequence[Seat[Any]], blow: Blow) -> None:
    if seat := chosen(seats, blow.pick):
        await arena.kill(seat, reported=seats is arena.workers and blow.number % 2 == 0)


async def _stop(seats: Sequence[Seat[Any]], blow: Blow) -> None:
    if seat := chosen(seats, blow.pick):
        process = seat.process
        process.pause()
        await asyncio.sleep(blow.span)
        if process.stopped:
            process.resume()


async def kill_worker(arena: Arena, blow: Blow) -> None:
    await _kill(arena, arena.workers, blow)


async def kill_producer(arena: Arena, blow: Blow) -> None:
    await _kill(arena, arena.producers, blow)


async def kill_coordinator(arena: Arena, blow: Blow) -> None:
    await _kill(arena, arena.coordinators, blow)


async def kill_store(arena: Arena, blow: Blow) -> None:
    async with arena.store_lock:
        await asyncio.to_thread(arena.server.kill)
        await asyncio.sleep(blow.span)
        await asyncio.to_thread(arena.server.start)


async def stop_worker(arena: Arena, blow: Blow) -> None:
    await _stop(arena.workers, blow)


async def stop_producer(arena: Arena, blow: Blow) -> None:
    await _stop(arena.producers, blow)


async def stop_coordinator(arena: Arena, blow: Blow) -> None:
    await _stop(arena.coordinators, blow)


async def stop_store(arena: Arena, blow: Blow) -> None:
    async with arena.store_lock:
        arena.server.pause()
        await asyncio.sleep(blow.span)
        arena.server.resume()


def _signal(arena: Arena, blow: Blow, signum: int) -> None:
    if servers := arena.servers():
        os.kill(servers[int(blow.pick * len(servers))], signum)


async def kill_server(arena: Arena, blow: Blow) -> None:
    _signal(arena, blow, signal.SIGKILL)


async def hang_server(arena: Arena, blow: Blow) -> None:
    _signal(arena, blow, signal.SIGSTOP)


def _call(arena: Arena, blow: Blow, tool: str, **arguments: Any) -> None:
    """Have a producer call a tool that does no good."""
    pool = arena.fabric.pools[blow.number % len(arena.fabric.pools)]
    callers = arena.calling
    call = calling.made(f"x{blow.number:05}.{pool}.{tool}", pool, tool, arguments=arguments)
    arena.feed.give(callers[int(blow.pick * len(callers))], [call])


async def crash_server(arena: Arena, blow: Blow) -> None:
    _call(arena, blow, "crash")


async def garbage(arena: Arena, blow: Blow) -> None:
    _call(arena, blow, "garble")


async def huge(arena: Arena, blow: Blow) -> None:
    _call(arena, blow, "blob", size=HUGE[blow.pick >= 0.5])


async def latency(arena: Arena, blow: Blow) -> None:
    arena.proxy.delay = LATENCY
    await asyncio.sleep(blow.span)
    arena.proxy.delay = 0.0


async def half_open(arena: Arena, blow: Blow) -> None:
    arena.proxy.freeze()


async def cut_before(arena: Arena, blow: Blow) -> None:
    arena.proxy.swallow(3)


async def cut_after(arena: Arena, blow: Blow) -> None:
    arena.proxy.cut("enqueue", "fetch", "settle", "xread")


async def trickle(arena: Arena, blow: Blow) -> None:
    arena.proxy.trickling = True
    await asyncio.sleep(blow.span)
    arena.proxy.trickling = False


async def kill_clients(arena: Arena, blow: Blow) -> None:
    async with arena.store_lock:
        for _ in range(1 + int(blow.span / 0.2)):
            await arena.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await asyncio.sleep(0.2)


async def pause_clients(arena: Arena, blow: Blow) -> None:
    async with arena.store_lock:
        await arena.ask("CLIENT", "PAUSE", int(blow.span * 1000), "ALL")
        await asyncio.sleep(blow.span)


async def flush_scripts(arena: Arena, blow: Blow) -> None:
    async with arena.store_lock:
        await arena.ask("SCRIPT", "FLUSH")


async def fill_store(arena: Arena, blow: Blow) -> None:
    async with arena.store_lock:
        used = int((await arena.ask("INFO", "memory"))["used_memory"])
        await arena.ask("CONFIG", "SET", "maxmemory", used + SLACK)
        await asyncio.sleep(blow.span)
        await arena.ask("CONFIG", "SET", "maxmemory", 0)


DEAL: dict[Kind, Callable[[Arena, Blow], Awaitable[None]]] = {
    Kind.KILL_WORKER: kill_worker,
    Kind.KILL_PRODUCER: kill_producer,
    Kind.KILL_COORDINATOR: kill_coordinator,
    Kind.KILL_STORE: kill_store,
    Kind.STOP_WORKER: stop_worker,
    Kind.STOP_PRODUCER: stop_producer,
    Kind.STOP_COORDINATOR: stop_coordinator,
    Kind.STOP_STORE: stop_store,
    Kind.KILL_SERVER: kill_server,
    Kind.HANG_SERVER: hang_server,
    Kind.CRASH_SERVER: crash_server,
    Kind.GARBAGE: garbage,
    Kind.HUGE: huge,
    Kind.LATENCY: latency,
    Kind.HALF_OPEN: half_open,
    Kind.CUT_BEFORE: cut_before,
    Kind.CUT_AFTER: cut_after,
    Kind.TRICKLE: trickle,
    Kind.KILL_CLIENTS: kill_clients,
    Kind.PAUSE_CLIENTS: pause_clients,
    Kind.FLUSH_SCRIPTS: flush_scripts,
    Kind.FILL_STORE: fill_store,
}
