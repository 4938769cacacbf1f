"""The analytics as values: what was measured of pools, servers, tools and classes, and what follows from it.

Each figure is a count, a sum of counts, or a quantile of all times together; one that nobody measured is
None, and none is a guess. Rates are per second of `covered_s`: the part of the time that was asked for of
which anything is known. Times are ms where a name does not say otherwise. docs/analytics.md defines each.

Above stand the client and the command line; below nothing. This module must never measure anything itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_schemas.life import Class


@dataclass(frozen=True, slots=True)
class Latency:
    """How one kind of time lies. All None where there were no such times."""

    count: int = 0
    mean_ms: float | None = None
    p50_ms: float | None = None
    """Below which half of them lie, to a tenth."""
    p95_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The attempts of one pool, or of one server, tool or class in it."""

    pool: str
    server: str | None = None
    """None: of all servers together; `*`: of those beyond the bound of one slot."""
    tool: str | None = None
    """None: of all tools together; `*`: of those beyond the bound, and of names that are no tool's."""
    klass: Class | None = None
    """None: of all classes together."""
    attempts: int = 0
    """That ended in a worker, however."""
    answered: int = 0
    """With an answer, a tool's own error among them."""
    tool_errors: int = 0
    """Answers that the tool itself called an error."""
    failed: int = 0
    """Without an answer: the server gone, its time over, its protocol broken, a rate exceeded."""
    timed_out: int = 0
    """Those of them whose time was over."""
    refused: int = 0
    """Because another one would only repeat it: unknown tool, wrong arguments, an answer too large."""
    stopped: int = 0
    """From this side: cancelled, the worker's end, its server taken out by hand."""
    retries: int = 0
    """Attempts that were not the first of their request."""
    near_timeout: int = 0
    """Answers that took over four fifths of the time that their attempt was given."""
    throughput: float | None = None
    """Answers per second."""
    error_rate: float | None = None
    """`failed` as a part of `answered` and `failed`."""
    busy: float | None = None
    """Attempts under way at a time, on average."""
    timeout_ms: float | None = None
    """What attempts whose time was over had taken, on average: what they were given."""
    queue: Latency = field(default_factory=Latency)
    """From acceptance to the first attempt's coming to a worker."""
    service: Latency = field(default_factory=Latency)
    """What the server itself took for an answer."""
    response: Latency = field(default_factory=Latency)
    """From acceptance to the answer, retries among it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """What became of a pool's requests, whoever ended them. All None where fewer than two looks are known."""

    accepted: int | None = None
    done: int | None = None
    """Answered, a tool's own error or a refusal among them."""
    dead: int | None = None
    cancelled: int | None = None
    expired: int | None = None
    """Their time was over, or there was no server for them."""
    retried: int | None = None
    """Attempts after which a request was put back to be tried again."""
    unretried: int | None = None
    """Requests that ended because the pool's retry budget was spent."""
    reclaimed: int | None = None
    """Taken back from workers that had died."""
    turned_away: int | None = None
    """Not accepted, because the queue was full."""
    mean_ms: float | None = None
    """From acceptance to the end, however they ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a pool stood, on average over the looks at it. All None where nobody looked."""

    looks: int = 0
    waiting: Mapping[Class, float] | None = None
    """Requests of each class that nobody had taken."""
    running: float | None = None
    delayed: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One slot of a pool."""

    at_ms: int
    """When it begins."""
    throughput: float | None
    error_rate: float | None
    response_p95_ms: float | None
    waiting: float | None
    """On average over the looks in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUse:
    """How much of a server was in use in one pool."""

    pool: str
    server: str
    workers: float | None
    """Usable ones, on average over the looks."""
    slots: float | None
    """Calls that those could have under way at a time, on average."""
    utilisation: float | None
    """Attempts under way, of this pool, as a part of those slots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Requests that a pool accepted from one look at it to the next."""

    seconds: float
    accepted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLoad:
    """A server of a pool, as far as its work can be rehearsed with it."""

    server: str
    workers: float
    """Usable ones, on average over the looks."""
    slots: float
    """Calls that those could have under way at a time, on average."""
    service_ms: float
    """What it took for an answer, on average."""
    service: tuple[int, ...]
    """Its answers by the bucket of their time: how many empty ones come first, then the counts
    (`mcpweft_schemas.spread`)."""
    shared: bool
    """Whether a worker of it serves other pools as well, now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What came to a pool, and who was there for it: all that another strategy is rehearsed with."""

    arrivals: tuple[Arrivals, ...]
    """Oldest first, without a gap."""
    servers: tuple[ServerLoad, ...]
    classes: Mapping[Class, int]
    """Answers of each class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolAnalytics:
    """One pool."""

    capability: str
    covered_s: float
    """Of the time that was asked for, from the first slot with anything in it on."""
    strategy: str | None
    """By which its work is divided now."""
    total: Series
    classes: tuple[Series, ...]
    servers: tuple[Series, ...]
    tools: tuple[Series, ...]
    series: tuple[Series, ...]
    """By server, tool and class: what all the others are sums of."""
    requests: Requests
    standing: Standing
    use: tuple[ServerUse, ...]
    timeline: tuple[Point, ...]
    load: Load | None = None
    """None where nobody asked for a rehearsal, or something that it needs was not measured."""


class Trouble(StrEnum):
    """What work was failed over from."""

    BREAKER = "breaker"
    """The breaker of a server opened, by figures or by a failed call."""
    FORCED = "forced"
    """Somebody took a server out by hand."""
    WORKER_DIED = "worker_died"
    """A worker was silent, or its process ended unasked."""
    SERVER_LOST = "server_lost"
    """A worker's MCP server was gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """A server, or a worker of it, that was out, and for how long."""

    trouble: Trouble
    server: str
    workers: tuple[str, ...]
    pools: tuple[str, ...]
    """Where that is known: a breaker's and a lost server's are not told by pool."""
    cause: str
    """As whoever saw it said."""
    began_ms: int
    ended_ms: int | None
    """When it was back; None where it is not, or its return was not told."""
    recovery_s: float | None
    """Measured between the two."""
    moved: int
    """Attempts that failed on it meanwhile and were put back, and requests taken back from it."""
    lost: int
    """Requests of a dead worker that ended as unknown."""
    to: tuple[str, ...] | None
    """Other servers of the pools that it serves which answered retries meanwhile; None where its pools had no
    figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerMove:
    """A move of a breaker, as one worker told it."""

    at_ms: int
    server: str
    worker: str
    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyChange:
    """A pool's work was divided by another strategy from then on."""

    at_ms: int
    pool: str
    before: str
    after: str


class Advice(StrEnum):
    """What a recommendation is about."""

    MORE_SERVERS = "more_servers"
    """A server's slots are in use and requests wait for them."""
    STARVING_CLASS = "starving_class"
    """Requests of one class wait far longer than those of another."""
    ATTEMPT_TIMEOUT = "attempt_timeout"
    """Answers take about as long as attempts are given."""
    RETRY_BUDGET = "retry_budget"
    """Requests ended because the retry budget was spent."""
    STRATEGY = "strategy"
    """Servers of one pool differ in speed, and the strategy does not see it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """Something to change, and the figures that say so."""

    advice: Advice
    pool: str
    server: str | None = None
    text: str
    key: str
    """The configuration key to change."""
    evidence: Mapping[str, Any]
    """The figures that it was computed from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """One figure of several runs."""

    least_ms: float
    middle_ms: float
    most_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What one strategy gives on the recorded load, by the simulator: times from acceptance to answer."""

    strategy: str
    p50: Range
    p95: Range
    p99: Range


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What came of running a pool's recorded load under other strategies; one figure of it was measured."""

    pool: str
    strategy: str | None
    """In force."""
    measured_p95_ms: float | None
    """From acceptance to answer: what the simulated one of the strategy in force is held against."""
    holds: bool
    """Whether the two agree, so that what the model says of the others can be believed."""
    better: str | None
    """The strategy that would have been better; None: none, or nobody knows."""
    reason: str
    """Why none is recommended; empty where one is."""
    runs: tuple[Rehearsed, ...] = ()
    """The strategy in force first; the others only where the model holds."""
    seeds: int = 0
    """Runs of each strategy."""
    calls: int = 0
    """Simulated, in all runs together."""
    seconds: float = 0.0
    """Of the recorded time, in each run."""
    recorded_s: float = 0.0
    """How much of it there was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analytics:
    """What was measured in a stretch of time."""

    since_ms: int
    """The beginning of the first slot that was read."""
    until_ms: int
    slot_s: int
    """How long a slot is: 10 s where an hour or less was asked for, else 600 s."""
    pools: tuple[PoolAnalytics, ...]
    failovers: tuple[Failover, ...]
    breaker_moves: tuple[BreakerMove, ...]
    strategy_changes: tuple[StrategyChange, ...]
    events_from_ms: int | None
    """From when on events are kept: what happened before it, if anything did, is not told. None: none are."""
    recommendations: tuple[Recommendation, ...]
    rehearsals: tuple[Rehearsal, ...] = ()
    """One for each pool, where that was asked for."""
