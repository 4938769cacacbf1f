"""Asks the fabric for the time in a few cities and prints each answer; the store is $MCPWEFT_URL."""

import asyncio

from mcpweft import Client

ZONES = ("Europe/Vienna", "Asia/Tokyo", "America/Lima", "Africa/Cairo")


async def main() -> None:
    """Make the calls."""
    async with Client() as client:
        calls = [await client.submit("time.get_current_time", {"timezone": zone}) for zone in ZONES]
        for zone, call in zip(ZONES, calls, strict=True):
            print(f"{zone}: {(await call.result()).text}", flush=True)


asyncio.run(main())
