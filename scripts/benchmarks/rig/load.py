"""A process under orders: it puts load on something and says how that went.

Orders come as JSON lines on standard input, answers go to standard output, and the first line out says that
it is ready. It ends when its input ends, so it never outlives the benchmark. Everything is measured in here,
next to the calls, and only figures travel.

Above stands whatever makes the calls: the fabric's client, a bare MCP client, another queue's. Those run in
environments of their own, so only the standard library is needed here (uvloop is used where it is installed).
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import sys
import time
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from benchmarks.rig.harness import Figures, percentile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

T = TypeVar("T")
Call: TypeAlias = "Callable[[], Awaitable[object]]"
Answer: TypeAlias = "Mapping[str, Any]"
Orders: TypeAlias = "Mapping[str, Callable[..., Awaitable[Answer]]]"

PAYLOAD = {"text": "x" * 200}
"""The arguments of every call."""


async def closed_loop(call: Call, *, in_flight: int, seconds: float, settle: float = 0.0) -> Figures:
    """Keep so many calls in flight for `settle` + `seconds`, and count what ends within the latter.

    Where nothing does, it goes on until one call has ended. Returns `rate` (1/s), `p50_ms` and `p99_ms` of
    the calls that counted, and `calls`: all that were made, before and after it too.
    """
    clock = time.perf_counter
    times: list[float] = []
    made = 0
    opens = clock() + settle
    closes = opens + seconds

    async def caller() -> None:
        nonlocal made
        while (began := clock()) < closes or not times:
            made += 1
            await call()
            ended = clock()
            if opens <= ended and (ended < closes or not times):
                times.append((ended - began) * 1000)

    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return {
        "rate": len(times) / seconds,
        "p50_ms": percentile(times, 0.5),
        "p99_ms": percentile(times, 0.99),
        "calls": made,
    }


def loads(call: Call) -> Orders:
    """Return the order that a mere caller obeys: `load`."""

    async def load(**order: Any) -> Answer:
        return await closed_loop(call, **order)

    return {"load": load}


async def obey(orders: Orders) -> None:
    """Say that it is ready; carry out `{"do": name, …}` after `{"do": name, …}` until the input ends."""
    say({"ready": True})
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        say(await orders[order.pop("do")](**order))


def say(answer: Answer) -> None:
    """Write one answer."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Return what a process's main coroutine does, on uvloop where that is installed."""
    factory: Any = None
    if importlib.util.find_spec("uvloop") is not None:
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)
