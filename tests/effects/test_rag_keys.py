"""What each key of `[rag]` does."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft import Client, errors
from mcpweft.rag import RagClient, RagSettings
from mcpweft_schemas.config import Config
from workbench import SERVERS

if TYPE_CHECKING:
    from workbench import Bench

POOL = "hybrid_search"


def config(bench: Bench, *flags: str, **rag: Any) -> Config:
    """Two libraries; the fabric's is `echo`."""
    args = [str(SERVERS / "library.py"), "--ledger", str(bench.ledger), *flags]
    beside = {"command": sys.executable, "args": [*args, "--quick"], "mode": "legacy"}
    fabric = bench.config({"args": args, "capabilities": [POOL]})
    said = fabric.model_dump(exclude_unset=True)
    return Config.model_validate({**said, "servers": {**said["servers"], "beside": beside}, "rag": rag})


def client(bench: Bench, settled: Config) -> RagClient:
    return RagClient(Client(bench.url, namespace=bench.namespace), RagSettings.of(settled))


async def test_the_server_that_is_named_answers_where_the_fabric_cannot(bench: Bench) -> None:
    async with client(bench, config(bench, fallback="beside")) as rag:
        assert (await rag.query("zip")).metadata.server_id == "beside"
    with pytest.raises(errors.InvalidConfigError, match=r"rag\.fallback.*Did you mean beside"):
        RagSettings.of(config(bench, fallback="besides"))


async def test_the_fallback_is_asked_after_that_time(bench: Bench) -> None:
    slow = config(bench, fallback="beside", fallback_after="100ms")
    patient = config(bench, fallback="beside", fallback_after="20s")
    async with bench.worker(slow), client(bench, slow) as rag, client(bench, patient) as calm:
        hasty, waited = await asyncio.gather(rag.query("zip wait 2000"), calm.query("graphs wait 2000"))
    assert (hasty.metadata.fallback, waited.metadata.fallback) == (True, False)


async def test_answers_are_kept_for_that_time_and_no_more_of_them(bench: Bench) -> None:
    settled = config(bench, cache="30s", cache_entries=1)
    async with bench.worker(settled), client(bench, settled) as rag:
        cached = [(await rag.query(word)).metadata.cached for word in ("zip", "zip", "graphs", "zip")]
    assert cached == [False, True, False, False]


async def test_the_tool_that_is_named_searches(bench: Bench) -> None:
    settled = config(bench, "--tool", "find", tools={POOL: "find"})
    async with bench.worker(settled), client(bench, settled) as rag:
        assert (await rag.query("zip")).results
    async with client(bench, config(bench, tools={POOL: "look"})) as rag:
        with pytest.raises(errors.UnknownToolError, match="look"):
            await rag.query("zip")
