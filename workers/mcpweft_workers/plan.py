"""What one worker is to do, drawn up from the configuration: the only place in this room that reads it.

Above stands entry.py. Below: the config models. The worker and its doers see a `Plan` and no configuration.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from dataclasses import dataclass, replace
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal, cast

from mcpweft_schemas.config.sections import BreakerKind, FailureKind
from mcpweft_schemas.config.server import State
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_schemas.limits import Limits
from mcpweft_schemas.outcome import Code
from mcpweft_schemas.packing import pack
from mcpweft_schemas.slug import slug, slugs
from mcpweft_schemas.sweeper import Policy as SweepPolicy
from mcpweft_workers.binding import Identity
from mcpweft_workers.breaker import Outcome
from mcpweft_workers.failure import Cause
from mcpweft_workers.judgement import WEIGHTS
from mcpweft_workers.policy import Policy
from mcpweft_workers.runner import Rules
from mcpweft_workers.spec import MIB, ServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mcpweft_schemas.config import Config
    from mcpweft_schemas.config.sections import BreakerConfig, QueueConfig
    from mcpweft_schemas.config.server import ServerConfig
    from mcpweft_workers.tool import Tool

_FOREIGN = re.compile(r"[^A-Za-z0-9_.-]+")
_STANDBY_LOOK = 500  # ms; a third of the sweeper's shortest pause
_ERAS: dict[str, Literal["auto", "legacy", "2026-07-28"]] = {
    "auto": "auto",
    "legacy": "legacy",
    "2026-07-28": "2026-07-28",
}


_CAUSES: dict[FailureKind, tuple[str, ...]] = {
    FailureKind.DIED: (Cause.SERVER_DIED,),
    FailureKind.UNREACHABLE: (Cause.CONNECTION_FAILED, Cause.SESSION_LOST),
    FailureKind.TIMEOUT: (Cause.ATTEMPT_TIMEOUT,),
    FailureKind.PROTOCOL: (Cause.PROTOCOL,),
    FailureKind.TOOL_ERROR: (Code.TOOL_ERROR,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a worker is told. Times in seconds."""

    store_url: str
    namespace: str
    identity: Identity
    spec: ServerSpec
    capabilities: tuple[str, ...]
    concurrency: int
    shares: bool
    """Whether other workers may be bound to the same server, so that its concurrency is divided."""
    exclusive: bool
    is_safe: Callable[[Tool], bool]
    limits: Callable[[Iterable[Tool]], Limits]
    """What the server takes in each of its pools, in the whole fleet."""
    rules: Rules
    breaker: Policy
    check_every: float
    unhealthy_after: int
    """Checks that must fail in a row."""
    pool_settings: Mapping[str, Any]
    heartbeat: float
    dead_after: float
    grace: float
    hung_after: float | None
    sweep: SweepPolicy | None
    """How to stand in for a coordinator; None: never."""
    keep_events: int
    """How many of the fleet's events stay on their stream."""
    host: str = "127.0.0.1"
    port: int | None = None


def worker_id(server: str) -> str:
    """Return a new worker id, `<server>.<host>.<pid>.<4 hex>`, of at most 96 characters."""
    host = _FOREIGN.sub("-", socket.gethostname())[:24]
    return f"{slug(server)[:48]}.{host}.{os.getpid()}.{secrets.token_hex(2)}"


def draw_up(
    config: Config,
    server: ServerConfig,
    store_url: str,
    *,
    worker: str = "",
    capabilities: tuple[str, ...] = (),
    concurrency: int | None = None,
    port: int | None = None,
) -> Plan:
    """Return the plan of a worker of `server`; what is given here stands over the configuration.

    Raises InvalidConfigError where the server speaks an era that is not known.
    """
    name = slugs(config.servers).get(server.name) or slug(server.name)
    worker = worker or worker_id(name)
    capabilities = capabilities or server.capabilities or (name,)
    concurrency = concurrency or server.concurrency
    remote = not server.transport.local
    info = {
        "server": name, "instance": name if remote else worker, "kind": server.transport.value,
        "host": socket.gethostname(), "pid": os.getpid(), "concurrency": concurrency,
        "version": metadata.version("mcpweft"), "started_ms": int(time.time() * 1000),
        "capabilities": list(capabilities),
    }  # fmt: skip
    return Plan(
        store_url=store_url,
        namespace=config.namespace,
        identity=Identity(worker, name, cast("str", info["instance"]), pack(info)),
        spec=spec_of(name, server, config),
        capabilities=capabilities,
        concurrency=concurrency,
        shares=remote and server.state is State.NONE,
        exclusive=server.state is not State.NONE,
        is_safe=lambda tool: _is_safe(server, tool),
        limits=lambda tools: Limits(
            server=server.limit, tools={tool.name: server.limit_of(tool.name) for tool in tools}
        ),
        rules=_rules(config, server),
        breaker=_breaker(config.breaker),
        check_every=config.breaker.check_every,
        unhealthy_after=config.breaker.unhealthy_after,
        pool_settings=_pool_settings(config.queue),
        heartbeat=config.worker.heartbeat,
        dead_after=config.worker.dead_after,
        grace=config.worker.grace,
        hung_after=server.hung_after or config.worker.hung_after,
        sweep=_standby(config),
        keep_events=config.events.keep,
        host=config.worker.host,
        port=config.worker.port if port is None else port,
    )


def spec_of(name: str, server: ServerConfig, config: Config) -> ServerSpec:
    """Return how a server is reached. Raises InvalidConfigError where it speaks an era that is not known."""
    mode = _ERAS.get(server.mode)
    if mode is None:
        raise InvalidConfigError(
            f"server {server.name!r} has mode {server.mode!r}, which is not spoken here",
            advice=f"Use one of {', '.join(_ERAS)}.",
        )
    return ServerSpec(
        name=name,
        kind=server.transport.value,
        command=(server.command, *server.args) if server.command else (),
        env=dict(server.env),
        cwd=str(server.cwd) if server.cwd else None,
        url=server.url or "",
        headers=dict(server.headers),
        app=server.app or "",
        mode=mode,
        # An answer is one line, and JSON may write a body twice as long as it is kept.
        max_line=max(8 * MIB, 2 * config.worker.max_result),
        max_result=config.worker.max_result,
    )


def _is_safe(server: ServerConfig, tool: Tool) -> bool:
    """Whether `tool` may run twice: the operator says so, or the server does and is trusted."""
    hinted = bool(tool.read_only or tool.idempotent)
    return server.is_idempotent(tool.name) or (server.trust_annotations and hinted)


def _rules(config: Config, server: ServerConfig) -> Rules:
    return Rules(
        attempt_timeout=lambda tool: server.timeout_of(tool, config.call.attempt_timeout),
        max_result=config.worker.max_result,
        inline_result=config.worker.inline_result,
        backoff=config.call.backoff,
        backoff_max=config.call.backoff_max,
        weights={
            cause: WEIGHTS.get(cause, Outcome.FAILURE)
            for kind in config.breaker.failures
            for cause in _CAUSES[kind]
        },
    )


def _standby(config: Config) -> SweepPolicy:
    """Return how to stand in for a coordinator; an idle standby looks about every 1.8 s, to be cheap."""
    policy = SweepPolicy.of(config)
    return replace(policy, renew_ms=max(policy.renew_ms, _STANDBY_LOOK))


def _breaker(config: BreakerConfig) -> Policy:
    slow = config.slow_call
    return Policy(
        window=config.window,
        window_calls=config.count if config.kind is BreakerKind.COUNT else None,
        minimum_calls=config.min_calls,
        consecutive_failures=config.failure_threshold,
        failure_rate=config.failure_rate,
        slow_after=slow if slow is not None else Policy().slow_after,
        slow_rate=config.slow_rate if slow is not None else None,
        recovery=config.recovery,
        longest_recovery=max(config.recovery, 600.0),
        probes=config.probes,
        successes=config.probes,
    )


def _pool_settings(config: QueueConfig) -> dict[str, Any]:
    """Return what the configuration says of the queue; what it leaves open stays as the pool has it."""
    said: dict[str, Any] = config.model_dump(include=config.model_fields_set)
    same = (
        "bound", "max_bytes", "low_at", "normal_at", "high_at", "retry_ratio", "retry_floor", "retry_burst",
    )  # fmt: skip
    settings: dict[str, Any] = {key: said[key] for key in same if key in said}
    if "dead_ttl" in said:
        settings["dead_keep"] = round(said["dead_ttl"] * 1000)
    return settings
