"""The workers of one server on this host: how many run now, and what is done when one ends.

              lazy: a request comes          ready
    ASLEEP ───────────────────▶ STARTING ─────────────▶ UP
       ▲                          ▲   │ ends by itself    │
       └──── idle for idle_stop ──┼───┼───────────────────┘
                                  └───┴── RESTARTING, CRASHING: a pause of 0.1 s … 30 s, jittered

Where the server's configuration has changed its workers are replaced, one by one: a new one serves before an
old one is drained, except for an exclusive server, whose old one goes first. New ones that never serve leave
the old ones as they are. A server that is taken out of the configuration ends within the grace, and hands
back the rest.

Where the number follows the load, ASLEEP is while none is wanted here. A worker too many is drained, the
least busy first: it takes nothing more, and ends when its last call has ended, whenever that is.

An exclusive server's workers run only while this launcher holds the lease `launch.<server>`. When that is no
longer sure they are killed at once, before another launcher can begin.

Above stands `launcher`, which says what the pools look like. Below is `child`. This module must never know
how a worker is told what to do: its command line comes from outside.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcpweft_coordinator.child import Child
from mcpweft_coordinator.view import CrewState, ServerView
from mcpweft_schemas import ident
from mcpweft_schemas.config import Start
from mcpweft_schemas.event import Event, Kind, Who
from mcpweft_schemas.slug import slug

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from subprocess import Popen

    from mcpweft_coordinator.child import Leash
    from mcpweft_schemas.config import ServerConfig

LOG = logging.getLogger("mcpweft.launcher")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 30.0
_STEADY_S = 10.0  # who has run for so long did not crash at its start
_CRASHING = 3  # ends in a row that make a crash loop
_LAST_LINES = 3  # that an event tells
_HAND_BACK_S = 5.0  # for what is left to be settled once the grace is over


@dataclass(frozen=True, slots=True)
class Seen:
    """What the store said of this server's pools at the last look."""

    backlog: int = 0
    """Requests that wait or run."""
    ready: frozenset[str] = frozenset()
    """Workers that can take work."""
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    """Worker → why it takes none."""
    busy: Mapping[str, int] = field(default_factory=dict[str, int])
    """Worker → its calls under way."""
    tools: int | None = None


@dataclass(frozen=True, slots=True)
class Means:
    """How a crew starts a process and tells of its end."""

    argv: Callable[[str, str], Sequence[str]]
    """(server, worker id) → command line."""
    environ: Mapping[str, str]
    leash: Leash
    spawn: Callable[[Sequence[str], Mapping[str, str]], Popen[bytes]]
    """Starts a process of (command line, environment), or has one that waits become it. Raises OSError."""
    report: Callable[[ServerConfig, str], Coroutine[None, None, tuple[int, int]]]
    """Takes back what a worker held; returns when it is done how many requests wait for others, and how many
    are lost."""
    tell: Callable[[Event], None]
    """Has the fleet told of an event; never waits."""
    clock: Callable[[], float]
    rng: random.Random
    grace_s: float
    """How long a worker may take to finish its calls when told to stop."""
    start: Callable[[Coroutine[None, None, None]], object]
    """Runs something in the launcher's task group."""


class Crew:
    """The workers of one server."""

    def __init__(self, server: ServerConfig, means: Means, *, exclusive: bool, asleep: bool) -> None:
        self.server = server
        self.exclusive = exclusive
        self.asleep = asleep or server.scaled
        self.part = 0
        """How many of a scaled server's workers are to run here."""
        self.allowed = not exclusive
        """Whether an exclusive server may run here now."""
        self.seen = Seen()
        self._means = means
        self._children: dict[str, Child] = {}
        self._stopping: set[str] = set()
        self._outdated: set[str] = set()  # those that run by an earlier configuration
        self._served: set[str] = set()  # those that could take work at some time
        self._busy_at = means.clock()
        self._failures = 0
        self._pause_until = 0.0
        self._restarts = 0
        self._reason = ""
        self._last: tuple[str, ...] = ()

    @property
    def wanted(self) -> int:
        """How many workers are to run now."""
        if self.asleep or not self.allowed:
            return 0
        count = self.part if self.server.scaled else self.server.workers
        return min(1, count) if self.exclusive else count

    def tend(self) -> None:
        """Start and stop workers as the last look asks for."""
        now = self._means.clock()
        self._served |= self._staying & self.seen.ready
        if self.server.scaled:
            self.asleep = self.part == 0
        elif self.seen.backlog:
            self._busy_at = now
            self.asleep = False
        elif not self.asleep and self._staying and not self._staying & self._served:
            self._busy_at = now  # a server may take longer to start than it may be idle
        elif self._idle_for(now):
            self.asleep = True
        for worker in self._leaving():
            self._stopping.add(worker)
            self._children[worker].drain()
        if now >= self._pause_until:
            for _ in range(self._missing()):
                self._begin()

    def adopt(self, server: ServerConfig, means: Means, *, renew: bool) -> None:
        """Go by another configuration of the server; `renew`: its workers have to be replaced for it."""
        if server.scaled != self.server.scaled:
            self.asleep = server.scaled or server.start is Start.LAZY
        elif server.start is Start.EAGER and not server.scaled and server.idle_stop is None:
            self.asleep = False
        self.server, self._means = server, means
        if renew:
            self._outdated |= set(self._children)
            self._failures, self._pause_until = 0, 0.0

    def banish(self) -> None:
        """Kill the workers of an exclusive server: its lease is no longer sure."""
        self.allowed = False
        for child in self._children.values():
            child.kill()

    async def stop(self) -> None:
        """End all workers: at once if they can, by force after the grace."""
        self.asleep = True
        await self._end_all()

    async def retire(self) -> None:
        """End all workers because the server is no longer configured: they finish, within the grace."""
        self.asleep = True
        self._stopping |= set(self._children)
        await self._end_all()

    async def _end_all(self) -> None:
        limit = self._means.grace_s + _HAND_BACK_S
        await asyncio.gather(*(child.stop(limit) for child in self._children.values()))

    def view(self) -> ServerView:
        """Return how this server is."""
        state, reason = self._state()
        return ServerView(
            name=self.server.name, kind=str(self.server.transport), capabilities=self.server.capabilities,
            state=state, up=len(self._staying & self.seen.ready), wanted=self.wanted, tools=self.seen.tools,
            reason=reason, last_lines=self._last, restarts=self._restarts,
        )  # fmt: skip

    @property
    def empty(self) -> bool:
        """Whether no worker of it is left."""
        return not self._children

    @property
    def pids(self) -> Mapping[str, int]:
        """Worker → its process."""
        return {worker: child.pid for worker, child in self._children.items()}

    # -- one worker ----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        worker = ident.worker_id(self.server.name)
        # A worker of an exclusive server must be gone before another launcher may start one.
        grace = 0.5 if self.exclusive else self._means.grace_s + _HAND_BACK_S
        environ = {**self._means.environ, **self._means.leash.environment(grace)}
        try:
            process = self._means.spawn(self._means.argv(self.server.name, worker), environ)
        except OSError as error:
            self._failed(f"could not be started: {error}", ())
            return
        child = self._children[worker] = Child(process, self._relay(worker))
        LOG.info("worker started", extra={"fields": {"server": self.server.name, "worker": worker}})
        self._tell(Kind.WORKER_STARTED, worker, "", {"pid": child.pid})
        self._means.start(self._watch(worker, child, self._means.clock()))

    def _tell(self, kind: Kind, worker: str, reason: str, data: Mapping[str, Any]) -> None:
        self._means.tell(Event(kind, Who.COORDINATOR, "", slug(self.server.name), worker, reason, data))

    def _relay(self, worker: str) -> Callable[[str], None]:
        def relay(line: str) -> None:
            LOG.debug("worker says", extra={"fields": {"worker": worker, "line": line}})

        return relay

    async def _watch(self, worker: str, child: Child, began: float) -> None:
        await child.exited.wait()
        child.close()
        asked = worker in self._stopping or self.asleep or not self.allowed
        del self._children[worker]
        for some in (self._stopping, self._outdated, self._served):
            some.discard(worker)
        if not asked:
            if self._means.clock() - began >= _STEADY_S:
                self._failures = 0
            self._restarts += 1
            self._failed(f"{worker} {_ended(child.code)}", tuple(child.lines))
        moved, lost = await self._means.report(self.server, worker)
        last = "\n".join(list(child.lines)[-_LAST_LINES:])
        data = {"code": child.code, "asked": asked, "moved": moved, "lost": lost, "last": last}
        self._tell(Kind.WORKER_EXITED, worker, _ended(child.code), data)

    def _failed(self, reason: str, lines: tuple[str, ...]) -> None:
        self._failures += 1
        longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self._failures)
        pause = self._means.rng.uniform(longest / 2, longest)
        self._pause_until = self._means.clock() + pause
        self._reason, self._last = reason, lines
        told = {"server": self.server.name, "reason": reason, "again_in_s": round(pause, 3)}
        LOG.warning("worker ended", extra={"fields": told | {"last_lines": list(lines[-5:])}})

    def _parted(self) -> tuple[list[str], list[str]]:
        """Return who runs by the present configuration, and who by an earlier one."""
        running = [worker for worker in self._children if worker not in self._stopping]
        fresh = [worker for worker in running if worker not in self._outdated]
        return fresh, [worker for worker in running if worker in self._outdated]

    def _leaving(self) -> list[str]:
        """Return who is to go: those too many, and an old one for each new one that serves."""
        fresh, old = self._parted()
        if self.exclusive:
            return [*self._too_many(fresh, self.wanted), *old]
        serving = sum(worker in self.seen.ready for worker in fresh)
        return [*self._too_many(fresh, self.wanted), *self._too_many(old, max(0, self.wanted - serving))]

    def _missing(self) -> int:
        """Return how many are to be started: while there are old ones, one more at a time."""
        fresh, old = self._parted()
        if not old:
            return self.wanted - len(fresh)
        settled = all(worker in self.seen.ready for worker in fresh)
        one_more = int(settled and len(fresh) < self.wanted)
        return max(one_more, self.wanted - len(fresh) - len(old))

    def _too_many(self, some: list[str], most: int) -> list[str]:
        """Return who is to go: first who takes no work yet, then who has least to do, then the newest."""
        newest = reversed(some)
        order = sorted(newest, key=lambda one: (one in self.seen.ready, self.seen.busy.get(one, 0)))
        return order[: max(0, len(some) - most)]

    def _idle_for(self, now: float) -> bool:
        limit = self.server.idle_stop
        return limit is not None and not self.asleep and now - self._busy_at >= limit

    # -- how it looks --------------------------------------------------------------------------------------

    @property
    def _staying(self) -> set[str]:
        return set(self._children) - self._stopping

    def _state(self) -> tuple[CrewState, str]:
        mine, halted = self._staying, self._halted()
        if halted is not None:
            return halted
        if mine & self.seen.ready:
            return CrewState.UP, ""
        if self._failures >= _CRASHING:
            return CrewState.CRASHING, self._reason
        if not mine and self._failures:
            return CrewState.RESTARTING, self._reason
        said = [self.seen.reasons[worker] for worker in mine if self.seen.reasons.get(worker)]
        return (CrewState.NOT_READY, said[0]) if said else (CrewState.STARTING, "")

    def _halted(self) -> tuple[CrewState, str] | None:
        if not self.allowed:
            return CrewState.ELSEWHERE, "another launcher runs this exclusive server"
        if self._stopping and not self.wanted:
            return CrewState.STOPPING, ""
        if self.asleep:
            return CrewState.ASLEEP, "starts on the first request"
        return None if self.wanted else (CrewState.OFF, "no workers are wanted")


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was killed by signal {-code}"
    return f"ended with exit code {code}"
