"""What the fleet does now and then, once wherever it runs: scheduled duties, and admin commands as jobs.

arq runs them: each coordinator runs one arq worker on the namespace's own queue, every one of them
schedules each tick under the same job id, and one of them runs it. Admin commands are jobs whose result
is kept for who asked (`admin.Admin`).

How arq is set up, and what would go wrong otherwise:

    keep_result    ≥ 120 s for a scheduled duty: a coordinator whose clock is late runs its tick again
    max_tries      1: a duty that failed is tried at its next tick, a command by who gave it
    queue          named by the namespace: two fabrics on one store must not run each other's jobs
    job ids        start with `mcpweft:<namespace>:`, because arq's own key names have no namespace
    serializer     msgpack, never pickle: whoever can write to the store must not run code here
    signals        not handled by arq: the coordinator's entry does
    abort          off: it keeps a key without TTL
    health key     one for each coordinator, with a TTL

The queue is `mcpweft:<namespace>:{_}:duties`, a sorted set that is gone when empty. arq's other keys lie
outside `mcpweft:<namespace>:`, since their names cannot be set (`arq:job:<id>`, `arq:in-progress:<id>`,
`arq:result:<id>`, `arq:retry:<id>`), and all have a TTL. Its transactions span slots, so it does not work
on a Cluster: there it needs a plain Redis of its own, `control_url`; without one the duties are off, with
a line in the log. The fabric runs on without them: what must not wait is the leader's own
(`mcpweft_schemas.sweeper`).

What the commands do is told them by name (`clerk`). An answer is a map: `{"ok": …}`, or
`{"error": {code, what, advice}}`, since an exception does not travel.

Above stands `coordinator`. Below are arq and the store's moves. No other module but `admin` may know arq.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any, cast

import msgpack
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.cron import cron
from arq.worker import Worker, func

from mcpweft_schemas import ident
from mcpweft_schemas.errors import FabricError, McpweftError
from mcpweft_schemas.keys import FleetKeys

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from mcpweft_schemas.store import Store

LOG = logging.getLogger("mcpweft.duties")
GONE_MS = 3_600_000
"""Silence after which a member is purged whoever should have done it."""
REPLAY_TIMEOUT_MS = 3_600_000
KEEP_MS = 3_600_000
PAGE = 100
_KEEP_RESULT_S = 150
_JOB_S = 60
COMMAND_S = 300
"""How long a command may take at most, in seconds."""
_POLL_S = 0.25  # between two looks for commands
_LONGEST_PAUSE_S = 30.0
_CLOSE_S = 2.0
_TRIES = 3

Handler = Callable[..., Awaitable[Any]]
"""What carries out a command: plain values in, a plain value out. Raises McpweftError."""


def pack(value: Any) -> bytes:
    """Write a job or its result; what is no plain value, such as an exception, as its text."""
    return cast("bytes", msgpack.packb(value, default=repr))


def unpack(data: bytes) -> Any:
    """Read what `pack` wrote."""
    return msgpack.unpackb(data, strict_map_key=False)


def queue_of(namespace: str) -> str:
    """Return the name of a namespace's queue of jobs."""
    return FleetKeys(namespace).prefix + "duties"


def control_of(url: str, control_url: str | None) -> str | None:
    """Return the URL of the store that arq can use, or None where there is none."""
    if control_url:
        return control_url
    return url if url.startswith(("redis://", "rediss://", "unix://")) else None


async def connect(control_url: str, namespace: str, *, retries: int = 5) -> ArqRedis:
    """Return arq's way to a namespace's queue; who asks for it closes it."""
    return await create_pool(
        replace(RedisSettings.from_dsn(control_url), conn_retries=retries),
        job_serializer=pack,
        job_deserializer=unpack,
        default_queue_name=queue_of(namespace),
    )


class Duties:
    """One coordinator's part in the duties of the fleet; `run` it in a task that somebody owns."""

    def __init__(
        self,
        store: Store,
        control_url: str,
        holder: str,
        rng: random.Random,
        *,
        schedule: Mapping[str, set[int]] | None = None,
        on_tick: Callable[[str], None] | None = None,
        commands: Mapping[str, Handler] | None = None,
    ) -> None:
        """Make one.

        Args:
            store: The namespace to look after.
            control_url: A plain Redis for arq's keys, as `control_of` says.
            holder: This coordinator's id.
            rng: Chance, for pauses.
            schedule: When members are purged, as arq's `cron` takes it; each full hour by default.
            on_tick: Told the job id of each scheduled duty that ran here.
            commands: What else it carries out, by name.

        """
        self._store = store
        self._url = control_url
        self._holder = holder
        self._rng = rng
        self._schedule: Mapping[str, Any] = schedule or {"minute": {0}, "second": {0}}
        self._on_tick = on_tick
        self._commands = dict(commands or {})

    async def run(self) -> None:
        """Do duties until cancelled; where the store is away, try again after a pause."""
        failures = 0
        while True:
            try:
                await self._serve()
            except Exception as error:  # noqa: BLE001  # arq lets out whatever its connection raises
                failures += 1
                LOG.warning("duties interrupted", extra={"fields": {"error": repr(error)}})
            await asyncio.sleep(self._rng.uniform(0.5, 1.0) * min(_LONGEST_PAUSE_S, 2**failures))

    async def _serve(self) -> None:
        """Run one arq worker until its connection fails."""
        pool = await connect(self._url, self._store.namespace)
        worker = self._worker(pool)
        try:
            await worker.async_run()
        finally:
            # In a task of its own, since this one may be cancelled. Not by arq's own close: it calls what
            # redis-py has deprecated, and leaves its connections open where that is an error.
            closing = asyncio.ensure_future(self._close(worker, pool))
            await asyncio.wait({closing}, timeout=_CLOSE_S)
            if closing.done() and not closing.cancelled():
                closing.exception()  # the connection may be gone: that is why it is closed

    @staticmethod
    async def _close(worker: Worker, pool: ArqRedis) -> None:
        jobs = set(worker.tasks.values())
        for job in jobs:
            job.cancel()
        try:
            if jobs:
                await asyncio.wait(jobs, timeout=_CLOSE_S / 2)
            await pool.delete(worker.health_check_key)
        finally:
            await cast("Any", pool).aclose(close_connection_pool=True)

    def _worker(self, pool: ArqRedis) -> Worker:
        name = f"mcpweft:{self._store.namespace}:purge_members"
        tick: Any = self._purge_members
        return Worker(
            functions=[func(cast("Any", self.replay_dead), name="replay_dead"),
                       func(cast("Any", self.purge_dead), name="purge_dead"),
                       *(func(cast("Any", _told(handler)), name=name, timeout=COMMAND_S)
                         for name, handler in self._commands.items())],
            cron_jobs=[cron(tick, name=name, keep_result=_KEEP_RESULT_S, max_tries=1, unique=True,
                            timeout=_JOB_S, **self._schedule)],
            redis_pool=pool, queue_name=queue_of(self._store.namespace),
            health_check_key=f"{queue_of(self._store.namespace)}:health:{self._holder}",
            health_check_interval=60, handle_signals=False, max_tries=1, retry_jobs=False,
            allow_abort_jobs=False, job_timeout=_JOB_S, keep_result=_KEEP_RESULT_S, poll_delay=_POLL_S,
            job_serializer=pack, job_deserializer=unpack, timezone=cast("Any", UTC), log_results=False,
        )  # fmt: skip

    # -- duties --------------------------------------------------------------------------------------------

    async def _purge_members(self, context: dict[str, Any]) -> int:
        """Remove members that nobody has heard for an hour and that hold nothing."""
        purged = 0
        for capability in await self._store.pools():
            status = await self._store.status(capability)
            if status is None:
                continue
            beats = dict.fromkeys([*status.members, *status.load], 0) | dict(status.alive)
            for worker, beat in beats.items():
                if status.now_ms - beat >= GONE_MS:
                    await self._store.retire(capability, worker)
                    purged += 1
        if self._on_tick is not None:
            self._on_tick(str(context.get("job_id", "")))
        return purged

    # -- commands ------------------------------------------------------------------------------------------

    async def replay_dead(
        self, _context: dict[str, Any], capability: str, ids: Sequence[str]
    ) -> dict[str, list[str]]:
        """Accept dead letters anew; return id → [word, new id]."""
        answers: dict[str, list[str]] = {}
        for request_id in ids:
            new_id = ident.request_id(capability)  # the same for each try: a repeat changes nothing
            for left in reversed(range(_TRIES)):
                try:
                    word = await self._store.replay(
                        capability, request_id, new_id, timeout_ms=REPLAY_TIMEOUT_MS, keep_ms=KEEP_MS
                    )
                except FabricError:
                    if not left:
                        raise
                else:
                    answers[request_id] = [word.value, new_id]
                    break
        return answers

    async def purge_dead(
        self, _context: dict[str, Any], capability: str, ids: Sequence[str] | None = None
    ) -> int:
        """Forget these dead letters, or all; return how many there were."""
        if ids is not None:
            return await self._store.purge(capability, ids)
        purged = 0
        while letters := await self._store.dead(capability, 0, PAGE):
            gone = await self._store.purge(capability, [letter.id for letter in letters])
            purged += gone
            if not gone:  # somebody else purges at the same time, or a letter has no record any more
                break
        return purged


def _told(handler: Handler) -> Handler:
    """Return a job that answers how `handler` ended."""

    async def job(_context: dict[str, Any], *args: Any) -> dict[str, Any]:
        try:
            return {"ok": await handler(*args)}
        except McpweftError as error:
            return {"error": {"code": error.code.value, "what": error.what, "advice": error.advice}}

    return job
