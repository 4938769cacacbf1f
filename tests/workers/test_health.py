"""How a server is, in one word; and the checks of an idle one."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft_schemas.circuit import State
from mcpweft_schemas.packing import unpack
from mcpweft_workers.health import Health, Signs, health_of
from mcpweft_workers.session import SessionState
from waiting import until
from workbench import POOL

if TYPE_CHECKING:
    from workbench import Bench


@pytest.mark.parametrize(
    ("signs", "word"),
    [
        ({}, Health.HEALTHY),
        ({"failed_checks": 1}, Health.DEGRADED),
        ({"failed_checks": 2}, Health.DEGRADED),
        ({"failed_checks": 3}, Health.UNHEALTHY),
        ({"failed_checks": 1, "unhealthy_after": 1}, Health.UNHEALTHY),
        ({"hung": True}, Health.DEGRADED),
        ({"session": SessionState.DEGRADED}, Health.DEGRADED),
        ({"session": SessionState.CONNECTING}, Health.DEGRADED),
        ({"session": SessionState.DOWN}, Health.UNHEALTHY),
        ({"session": SessionState.CLOSED}, Health.UNHEALTHY),
        ({"breaker": State.HALF_OPEN}, Health.DEGRADED),
        ({"breaker": State.OPEN}, Health.UNHEALTHY),
        ({"breaker": State.FORCED_OPEN, "hung": True}, Health.UNHEALTHY),
        ({"breaker": State.CORDONED, "connects": 0}, Health.DRAINING),
        ({"breaker": State.DISABLED}, Health.HEALTHY),
        ({"breaker": State.METRICS_ONLY}, Health.HEALTHY),
        ({"connects": 0, "session": SessionState.DOWN}, Health.INITIALIZING),
        ({"draining": True, "connects": 0, "failed_checks": 9}, Health.DRAINING),
    ],
)
def test_the_first_rule_that_holds_is_the_word(signs: dict[str, Any], word: Health) -> None:
    assert health_of(Signs(**signs)) is word


async def figures(bench: Bench) -> dict[str, Any]:
    status = await bench.store.status(POOL)
    assert status is not None
    (load,) = status.load.values()
    found: dict[str, Any] = unpack(load)
    return found


async def test_a_beat_tells_the_health_and_the_times_of_pings_and_calls_apart(bench: Bench) -> None:
    config = bench.config(breaker={"check_every": "200ms"})
    async with bench.worker(config) as worker:

        async def beaten() -> bool:
            status = await bench.store.status(POOL)
            return status is not None and bool(status.load)

        await until(beaten)
        assert (await figures(bench))["service_ms"] is None

        async def pinged() -> bool:
            seen = await figures(bench)
            return (seen["health"], seen["ping_ms"] is None) == ("healthy", False)

        await until(pinged)
        await bench.outcome(await bench.enqueue("sleep", {"ms": 300}))

        async def served() -> bool:
            seen = await figures(bench)
            return float(seen["service_ms"] or 0) >= 300 > float(seen["ping_ms"])

        await until(served)
        assert "mcpweft_worker_ping_seconds" in worker.report.prometheus(0.0).decode()


async def test_an_idle_server_that_answers_no_check_is_unhealthy_and_connected_anew(bench: Bench) -> None:
    config = bench.config(breaker={"check_every": "200ms", "unhealthy_after": 2})
    async with bench.worker(config) as worker:
        pid = worker.session.pids
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: worker.check.failed == 1)
        assert worker.report.health is Health.DEGRADED
        await until(lambda: worker.session.pids not in {pid, None})
        await until(lambda: worker.report.health is Health.HEALTHY and worker.report.usable)
        assert (await bench.outcome(await bench.enqueue("echo", {"text": "x"}))).code == "OK"


async def test_a_server_that_was_called_lately_is_not_checked(bench: Bench) -> None:
    config = bench.config(breaker={"check_every": "10s"})
    async with bench.worker(config) as worker:
        await bench.outcome(await bench.enqueue("echo", {"text": "x"}))
        assert worker.check.ping_ms is None
