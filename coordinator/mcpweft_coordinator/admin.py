"""Admin commands to whichever coordinator runs: a job each, its result awaited.

    async with Admin(url, namespace) as admin:
        words = await admin.replay_dead("github", ["github~0198…"])

Above stands whoever administers. Below is the queue that `duties` serves.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Self, cast

from mcpweft_coordinator.duties import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arq.connections import ArqRedis

_EXPIRES_S = 60  # a command that nobody ran by then is not wanted any more


class Admin:
    """Gives commands to the coordinators of one namespace."""

    def __init__(self, control_url: str, namespace: str) -> None:
        self._url = control_url
        self._namespace = namespace
        self._pool: ArqRedis | None = None

    async def replay_dead(
        self, capability: str, ids: Sequence[str], within_s: float = 30.0
    ) -> dict[str, tuple[str, str]]:
        """Have dead letters accepted anew; return id → (word, new id). Raises TimeoutError."""
        answers = await self._run("replay_dead", within_s, capability, list(ids))
        return {request_id: (word, new_id) for request_id, (word, new_id) in answers.items()}

    async def purge_dead(
        self, capability: str, ids: Sequence[str] | None = None, within_s: float = 30.0
    ) -> int:
        """Have these dead letters forgotten, or all; return how many there were. Raises TimeoutError."""
        return int(await self._run("purge_dead", within_s, capability, None if ids is None else list(ids)))

    async def _run(self, command: str, within_s: float, *args: Any) -> Any:
        if self._pool is None:
            raise RuntimeError("Admin is an async context manager: enter it first")
        job_id = f"mcpweft:{self._namespace}:{command}:{uuid.uuid4().hex}"
        job = await self._pool.enqueue_job(command, *args, _job_id=job_id, _expires=_EXPIRES_S)
        if job is None:
            raise RuntimeError(f"job {job_id} exists already")
        return await job.result(timeout=within_s, poll_delay=0.1)

    async def __aenter__(self) -> Self:
        self._pool = await connect(self._url, self._namespace)
        return self

    async def __aexit__(self, *_: object) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await cast("Any", pool).aclose(close_connection_pool=True)
