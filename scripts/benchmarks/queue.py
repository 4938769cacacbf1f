"""How fast the queue itself is: calls per second with a handler that does nothing in place of MCP.

One producer process (this one), one worker process, an append-only store; the arms take turns:
    floor    a raw redis-py loop of the same steps, one request at a time: XADD, XREADGROUP, XACK, XADD, XREAD
    fabric   Client.call to a real worker, everything on, 32 and 256 in flight
Prints a line a round, then a table of medians and ranges; the last line is one JSON object.

    scripts/bench queue [--calls 4000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from redis import asyncio as aioredis

from mcpweft import Client
from mcpweft_schemas.embedded import EmbeddedServer

IN_FLIGHT = (32, 256)
SENT = ("evalsha", "eval", "xread", "bzpopmin", "client|unblock", "client|id")  # what only clients send
PAYLOAD = {"text": "x" * 200}
WORKER = Path(__file__).resolve().parent / "noop_worker.py"


async def floor(url: str, calls: int) -> float:
    """Return requests per second of the four raw steps, one after the other."""
    client: Any = aioredis.Redis.from_url(url)
    await client.delete("floor:q", "floor:reply")
    await client.xgroup_create("floor:q", "w", "0", mkstream=True)
    body, last = json.dumps(PAYLOAD), "0"
    began = time.perf_counter()
    for _ in range(calls):
        await client.xadd("floor:q", {"body": body})
        entry = (await client.xreadgroup("w", "one", {"floor:q": ">"}, count=1))[0][1][0]
        await client.xack("floor:q", "w", entry[0])
        await client.xadd("floor:reply", entry[1])
        last = (await client.xread({"floor:reply": last}, count=1))[0][1][0][0]
    took = time.perf_counter() - began
    await client.aclose()
    return calls / took


async def fabric(client: Client, calls: int, in_flight: int) -> tuple[float, list[float]]:
    """Return calls per second, and each call's time in ms, with so many in flight."""
    times: list[float] = []
    left = iter(range(calls))

    async def caller() -> None:
        for _ in left:
            began = time.perf_counter()
            await client.call("noop.noop", PAYLOAD)
            times.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return calls / (time.perf_counter() - began), times


async def commands(url: str) -> int:
    """Return how many commands clients have sent the store; what scripts call inside does not count."""
    client: Any = aioredis.Redis.from_url(url)
    stats = await client.info("commandstats")
    await client.aclose()
    return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in SENT)


async def measure(url: str, calls: int, rounds: int) -> list[dict[str, float]]:
    """Return the figures of each round, after one that does not count."""
    found: list[dict[str, float]] = []
    async with Client(url) as client:
        async with asyncio.timeout(20):
            while not any(w.usable for pool in (await client.status()).pools for w in pool.workers):  # noqa: ASYNC110  # no event comes
                await asyncio.sleep(0.05)
        for number in range(rounds + 1):
            row = {"floor": await floor(url, max(200, calls // 10))}
            for in_flight in IN_FLIGHT:
                before = await commands(url)
                rate, times = await fabric(client, calls, in_flight)
                times.sort()
                row[f"calls_{in_flight}"] = rate
                row[f"p50_ms_{in_flight}"] = times[len(times) // 2]
                row[f"p99_ms_{in_flight}"] = times[len(times) * 99 // 100]
                row[f"commands_{in_flight}"] = (await commands(url) - before) / calls
            if number:
                found.append(row)
                print({name: round(value, 2) for name, value in row.items()}, flush=True)
    return found


def main() -> None:
    """Run the rounds and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with EmbeddedServer() as store:
        worker = subprocess.Popen([sys.executable, "-P", str(WORKER), store.url])
        try:
            found = asyncio.run(measure(store.url, asked.calls, asked.rounds))
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(10)
    for name in found[0]:
        values = [row[name] for row in found]
        print(f"{name:>14}  median {median(values):>9.2f}   {min(values):.2f} to {max(values):.2f}")
    figures = {name: round(median(row[name] for row in found), 3) for name in found[0]}
    print(json.dumps({"benchmark": "queue", "rounds": len(found), **figures}))


if __name__ == "__main__":
    main()
