"""A real worker whose MCP session is replaced by one that answers at once: what is left is the queue's cost.

    python -P -m benchmarks.rig.noop_worker STORE_URL [--bound 10000]

It serves `noop.noop`. Its answer is the moment at which the call would have gone to the server, in
nanoseconds of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import mcpweft_workers.worker
from mcpweft_schemas.config import Config
from mcpweft_workers.entry import WorkerOptions, run_worker
from mcpweft_workers.session import SessionState
from mcpweft_workers.tool import Answer, Tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft_workers.spec import ServerSpec

NOOP = Tool(
    name="noop",
    description="Nothing.",
    input_schema={"type": "object"},
    read_only=True,
    idempotent=True,
    task_required=False,
)
CONCURRENCY = 256


class NoopSession:
    """The part of a Session that a worker uses, with no server behind it."""

    connects = 1
    reason = ""
    pids = None

    def __init__(
        self,
        spec: ServerSpec,
        *,
        on_state: Callable[[SessionState, str], None],
        on_tools: Callable[[tuple[Tool, ...]], None],
        **_: Any,
    ) -> None:
        self.spec = spec
        self.ready = asyncio.Event()
        self.tools = (NOOP,)
        self.state = SessionState.CONNECTING
        self._on_state = on_state
        self._on_tools = on_tools

    async def run(self) -> None:
        """Be ready until cancelled."""
        self.state = SessionState.READY
        self.ready.set()
        self._on_tools(self.tools)
        self._on_state(self.state, "")
        await asyncio.Event().wait()

    async def call(self, _tool: str, _arguments: dict[str, Any], **_: Any) -> Answer:
        """Answer at once."""
        now = str(time.monotonic_ns())
        return Answer(
            content=[{"type": "text", "text": now}], structured=None, is_error=False, service_ms=0.0
        )

    async def ping(self, _timeout: float) -> bool:
        """Be alive."""
        return True

    async def restart(self, _reason: str) -> None:
        """Have nothing to restart."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--bound", type=int, default=10_000)
    asked = parser.parse_args()
    mcpweft_workers.worker.__dict__["Session"] = NoopSession  # the one part that is left out
    config = Config.model_validate(
        {
            "servers": {"noop": {"command": "none", "concurrency": CONCURRENCY}},
            "queue": {"bound": asked.bound},
        }
    )
    options = WorkerOptions(config=config, store_url=asked.store, server="noop", log_level="warning")
    sys.exit(run_worker(options))
