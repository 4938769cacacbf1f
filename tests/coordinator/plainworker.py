"""A worker of the protocol's words only, with no MCP server: what a launcher's tests launch.

    python plainworker.py SERVER ID CAPABILITY MODE

It registers, beats and fetches. The tool `hold` is kept for ever, every other is answered at once. MODE:
`well`; `crash`: says why on stderr and ends with 3; `deaf`: ignores SIGTERM; `slow`: takes work only after
two seconds, as its beats say until then, and says so on stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time

from mcpweft_schemas import wire
from mcpweft_schemas.connect import Link
from mcpweft_schemas.errors import FabricError
from mcpweft_schemas.outcome import Executed
from mcpweft_schemas.packing import pack
from mcpweft_schemas.parent import watch_parent
from mcpweft_schemas.store import Reader, Store

ANSWER = wire.pack_answer([{"type": "text", "text": "done"}], None, is_error=False)


SLOW_S = 2.0


async def serve(store: Store, server: str, worker: str, capability: str, ready_at: float) -> None:
    incarnation = await store.declare(capability, os.urandom(8).hex())
    reader = Reader(worker, server, worker, incarnation, time.time_ns() // 1_000_000)
    tools = [(tool, False, pack({"name": tool})) for tool in ("echo", "hold")]
    await store.register(capability, reader, pack({"server": server, "pid": os.getpid()}), tools)
    while (left := ready_at - time.monotonic()) > 0:
        await store.beat(capability, reader, 0, pack({"reason": "connecting", "usable": False}))
        await asyncio.sleep(min(left, 0.1))
    if ready_at:
        print("ready", file=sys.stderr)  # noqa: T201  # last words are what is tested
    load = pack({"reason": "", "usable": True})
    while True:
        with contextlib.suppress(FabricError):
            await store.beat(capability, reader, 2000, load)
            for delivery in (await store.fetch(capability, reader, 4, wire.READS)).deliveries:
                if delivery.tool == "hold":
                    continue
                done = wire.Settlement(
                    delivery.id,
                    delivery.stream,
                    delivery.entry,
                    "done",
                    "OK",
                    "OK",
                    Executed.YES,
                    body=ANSWER,
                )
                await store.settle(capability, worker, [done])
        await asyncio.sleep(0.05)


async def main(server: str, worker: str, capability: str, mode: str) -> None:
    watch_parent()
    loop = asyncio.get_running_loop()
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "crash":
        print("loading the model", file=sys.stderr)  # noqa: T201  # last words are what is tested
        print("no such file: weights.bin", file=sys.stderr)  # noqa: T201  # last words are what is tested
        sys.exit(3)
    async with Link.to(os.environ["MCPWEFT_URL"]) as link:
        store = Store(link, os.environ["MCPWEFT_NAMESPACE"])
        ready_at = time.monotonic() + SLOW_S if mode == "slow" else 0.0
        task = asyncio.create_task(serve(store, server, worker, capability, ready_at))
        if mode != "deaf":
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
            loop.add_signal_handler(signal.SIGUSR1, task.cancel)
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()
        await store.retire(capability, worker)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
