"""The worker's HTTP endpoint: what each path says, and what a rude client gets."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from asking import ask, get
from mcpweft_workers.endpoint import Endpoint
from waiting import until

if TYPE_CHECKING:
    from mcpweft_workers.worker import Worker
    from workbench import Bench


def port_of(worker: Worker) -> int:
    assert worker.endpoint is not None
    return worker.endpoint.port


async def test_a_worker_says_that_it_lives_whether_it_is_ready_and_what_it_counted(bench: Bench) -> None:
    async with bench.worker(port=0) as worker:
        port = port_of(worker)
        assert (await get(port, "/healthz"))[0] == 200
        status, body = await get(port, "/readyz")
        assert (status, json.loads(body)) == (200, {"ready": True, "state": "READY", "reason": ""})
        status, body = await get(port, "/metrics?x=1")
        assert status == 200
        assert b"mcpweft_worker_slots_busy" in body
        assert (await get(port, "/other"))[0] == 404


async def test_a_draining_worker_lives_and_is_not_ready(bench: Bench) -> None:
    async with bench.worker(port=0) as worker:
        await bench.enqueue("sleep", {"ms": 1000})
        await until(lambda: worker.runner.in_flight)
        worker.stop()
        status, body = await get(port_of(worker), "/readyz")
        assert (status, json.loads(body)["ready"]) == (503, False)
        assert (await get(port_of(worker), "/healthz"))[0] == 200


async def test_a_worker_whose_server_is_down_is_not_ready_and_says_why(bench: Bench) -> None:
    worker = bench.make(bench.config({"command": "/nonexistent/mcp", "args": []}), port=0)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await until(lambda: worker.session.reason)
        status, body = await get(port_of(worker), "/readyz")
        assert status == 503
        assert "nonexistent" in json.loads(body)["reason"]
        worker.stop()


async def test_what_is_no_request_harms_nobody() -> None:
    async with Endpoint("127.0.0.1", 0, ready=lambda: {"ready": True}, metrics=lambda: b"") as endpoint:
        assert (await ask(endpoint.port, b"POST /healthz HTTP/1.1\r\n\r\n"))[0] == 405
        assert (await ask(endpoint.port, b"\r\n\r\n"))[0] == 400
        assert (await ask(endpoint.port, b"x" * 200_000))[0] == 0
        assert (await get(endpoint.port, "/healthz"))[0] == 200
