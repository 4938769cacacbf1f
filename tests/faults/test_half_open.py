"""Connections that are half-open: nothing comes through them any more, and neither end is told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from mcpweft_schemas.connect import BLOCK_S
from proxy import Proxy

if TYPE_CHECKING:
    from faults.fabric import Fabric

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

NOTICED = BLOCK_S + 3.0
"""Seconds after which whoever waits on such a connection gives it up."""
CONNECTIONS = ("commands", "bell", "control", "beats", "a producer's commands", "its replies")
"""What there is a connection for, at least."""
SLACK = 8.0
"""Seconds more for all the rest, on a busy machine: looks for missed replies among it, one in two seconds."""


async def test_half_open_connections_are_given_up_and_cost_no_call_and_no_second_run(fabric: Fabric) -> None:
    fabric.coordinator()
    async with Proxy(fabric.url) as proxy:
        worker, producer = fabric.worker("worker", url=proxy.url), fabric.producer(url=proxy.url)
        await fabric.usable(worker)
        early = fabric.load(40)  # so that there are idle connections too, on both sides
        producer.tell(early)
        await producer.told(count=len(early), within=30.0)
        running = [
            fabric.call(tool, ms=700, how=how) for tool in ("ask", "say") for how in ("call", "submit")
        ]
        producer.tell(running)
        await fabric.begun(producer, *running)

        assert proxy.freeze() >= len(CONNECTIONS)
        frozen_at = time.time()
        fresh = fabric.load(10, seed=2)
        producer.tell(fresh)
        nonces = [call["nonce"] for call in [*running, *fresh]]
        await producer.told(*nonces, within=60.0)
        late = {nonce: producer.outcomes()[nonce]["time"] - frozen_at for nonce in nonces}
        assert max(late.values()) < NOTICED + SLACK, late

        proxy.thaw()  # and what was sent into them arrives after all
        producer.tell(fabric.load(20, seed=3))
        await fabric.verdict()
    assert {one["code"] for one in producer.outcomes().values()} <= {"OK", "TOOL_ERROR"}
    assert '"settle lost"' not in worker.said()
