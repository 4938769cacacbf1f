from __future__ import annotations

import asyncio

import pytest

import realredis
from mcpweft_schemas.connect import Link

_STEPS = (
    40  # loop turns between the start of a command and its cancel: from before it connects until it waits
)


@realredis.every_store
async def test_a_wait_that_is_cancelled_ends_at_once_however_far_it_has_come(store_url: str) -> None:
    async with Link.to(store_url) as link:
        await link.run("DEL", "mcpweft:nothing")
        for steps in range(_STEPS):
            waiter = link.waiter("mcpweft:nothing")
            await waiter.run("EXISTS", "mcpweft:nothing")
            task = asyncio.create_task(waiter.run("BLPOP", "mcpweft:nothing", 2))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(1):
                    await task
            await waiter.close()


async def test_a_command_that_is_cancelled_ends_at_once_and_the_next_gets_its_own_answer(
    store_url: str,
) -> None:
    async with Link.to(store_url) as link:
        for steps in range(_STEPS):
            task = asyncio.create_task(link.run("ECHO", f"old {steps}"))
            for _ in range(steps):
                await asyncio.sleep(0)
            if task.cancel():
                with pytest.raises(asyncio.CancelledError):
                    async with asyncio.timeout(1):
                        await task
            assert await link.run("ECHO", f"new {steps}") == f"new {steps}".encode()
