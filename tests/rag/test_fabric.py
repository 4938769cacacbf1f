"""The three servers in a fabric, by the configuration that comes along: a worker each, asked by a client."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

import mcpweft
from mcpweft_schemas.config import load_config
from mcpweft_workers.entry import WorkerOptions, plan_of
from mcpweft_workers.worker import Worker
from rag.conftest import SERVERS
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from mcpweft_schemas.config import Config
    from retrieval.library import Library

QUESTIONS = {
    "vector_search": ("how do I hoist a sail", "boat.rig.Mast.raise_sail"),
    "graph_query": ("which classes inherit from boat.hull.Hull", "boat.rig.Mast"),
    "hybrid_search": ("how do I hoist a sail", "boat.rig.Mast.raise_sail"),
}


@asynccontextmanager
async def working(config: Config, server: str, url: str) -> AsyncGenerator[None]:
    plan = plan_of(WorkerOptions(config=config, store_url=url, server=server))
    worker = Worker(plan, clock=time.monotonic, rng=random.Random(7), epoch=time.time_ns() // 1_000_000)
    async with asyncio.TaskGroup() as group:
        life = group.create_task(worker.run())
        try:
            await until(lambda: life.done() or worker.report.readiness()["ready"], within=30)
            yield
        finally:
            worker.stop()


@pytest.mark.slow
async def test_a_fabric_of_the_three_servers_answers_and_knows_that_they_only_read(
    store_url: str, namespace: str, sailing: Library, shared: Path
) -> None:
    config = load_config(SERVERS / "mcpweft.toml")
    more = ["--corpus", str(shared / "sailing"), "--cache", str(shared / "indexes")]
    servers = {
        name: server.model_copy(update={"command": sys.executable, "args": (*server.args, *more)})
        for name, server in config.servers.items()
    }
    config = config.model_copy(update={"namespace": namespace, "servers": servers})
    assert {pool for server in config.servers.values() for pool in server.capabilities} == set(QUESTIONS)
    async with AsyncExitStack() as stack:
        for server in config.servers:
            await stack.enter_async_context(working(config, server, store_url))
        client = await stack.enter_async_context(mcpweft.Client(store_url, namespace=namespace))
        for capability, (question, name) in QUESTIONS.items():
            answer = await client.call(capability, {"query": question, "max_results": 1}, tool="search")
            assert [one["metadata"]["name"] for one in answer.structured["results"]] == [name]
            with pytest.raises(mcpweft.CallerError, match="max_results"):
                await client.call(capability, {"query": question, "max_results": 0}, tool="search")
            with pytest.raises(mcpweft.ToolError, match="query is blank"):
                await client.call(capability, {"query": " "}, tool="search")
