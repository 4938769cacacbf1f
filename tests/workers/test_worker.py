"""A worker from end to end: a real store above, a real MCP server below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from mcpweft_schemas.outcome import Code, Executed
from workbench import Bench, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest_asyncio.fixture
async def bench(store_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(store_url, namespace, tmp_path / "ledger")
    yield bench
    await bench.close()


async def test_a_worker_answers_calls(bench: Bench) -> None:
    async with bench.worker():
        request_id = await bench.enqueue("echo", {"text": "hello"})
        reply = await bench.outcome(request_id)
    assert (reply.code, reply.executed, text_of(reply)) == (Code.OK, Executed.YES, "hello")
    assert reply.service_ms is not None
