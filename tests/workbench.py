"""A worker between a real store and a real MCP server, in this process, and what tests do with it.

Above stand the tests of the worker's doers. `Bench` enqueues, reads outcomes from the records, and starts
workers.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
import uuid
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.config import Config
from mcpweft_schemas.connect import Link
from mcpweft_schemas.life import Class
from mcpweft_schemas.packing import unpack
from mcpweft_schemas.store import Store
from mcpweft_schemas.wire import Reply, Submission, pack_request
from mcpweft_workers.entry import WorkerOptions, plan_of
from mcpweft_workers.worker import Worker
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from mcpweft_schemas.store import Inspection

SERVERS = Path(__file__).parent / "servers"
POOL = "echo"


def settings(**sections: Any) -> dict[str, Any]:
    """Quick defaults for tests, with sections laid over them."""
    quick: dict[str, dict[str, Any]] = {
        "worker": {"grace": 5.0},
        "call": {"backoff": 0.05, "backoff_max": 0.1, "attempt_timeout": 10.0},
    }
    for name, section in sections.items():
        quick[name] = {**quick.get(name, {}), **section} if isinstance(section, dict) else section
    return quick


class Bench:
    """One namespace of one store, and the workers on it."""

    def __init__(self, url: str, namespace: str, folder: Path) -> None:
        self.url = url
        self.namespace = namespace
        self.ledger = folder / "ledger"
        self.note = folder / "note"
        self.store = Store(Link.to(url), namespace)

    def config(self, server: dict[str, Any] | None = None, **sections: Any) -> Config:
        """A configuration whose one server is the echo server, changed as `server` and `sections` say."""
        echo = {
            "command": sys.executable,
            "args": [str(SERVERS / "echo.py"), "--ledger", str(self.ledger)],
            "mode": "legacy",
            "capabilities": [POOL],
        }
        servers = {"echo": {**echo, **(server or {})}}
        return Config.model_validate(
            {"namespace": self.namespace, "servers": servers, **settings(**sections)}
        )

    def rogue(self, server: dict[str, Any] | None = None, **sections: Any) -> Config:
        """A configuration whose one server misbehaves; what it is told to stop it writes into `note`."""
        args = [str(SERVERS / "rogue.py"), "--note", str(self.note)]
        return self.config({"args": args, **(server or {})}, **sections)

    def make(self, config: Config | None = None, **options: Any) -> Worker:
        chosen = WorkerOptions(
            config=config or self.config(), store_url=options.pop("url", self.url),
            server=options.pop("server", "echo"), **options,
        )  # fmt: skip
        return Worker(
            plan_of(chosen), clock=time.monotonic, rng=random.Random(7), epoch=time.time_ns() // 1_000_000
        )

    @asynccontextmanager
    async def worker(self, config: Config | None = None, **options: Any) -> AsyncGenerator[Worker]:
        """A worker that takes work, until the block is left."""
        worker = self.make(config, **options)
        async with asyncio.TaskGroup() as group:
            life = group.create_task(worker.run())
            try:
                await until(lambda: life.done() or worker.report.readiness()["ready"], within=15.0)
                yield worker
            finally:
                worker.stop()

    async def enqueue(
        self, tool: str, arguments: dict[str, Any] | None = None, pool: str = POOL, **more: Any
    ) -> str:
        return (await self.enqueue_many([(tool, arguments or {})], pool, **more))[0]

    async def enqueue_many(
        self, calls: list[tuple[str, dict[str, Any]]], pool: str = POOL, **more: Any
    ) -> list[str]:
        given: dict[str, Any] = {
            "timeout_ms": 30_000,
            "flags": "s",
            "keep_ms": 60_000,
            "klass": Class.NORMAL,
            **more,
        }
        items = [
            Submission(
                id=f"{pool}~{uuid.uuid4().hex}", tool=tool, body=pack_request(arguments, None), **given
            )
            for tool, arguments in calls
        ]
        await self.store.declare(pool, uuid.uuid4().hex)
        answer = await self.store.enqueue(pool, items)
        assert [item.word.value for item in answer.items] == ["OK"] * len(items)
        return [item.id for item in items]

    async def seen(self, request_id: str) -> Inspection:
        found = await self.store.inspect(request_id.partition("~")[0], request_id)
        assert found is not None
        return found

    async def outcome(self, request_id: str, within: float = 15.0) -> Reply:
        """The outcome of a request, once there is one."""
        pool = request_id.partition("~")[0]

        async def ended() -> Reply | None:
            _, standing = await self.store.lookup(pool, [request_id])
            return standing[request_id].outcome

        reply: Reply = await until(ended, within)
        return reply

    async def state(self, request_id: str) -> str:
        return (await self.seen(request_id)).state.value

    def executed(self) -> list[dict[str, Any]]:
        """What the servers wrote down before they acted."""
        if not self.ledger.exists():
            return []
        return [json.loads(line) for line in self.ledger.read_text().splitlines()]

    async def close(self) -> None:
        await self.store.link.close()


@contextmanager
def web_server() -> Generator[str]:
    """An MCP server over streamable HTTP in a process of its own."""
    command = [sys.executable, str(SERVERS / "web.py"), "--era", "2025-06-18"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            port = int(child.stdout.readline().split()[1])
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            child.kill()


def text_of(reply: Reply) -> str:
    """The first text of an answer."""
    text: str = unpack(reply.body)["content"][0]["text"]
    return text


def what_of(reply: Reply) -> str:
    """What a problem says."""
    what: str = unpack(reply.body)["what"]
    return what
