"""The configuration: `mcpweft.toml`, the environment over it, flags over both.

    Config        namespace, include, rules_match, rules, redis, queue, call, worker, breaker, coordinator,
                  events, strategy, scaling, servers;
                  and path, broken, warnings, active (not keys)
    redis         url, eviction, durability
    queue         bound, max_bytes, low_at, normal_at, high_at, result_ttl, idempotency_ttl, dead_ttl
    call          timeout, submit_timeout, attempt_timeout, max_attempts, backoff, backoff_max, outstanding
    worker        heartbeat, dead_after, grace, hung_after, max_result, inline_result, host, port
    breaker       failure_threshold, kind, window, count, min_calls, failure_rate, slow_call, slow_rate,
                  recovery, probes
    coordinator   lease, sweep, control_url, host, port
    scaling       up_at, down_at, cooldown, target_wait
    servers.*     command, args, env, cwd, url, headers, app, transport, capabilities, tags, concurrency,
                  workers, min, max, start, idle_stop, state, mode, idempotent, trust_annotations,
                  attempt_timeout, tool_timeouts, hung_after, disabled; and name, is_idempotent(tool),
                  timeout_of(tool, otherwise), scaled, least, most (not keys)

In the models every time is a float of seconds and every size an int of bytes. Above stand all rooms;
whoever reads a key has the test that shows its effect. The modules inside: `quantity`, `sections`,
`server` and `root` are what can be set; `layer`, `environment`, `overlay` (what a fleet sets), `shape`,
`fault` and `loading` read it.
"""

from mcpweft_schemas.config.loading import Base, load_config, read_base
from mcpweft_schemas.config.root import Config
from mcpweft_schemas.config.sections import (
    BreakerConfig,
    BreakerKind,
    CallConfig,
    CoordinatorConfig,
    Durability,
    Eviction,
    QueueConfig,
    RagConfig,
    RedisConfig,
    ScalingConfig,
    StrategyConfig,
    StrategyName,
    WorkerConfig,
)
from mcpweft_schemas.config.server import ServerConfig, Start, State, Transport

__all__ = [
    "Base",
    "BreakerConfig",
    "BreakerKind",
    "CallConfig",
    "Config",
    "CoordinatorConfig",
    "Durability",
    "Eviction",
    "QueueConfig",
    "RagConfig",
    "RedisConfig",
    "ScalingConfig",
    "ServerConfig",
    "Start",
    "State",
    "StrategyConfig",
    "StrategyName",
    "Transport",
    "WorkerConfig",
    "load_config",
    "read_base",
]
