"""The tables of `mcpweft.toml`, but for `[servers.<name>]`: each key with its default and its meaning.

Above stands `root`, which puts them together. The descriptions here are the configuration reference:
`scripts/configuration_reference.py` prints them. This module must never read a file or the environment.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, field_validator, model_validator

from mcpweft_schemas.config.quantity import (
    Count,
    Duration,
    Name,
    Part,
    Port,
    Rate,
    Section,
    Share,
    Size,
)


class Eviction(StrEnum):
    """What is done about a store that may throw keys away when its memory is full."""

    REFUSE = "refuse"
    """Start only where `maxmemory-policy` is `noeviction`."""
    ACCEPT_VOLATILE = "accept-volatile"
    """Start under a `volatile-*` policy too, where keys with a TTL may vanish: replies, stored outcomes."""


class Durability(StrEnum):
    """What an accepted request survives."""

    FAST = "fast"
    """The store's own habit: with AOF everysec, a crash of its machine may cost a second or more."""
    FSYNC = "fsync"
    """The store has written it to its disk."""
    REPLICATED = "replicated"
    """At least one replica has it."""


class BreakerKind(StrEnum):
    """What the breaker's window holds."""

    TIME = "time"
    """The outcomes of the last `window`."""
    COUNT = "count"
    """The last `count` outcomes."""


class FailureKind(StrEnum):
    """What the breaker of a server may count as its failure."""

    DIED = "died"
    """The server's process ended with the call in flight."""
    UNREACHABLE = "unreachable"
    """There was no connection, it broke, or the server forgot the session."""
    TIMEOUT = "timeout"
    """No answer within the attempt's time; a deadline that passed in the queue never counts."""
    PROTOCOL = "protocol"
    """The server answered with a protocol error, or what is no valid answer."""
    TOOL_ERROR = "tool_error"
    """A tool answered that it failed."""


_SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "redis+cluster",
    "rediss+cluster",
    "redis+sentinel",
    "rediss+sentinel",
)


class RedisConfig(Section):
    """The store."""

    url: str | None = Field(
        default=None,
        repr=False,  # it may hold a password
        description="Where the store is: `redis://`, `unix://`, `redis+cluster://` or "
        "`redis+sentinel://host:port,host:port/service` (`?sentinel_password=` is the Sentinels' own); with "
        "TLS `rediss`, where it says `redis`. Unset: `mcpweft up` starts one of its own, and everything else "
        "looks for a running `up`. `MCPWEFT_URL` sets it too.",
    )
    eviction: Eviction = Field(
        default=Eviction.REFUSE,
        description="What to do about a store that may evict keys. `accept-volatile` starts under a "
        "`volatile-*` policy, where replies, stored outcomes and idempotency keys may vanish.",
    )
    durability: Durability = Field(
        default=Durability.FAST,
        description="What an accepted request survives: `fast` the death of the store's process, `fsync` "
        "that of its machine with the disk intact, `replicated` a failover. Checked at the start against "
        "what the store offers.",
    )

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str | None) -> str | None:
        if value is not None and value.partition("://")[0] not in _SCHEMES:
            raise ValueError(f"Write a URL that starts with one of {', '.join(_SCHEMES)}, and ://")
        return value


class QueueConfig(Section):
    """The queue of each pool: its bounds, and how long what is over is kept."""

    bound: Count = Field(
        default=10_000, description="Requests that a pool holds at most, those in the works included."
    )
    max_bytes: Size = Field(default=256 << 20, description="Bytes of requests that a pool holds at most.")
    low_at: Share = Field(
        default=0.60, description="Fill level from which requests of class low are refused."
    )
    normal_at: Share = Field(default=0.85, description="Fill level from which class normal is refused.")
    high_at: Share = Field(default=0.95, description="Fill level from which class high is refused.")
    result_ttl: Duration = Field(
        default=3600.0, description="How long the outcome of a submitted request can be fetched."
    )
    idempotency_ttl: Duration = Field(
        default=86_400.0,
        description="How long an idempotency key stands for its outcome, from that outcome on.",
    )
    dead_ttl: Duration = Field(default=604_800.0, description="How long dead letters are kept for replay.")
    retry_ratio: Part = Field(
        default=0.1,
        description="Retries after a failure that each request which ended earns its pool: so much load may "
        "retries add while everything fails.",
    )
    retry_floor: Rate = Field(
        default=10.0, description="Retries a second that a pool earns besides, however little it has to do."
    )
    retry_burst: Count = Field(
        default=500,
        description="Retries that a pool saves up at most. Leave it above what one server runs at once, "
        "or its death spends more than there is.",
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not self.low_at <= self.normal_at <= self.high_at:
            raise ValueError(
                f"queue.low_at ({self.low_at:g}), normal_at ({self.normal_at:g}) and high_at "
                f"({self.high_at:g}) must not fall: a better class is never refused before a worse one"
            )
        return self


class CallConfig(Section):
    """What a request is given when its caller does not say."""

    timeout: Duration = Field(
        default=120.0,
        description="Total time of a call, from enqueue to outcome. Must cover every attempt and backoff.",
    )
    submit_timeout: Duration = Field(default=3600.0, description="Total time of a submitted request.")
    attempt_timeout: Duration = Field(
        default=30.0, description="Time of one attempt on a server. Servers and tools may have their own."
    )
    max_attempts: Count = Field(
        default=3, description="Deliveries that a request is charged for at most, all layers together."
    )
    backoff: Duration = Field(
        default=1.0,
        description="Longest wait before the second attempt on the same server; doubles, with full jitter. "
        "Another server may try at once.",
    )
    backoff_max: Duration = Field(default=10.0, description="What that wait grows to at most.")
    outstanding: Count = Field(
        default=10_000, description="Requests that one producer has open at most; more wait."
    )


class WorkerConfig(Section):
    """Each worker, the process bound to one MCP server."""

    heartbeat: Duration = Field(default=0.25, description="How often a worker says that it lives.")
    dead_after: Duration = Field(default=1.0, description="Silence after which a worker counts as dead.")
    grace: Duration = Field(
        default=10.0, description="Time that running calls have to finish when a worker is told to stop."
    )
    hung_after: Duration | None = Field(
        default=None,
        description="Silence of a server with calls in flight after which it is restarted. Unset: only once "
        "an attempt has timed out as well, because a busy server is not a dead one.",
    )
    max_result: Size = Field(
        default=16 << 20, description="Largest outcome that is kept; a larger one is RESULT_TOO_LARGE."
    )
    inline_result: Size = Field(
        default=1 << 20,
        description="Largest outcome that travels in the reply itself; larger ones are fetched when read.",
    )
    host: str = Field(default="127.0.0.1", description="Address that `port` listens on.")
    port: Port | None = Field(
        default=None, description="Port of /healthz, /readyz and /metrics. Unset: none. 0: any free one."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.dead_after < 2 * self.heartbeat:
            raise ValueError(
                f"worker.dead_after ({self.dead_after:g}s) is under two heartbeats ({self.heartbeat:g}s "
                "each), so one late beat would kill a healthy worker: raise dead_after or lower heartbeat"
            )
        if self.inline_result > self.max_result:
            raise ValueError("worker.inline_result is over worker.max_result: lower it, or raise max_result")
        return self


class BreakerConfig(Section):
    """The breaker of each server: when calls stop going to it, and when they are let back."""

    failure_threshold: Count = Field(default=5, description="Failures in a row that open it.")
    kind: BreakerKind = Field(
        default=BreakerKind.TIME,
        description="Whether the window is the last `window` of time or the last `count` outcomes.",
    )
    window: Duration = Field(default=300.0, description='The window\'s length, for `kind = "time"`.')
    count: Count = Field(default=100, description='The window\'s length in outcomes, for `kind = "count"`.')
    min_calls: Count = Field(
        default=10, description="Outcomes that the window must hold before a rate may open it."
    )
    failure_rate: Share = Field(
        default=0.5, description="Opens when this part of the window failed, or more."
    )
    slow_call: Duration | None = Field(
        default=None, description="A call that took so long, or longer, is slow. Unset: none is."
    )
    slow_rate: Share = Field(default=0.5, description="Opens when this part of the window was slow, or more.")
    failures: tuple[FailureKind, ...] = Field(
        default=(FailureKind.DIED, FailureKind.UNREACHABLE, FailureKind.TIMEOUT, FailureKind.PROTOCOL),
        description="What counts as a failure: `died`, `unreachable`, `timeout`, `protocol`, `tool_error`. "
        "A deadline that passed in the queue never does.",
    )
    recovery: Duration = Field(default=60.0, description="Time open, before probes are let through.")
    probes: Count = Field(
        default=3, description="Probes let through half open; when all of them succeed, it closes."
    )

    check_every: Duration = Field(
        default=10.0,
        description="How often a server that was idle so long is asked whether it is there.",
    )
    unhealthy_after: Count = Field(
        default=3, description="Failed checks in a row after which it is unhealthy, and is connected anew."
    )

    @model_validator(mode="after")
    def _can_fill(self) -> Self:
        if self.kind is BreakerKind.COUNT and self.count < self.min_calls:
            raise ValueError(
                f"breaker.count ({self.count}) is below breaker.min_calls ({self.min_calls}), so no rate "
                "could ever open it: raise count or lower min_calls"
            )
        return self


class StrategyName(StrEnum):
    """How a pool's work is divided among its workers; docs/strategies.md says which to use when."""

    ROUND_ROBIN = "round_robin"
    """Everybody takes all that its server does, at once."""
    LEAST_CONNECTIONS = "least_connections"
    """Who has fewer calls in flight goes first."""
    WEIGHTED_RESPONSE_TIME = "weighted_response_time"
    """Slots in proportion to speed."""
    RESOURCE_AWARE = "resource_aware"
    """Slots in proportion to what is free of processor and memory."""
    CAPABILITY_BASED = "capability_based"
    """Specialists before generalists."""
    PREDICTIVE = "predictive"
    """A slow server takes what a faster one would not answer sooner."""
    ADAPTIVE = "adaptive"
    """Tries the others, and uses the one under which answers were soonest."""


class StrategyConfig(Section):
    """How the work of pools is divided among their workers."""

    name: StrategyName = Field(
        default=StrategyName.ROUND_ROBIN,
        description="The strategy of each pool: `round_robin`, `least_connections`, "
        "`weighted_response_time`, `resource_aware`, `capability_based`, `predictive` or `adaptive` "
        "(docs/strategies.md).",
    )
    pools: dict[Name, StrategyName] = Field(
        default_factory=dict[Name, StrategyName], description="Another one for single pools, by capability."
    )
    shadow: StrategyName | None = Field(
        default=None,
        description="A strategy that decides beside the one in force, writes what it would deal into the "
        "coordinator's log, and changes nothing.",
    )
    shadows: dict[Name, StrategyName] = Field(
        default_factory=dict[Name, StrategyName], description="Another such one for single pools."
    )

    def of(self, capability: str) -> StrategyName:
        """Return the strategy of a pool."""
        return self.pools.get(capability, self.name)

    def shadow_of(self, capability: str) -> StrategyName | None:
        """Return the strategy that decides in a pool and does not act, if there is one."""
        return self.shadows.get(capability, self.shadow)


class EventsConfig(Section):
    """The fleet's events."""

    keep: Count = Field(
        default=10_000,
        description="Events that stay on the namespace's stream, about; the oldest go first. Every worker "
        "and coordinator trims to its own figure, so give them all the same.",
    )


class CoordinatorConfig(Section):
    """The control plane."""

    lease: Duration = Field(
        default=0.75,
        description="How long the leader leads without renewing; another one takes over after that.",
    )
    sweep: Duration = Field(
        default=0.1, description="How often the leader looks for dead workers and overdue requests."
    )
    control_url: str | None = Field(
        default=None,
        repr=False,  # it may hold a password
        description="A plain Redis for scheduled duties and admin jobs (arq), which cannot run on a Cluster "
        "or behind Sentinel. Unset: `redis.url` where that is a plain one, else these duties are off.",
    )
    host: str = Field(default="127.0.0.1", description="Address that `port` listens on.")
    port: Port | None = Field(
        default=None, description="Port of /healthz, /readyz and /metrics. Unset: none. 0: any free one."
    )
    spare: bool = Field(
        default=True,
        description="Whether a launcher keeps one more process, a worker's libraries loaded, which becomes "
        "the next worker that starts: that one serves a second or two sooner. It takes some 80 MB.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.sweep > self.lease / 2:
            raise ValueError(
                f"coordinator.sweep ({self.sweep:g}s) is over half of coordinator.lease ({self.lease:g}s), "
                "which is renewed with it: lower sweep or raise lease"
            )
        return self


class ScalingConfig(Section):
    """How the number of workers follows the load, for servers that have `min` or `max`."""

    up_at: Share = Field(
        default=0.8, description="Part of its slots in use above which a server gets more workers."
    )
    down_at: Share = Field(default=0.3, description="The same below which it gets fewer.")
    cooldown: Duration = Field(
        default=300.0,
        description="Least time between two steps up; and how long the load must have been low before a step "
        "down. The first worker of a server that has none comes at once.",
    )
    target_wait: Duration = Field(
        default=5.0,
        description="Longest that a request should wait for a worker.",
    )

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.down_at >= self.up_at:
            raise ValueError(
                f"scaling.down_at ({self.down_at:g}) is not below scaling.up_at ({self.up_at:g}), so any "
                "load would be too high or too low: lower down_at or raise up_at"
            )
        return self


class RagConfig(Section):
    """What a RagClient does, beside the fabric's own settings."""

    fallback: str | None = Field(
        default=None,
        description="The server, of [servers], that is asked directly where the fabric cannot serve. It is "
        "started by the client itself, at its first need. Unset: such a query fails.",
    )
    fallback_after: Duration = Field(
        default=2.0, description="How long the fabric may take before the fallback is asked too."
    )
    cache: Duration | None = Field(
        default=None,
        description="How long answers of read-only tools are kept in the client. Unset: not at all.",
    )
    cache_entries: Count = Field(default=1000, description="Answers that are kept at most, those used last.")
    tools: dict[str, str] = Field(
        default_factory=dict[str, str],
        description="Capability → the tool that searches there. Unset: its only tool, or the one called "
        "`search`. For the fallback: by the server's name.",
    )
