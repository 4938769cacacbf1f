"""The launcher: keeps the wanted number of workers of each server running on this host, as child processes.

A worker's exit is seen by the operating system, so it is certain and known at once: the launcher takes its
work back as confirmed dead and removes it, without waiting for silence. Nobody outlives the launcher: at its
end all children get SIGTERM and, after their grace, SIGKILL; killed itself, it lets go of their leash
(`mcpweft_schemas.parent`), at which they end.

One more process waits, a worker's libraries loaded, to become the next worker that is started (`spare`).

Another configuration is applied while all runs: what is new starts, what is gone ends within the grace, and
the workers of what has changed are replaced one by one (`crew`). A server that is still ending is not started
anew before it is gone.

Above stand `coordinator` and `mcpweft up`, which print `views`. Below are a `crew` for each server, and the
store's moves. It needs no leadership: every host may have one. This module must never know arq or the lease
`lead`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcpweft_coordinator.child import Leash, spawn
from mcpweft_coordinator.crew import Crew, Means
from mcpweft_coordinator.lookout import Lookout
from mcpweft_coordinator.rollcall import Charge, Rollcall
from mcpweft_coordinator.spare import Spare
from mcpweft_coordinator.view import CrewState, ServerView
from mcpweft_schemas.config import Start, State
from mcpweft_schemas.errors import FabricError
from mcpweft_schemas.pulse import MoveError
from mcpweft_schemas.slug import slugs
from mcpweft_schemas.tenure import Tenure
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path
    from subprocess import Popen

    from mcpweft_schemas.config import Config, ServerConfig
    from mcpweft_schemas.event import Event
    from mcpweft_schemas.store import Store

LOG = logging.getLogger("mcpweft.launcher")
_REPORT_S = 60.0  # after so long, the leader has found the silence itself
_LAST_REPORTS_S = 3.0
_COUNTS = {"workers", "min", "max", "start", "idle_stop"}  # what the launcher itself goes by
_NOT_FOR_WORKERS = {
    "namespace", "include", "redis", "queue", "coordinator", "scaling", "strategy", "servers",
    "rules", "rules_match",
}  # fmt: skip
_CALL_S, _LEAVE_S = 10.0, 0.5  # how long a roll call may take
_CALM_S = 2.0  # since the last start of a worker, before a spare process is made ready


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the launcher looks, and how long it holds an exclusive server. Seconds."""

    tend: float = 0.1
    """Between two looks at the own children."""
    look: float = 1.0
    """Between two looks at a server's pools."""
    look_asleep: float = 0.25
    """The same while its workers wait for the first request; and between two looks at what is wanted."""
    lease: float = 10.0
    """How long an exclusive server stays this launcher's without a renewal."""


def worker_argv(
    config_path: Path | None = None, include: Sequence[Path] = ()
) -> Callable[[str, str], list[str]]:
    """Return what makes a worker's command line of (server, worker id).

    The store and the namespace are not in it: they travel in the environment (`worker_environment`), because
    everybody on the host can read a command line.
    """

    def argv(server: str, worker: str) -> list[str]:
        words = [sys.executable, "-m", "mcpweft_workers", "--server", server, "--id", worker]
        if config_path is not None:
            words += ["--config", str(config_path.absolute())]
        for path in include:
            words += ["--include", str(path.absolute())]
        return words

    return argv


def worker_environment(url: str, namespace: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a worker: this process's own, and where the fabric is."""
    return {
        **(os.environ if environ is None else environ),
        "MCPWEFT_URL": url,
        "MCPWEFT_NAMESPACE": namespace,
    }


@dataclass(slots=True)
class _Post:
    """One server in the launcher's care; times by its clock."""

    name: str
    """As its workers register."""
    crew: Crew
    lookout: Lookout
    tenure: Tenure | None
    makeup: object
    """What its workers read as they start: others are started where it changes."""
    look_at: float = 0.0
    renew_at: float = 0.0
    looking: bool = False
    renewing: bool = False


def makeup_of(config: Config, server: ServerConfig, name: str) -> object:
    """Return what the workers of a server read as they start; `name` is the one they register by."""
    whole = config.model_dump(exclude=_NOT_FOR_WORKERS)
    return name, whole, server.model_dump(exclude=_COUNTS)


class Launcher:
    """The workers of all servers on this host; `run` it in a task that somebody owns."""

    def __init__(  # noqa: PLR0913  # its parts, each by its name
        self,
        store: Store,
        config: Config,
        holder: str,
        *,
        argv: Callable[[str, str], Sequence[str]],
        environ: Mapping[str, str],
        clock: Callable[[], float],
        rng: random.Random,
        pace: Pace | None = None,
        tell: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """Make one inside a running event loop.

        Args:
            store: Where the pools are.
            config: The servers, and the workers' grace.
            holder: This launcher's own id, for the leases of exclusive servers.
            argv: Makes a worker's command line of (server, worker id), such as `worker_argv()`.
            environ: A worker's whole environment, such as `worker_environment(…)`.
            clock: Seconds that never run backwards.
            rng: Chance, for pauses.
            pace: How often it looks.
            tell: Has the fleet told of an event; never waits.

        """
        self._store = store
        self._holder = holder
        self._argv = argv
        self._environ = environ
        self._tell = tell
        self._clock = clock
        self._rng = rng
        self._pace = pace or Pace()
        self._leash = Leash()
        self._spare = Spare(environ, self._leash)
        self._spare_at = 0.0
        self._works: set[asyncio.Task[None]] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._posts: list[_Post] = []
        self._ending: dict[str, Crew] = {}
        """Servers that are no longer configured, by their names, until their workers are gone."""
        self._rollcall: Rollcall | None = None
        self._call_at = 0.0
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Go by another configuration."""
        self._broken = tuple(
            ServerView(broken.name, "", (), CrewState.BROKEN, 0, 0, None, str(broken), (), 0)
            for broken in config.broken
        )
        self._keep_spare = config.coordinator.spare
        if not self._keep_spare:
            self._spare.dismiss()
        means = Means(
            argv=self._argv, environ=self._environ, leash=self._leash, spawn=self._spawn, report=self._report,
            clock=self._clock, rng=self._rng, grace_s=config.worker.grace, start=self._start, tell=self._tell,
        )  # fmt: skip
        before = {post.crew.server.name: post for post in self._posts}
        short = slugs(config.servers)
        self._posts = []
        for name, server in config.active.items():
            makeup = makeup_of(config, server, short[name])
            post = before.get(name)
            if post is not None and post.crew.exclusive is (server.state is not State.NONE):
                post.crew.adopt(server, means, renew=makeup != post.makeup)
                post.name, post.makeup, post.lookout = short[name], makeup, Lookout(self._store, server)
                self._posts.append(before.pop(name))
            else:
                self._posts.append(self._post(short[name], server, means, makeup))
        for name, post in before.items():
            if not post.crew.empty:
                self._ending[name] = post.crew
                self._start(self._end(post))
        charges = [
            Charge(post.name, post.crew.server.least, divided=not post.crew.exclusive)
            for post in self._posts
            if post.crew.server.scaled
        ]
        self._rollcall = Rollcall(self._store, self._holder, charges) if charges else None
        self._call_at = 0.0

    def _post(self, name: str, server: ServerConfig, means: Means, makeup: object) -> _Post:
        exclusive = server.state is not State.NONE
        crew = Crew(server, means, exclusive=exclusive, asleep=server.start is Start.LAZY)
        tenure = None
        if exclusive:
            lease_ms = round(self._pace.lease * 1000)
            tenure = Tenure(self._store, f"launch.{server.name}", self._holder, lease_ms, self._clock)
        return _Post(name, crew, Lookout(self._store, server), tenure, makeup)

    async def _end(self, post: _Post) -> None:
        try:
            await post.crew.retire()
            if post.tenure is not None and post.tenure.term is not None:
                with contextlib.suppress(TimeoutError, FabricError):
                    await post.tenure.give_up()
        finally:
            if self._ending.get(post.crew.server.name) is post.crew:
                del self._ending[post.crew.server.name]

    def views(self) -> tuple[ServerView, ...]:
        """Return how each server is, those that cannot run among them."""
        crews = self._ending | {post.crew.server.name: post.crew for post in self._posts}
        return (*(crew.view() for crew in crews.values()), *self._broken)

    def pids(self) -> dict[str, int]:
        """Return worker → process, of all that run now."""
        return {worker: pid for post in self._posts for worker, pid in post.crew.pids.items()}

    async def run(self) -> None:
        """Keep the workers running until cancelled; then end them all, and tell of each."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                while True:
                    if self._rollcall is not None and self._clock() >= self._call_at:
                        self._call_at = self._clock() + _CALL_S  # or when this call was answered
                        self._start(self._call(self._rollcall))
                    for post in self._posts:
                        if post.crew.server.name not in self._ending:
                            self._tend(post)
                    if self._keep_spare and self._clock() >= self._spare_at:
                        self._spare.prepare()
                        self._spare_at = self._clock() + _CALM_S
                    await asyncio.sleep(self._pace.tend)
            finally:
                await self._stop()

    def _spawn(self, argv: Sequence[str], environ: Mapping[str, str]) -> Popen[bytes]:
        self._spare_at = self._clock() + _CALM_S  # it must not take the processor from those that start
        return self._spare.become(argv, environ) or spawn(argv, environ, self._leash)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        assert self._tasks is not None  # noqa: S101  # crews act only while `run` does
        task = self._tasks.create_task(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)

    async def _stop(self) -> None:
        """End everybody, then let what there is to tell be told; leave nobody even if that fails."""
        try:
            if self._rollcall is not None:
                with contextlib.suppress(TimeoutError, FabricError, MoveError):
                    async with asyncio.timeout(_LEAVE_S):
                        await self._rollcall.leave()
            crews = (*(post.crew for post in self._posts), *self._ending.values())
            await asyncio.gather(*(crew.stop() for crew in crews))
            if self._works:
                await asyncio.wait(self._works, timeout=_LAST_REPORTS_S)
            for post in self._posts:
                if post.tenure is not None and post.tenure.term is not None:
                    with contextlib.suppress(TimeoutError, FabricError):
                        await post.tenure.give_up()
        finally:
            for post in self._posts:
                post.crew.banish()
            self._spare.dismiss()
            self._leash.close()

    # -- one server ----------------------------------------------------------------------------------------

    def _tend(self, post: _Post) -> None:
        now = self._clock()
        if post.tenure is not None:
            if post.crew.allowed and post.tenure.term is None:
                LOG.warning("exclusive server lost", extra={"fields": {"server": post.crew.server.name}})
                post.crew.banish()
            if now >= post.renew_at and not post.renewing:
                post.renewing = True
                self._start(self._renew(post, post.tenure))
        if now >= post.look_at and not post.looking:
            post.looking = True
            self._start(self._look(post))
        post.crew.tend()

    async def _call(self, rollcall: Rollcall) -> None:
        try:
            parts = await rollcall.call()
            for post in self._posts:
                post.crew.part = parts.get(post.name, post.crew.part)
        except (FabricError, MoveError) as error:
            LOG.debug("no roll call", extra={"fields": {"error": str(error)}})
        finally:
            self._call_at = self._clock() + self._pace.look_asleep * self._rng.uniform(0.9, 1.1)

    async def _look(self, post: _Post) -> None:
        try:
            post.crew.seen = await post.lookout.look()
        except (FabricError, MoveError) as error:
            LOG.debug("no look at the pools", extra={"fields": {"error": str(error)}})
        finally:
            post.looking = False
            alone = post.crew.asleep and not post.crew.server.scaled  # nobody else tells it of a request
            pause = self._pace.look_asleep if alone else self._pace.look
            if not post.crew.asleep and post.crew.wanted and not post.crew.seen.ready:
                pause = self._pace.look_asleep  # somebody watches the table for this
            post.look_at = self._clock() + pause * self._rng.uniform(0.9, 1.1)

    async def _renew(self, post: _Post, tenure: Tenure) -> None:
        wait = self._pace.lease / 5
        try:
            lease = await tenure.renew()
            # The workers of the last term are gone before those of a new one may start.
            post.crew.allowed = tenure.term is not None and (post.crew.allowed or post.crew.empty)
            if lease.word is Word.HELD:
                wait = min(wait, lease.left_ms / 1000 + self._rng.uniform(0.01, 0.05))
        except (TimeoutError, FabricError) as error:
            LOG.debug("no lease", extra={"fields": {"error": str(error)}})
            wait = self._rng.uniform(0.1, 0.5)
        finally:
            post.renewing = False
            post.renew_at = self._clock() + wait

    # -- an end --------------------------------------------------------------------------------------------

    async def _report(self, server: ServerConfig, worker: str) -> tuple[int, int]:
        """Take back what a worker held that has surely ended, in every pool, and remove it.

        Return how many requests wait for others, and how many ended because they may have run.
        """
        until = self._clock() + _REPORT_S
        moved = lost = 0
        for capability in server.capabilities:
            taken = await self._bury(capability, worker)
            while taken is None and self._clock() < until:
                await asyncio.sleep(self._rng.uniform(0.1, 0.5))
                taken = await self._bury(capability, worker)
            moved, lost = (moved + taken[0], lost + taken[1]) if taken else (moved, lost)
        return moved, lost

    async def _bury(self, capability: str, worker: str) -> tuple[int, int] | None:
        """Do so in one pool; return None where the store is away."""
        moved = lost = 0
        try:
            while True:
                got = await self._store.reclaim(capability, 0, worker, confirmed=True, dead_after_ms=0)
                moved, lost = moved + got.moved, lost + got.lost
                if got.word is not Word.MORE:
                    break
            await self._store.retire(capability, worker)
        except MoveError as error:
            told = {"capability": capability, "worker": worker, "error": str(error)}
            LOG.warning("exit could not be told", extra={"fields": told})
            return moved, lost
        except FabricError:
            return None
        if moved or lost:
            figures = {"moved": moved, "lost": lost}
            LOG.warning(
                "work taken back",
                extra={"fields": {"capability": capability, "worker": worker, **figures}},
            )
        return moved, lost
