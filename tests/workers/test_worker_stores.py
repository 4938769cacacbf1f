"""A worker on every kind of store: Redis, Valkey, a Cluster of three masters."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import realredis
from mcpweft import Client
from mcpweft_schemas.connect import Link
from mcpweft_schemas.outcome import Code
from waiting import until
from workbench import text_of

if TYPE_CHECKING:
    from workbench import Bench


@realredis.every_store
async def test_a_worker_serves_its_pools_on_every_store(bench: Bench) -> None:
    pools = ["one", "two", "three"]
    async with bench.worker(bench.config({"capabilities": pools})) as worker:
        ids = [
            request_id
            for pool in pools
            for request_id in await bench.enqueue_many([("echo", {"text": pool})] * 20, pool=pool)
        ]
        replies = await asyncio.gather(*(bench.outcome(request_id) for request_id in ids))
        assert [text_of(reply) for reply in replies] == [pool for pool in pools for _ in range(20)]
        for pool in pools:  # each pool's control stream is heard
            request_id = await bench.enqueue("sleep", {"ms": 20_000}, pool=pool)
            await until(lambda: worker.runner.in_flight)
            await bench.store.cancel(pool, request_id)
            assert (await bench.outcome(request_id)).code is Code.CANCELLED
            await until(lambda: not worker.runner.in_flight)


async def test_a_worker_and_a_producer_outlive_a_store_that_is_a_replica_for_a_moment(
    own_bench: Bench,
) -> None:
    """A managed failover unblocks whoever waits, with an error that says nothing else."""
    async with (
        own_bench.worker() as worker,
        Client(own_bench.url, namespace=own_bench.namespace) as client,
        Link.to(own_bench.url) as link,
    ):
        assert (await client.call("echo.echo", {"text": "before"})).text == "before"
        slow = asyncio.create_task(client.call("echo.sleep", {"ms": 700}))
        await until(lambda: worker.runner.in_flight)
        await link.run("REPLICAOF", "127.0.0.1", realredis.free_port())
        await asyncio.sleep(0.3)
        await link.run("REPLICAOF", "NO", "ONE")
        assert (await client.call("echo.echo", {"text": "after"})).text == "after"
        await slow
        assert worker.report.usable
