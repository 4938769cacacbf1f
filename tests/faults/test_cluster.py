"""The whole fabric on a Cluster of three masters, whose slots part the capabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import realredis
from faults.fabric import Fabric

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@realredis.stores("cluster")
async def test_two_capabilities_on_a_cluster_answer_every_call_of_two_producers(
    store_url: str, namespace: str, tmp_path: Path
) -> None:
    async with Fabric(store_url, namespace, tmp_path, pools=("echo", "other")) as fabric:
        fabric.coordinator()
        workers = [fabric.worker(f"w.{pool}", server=pool) for pool in fabric.pools]
        producers = [fabric.producer("red"), fabric.producer("blue")]
        await fabric.usable(*workers)
        for seed, producer in enumerate(producers):
            producer.tell(fabric.load(40, seed=seed))
        await fabric.verdict()
        for producer in producers:
            codes = [outcome["code"] for outcome in producer.outcomes().values()]
            assert len(codes) == 40
            assert set(codes) <= {"OK", "TOOL_ERROR"}
