"""The start-up audit: what a store offers, held against what the fabric needs and the operator asked for.

It reads INFO only, as redis-py parses it, because managed stores block CONFIG. What INFO does not show is
called unknown, with what to look at by hand. On a Cluster, audit each node that takes writes.

Above stands whoever opens the store: `up`, `doctor`, workers, the coordinator. This module must never
connect to anything: a dict goes in, findings come out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Info = Mapping[str, Any]

_REDIS_FROM = (7, 0)
_VALKEY_FROM = (7, 2)
_COUSINS = {"dragonfly_version": "Dragonfly", "garnet_version": "Garnet", "keydb_version": "KeyDB"}


class Level(StrEnum):
    """What a finding means for the start."""

    REFUSE = "refuse"
    """The fabric does not start on this store."""
    WARN = "warn"
    """It starts, and promises less than one may think."""
    UNKNOWN = "unknown"
    """It starts; INFO does not show whether the promise holds."""
    OK = "ok"
    """It is as it should be."""


class Subject(StrEnum):
    """What a finding is about."""

    VERSION = "version"
    """The server, and how old it is."""
    ROLE = "role"
    """Whether it takes writes."""
    EVICTION = "eviction"
    """What it does when its memory is full."""
    PERSISTENCE = "persistence"
    """What a restart of it leaves."""
    REPLICATION = "replication"
    """What the loss of its machine leaves."""
    CLUSTER = "cluster"
    """Whether it is a node of a Cluster, and whether that was said."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    subject: Subject
    message: str
    """What is so."""
    advice: str = ""
    """What to change, or to look at; empty when nothing."""


def audit(
    info: Info,
    *,
    durability: str = "fast",
    eviction: str = "refuse",
    cluster: bool = False,
) -> tuple[Finding, ...]:
    """Return what was found on a store, a finding for each subject, in a fixed order.

    Args:
        info: INFO of one node, as redis-py parses it.
        durability: `redis.durability`: fast, fsync or replicated.
        eviction: `redis.eviction`: refuse or accept-volatile.
        cluster: Whether the fabric speaks to it as a Cluster.

    """
    found = [_version(info), _role(info), _eviction(info, eviction), _persistence(info, durability)]
    found.append(_replication(info, durability))
    found.extend(_cluster(info, cluster=cluster))
    return tuple(found)


def require(findings: Iterable[Finding]) -> None:
    """Let a store pass, or not.

    Raises:
        InvalidConfigError: a finding refuses; it tells of all that do.

    """
    refused = [finding for finding in findings if finding.level is Level.REFUSE]
    if refused:
        raise InvalidConfigError(
            "The store does not fit: " + "; ".join(finding.message.rstrip(".") for finding in refused),
            advice=" ".join(finding.advice for finding in refused),
        )


def _numbers(text: object) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", str(text).partition("-")[0])[:3])


def _version(info: Info) -> Finding:
    for key, name in _COUSINS.items():
        if key in info:
            return Finding(
                Level.WARN,
                Subject.VERSION,
                f"The store is {name} {info[key]}, on which the fabric is not tested",
                "Use Redis 7.0 or newer, or Valkey 7.2 or newer, where calls must not be lost.",
            )
    name, shown, least = "Redis", info.get("redis_version"), _REDIS_FROM
    if "valkey_version" in info:
        name, shown, least = "Valkey", info["valkey_version"], _VALKEY_FROM
    if shown is None or not _numbers(shown):
        return Finding(
            Level.UNKNOWN,
            Subject.VERSION,
            "INFO does not show the store's version",
            "See that it is Redis 7.0 or newer, or Valkey 7.2 or newer.",
        )
    if _numbers(shown) < least:
        wanted = ".".join(map(str, least))
        return Finding(
            Level.REFUSE,
            Subject.VERSION,
            f"The store is {name} {shown}; the fabric needs {wanted} or newer",
            f"Upgrade to {name} {wanted} or newer.",
        )
    return Finding(Level.OK, Subject.VERSION, f"The store is {name} {shown}")


def _role(info: Info) -> Finding:
    role = info.get("role")
    if role is None:
        return Finding(Level.UNKNOWN, Subject.ROLE, "INFO does not show whether the store takes writes")
    if role != "master":
        return Finding(
            Level.REFUSE,
            Subject.ROLE,
            f"The store is a replica (of {info.get('master_host', 'another')}) and takes no writes",
            "Point redis.url at the primary.",
        )
    return Finding(Level.OK, Subject.ROLE, "The store is a primary")


def _eviction(info: Info, eviction: str) -> Finding:
    policy = info.get("maxmemory_policy")
    if policy is None:
        return Finding(
            Level.UNKNOWN,
            Subject.EVICTION,
            "INFO does not show what the store does when its memory is full",
            "See that maxmemory-policy is noeviction.",
        )
    if policy == "noeviction":
        return Finding(Level.OK, Subject.EVICTION, "A full store refuses new requests and evicts nothing")
    repair = "Set maxmemory-policy to noeviction"
    if not str(policy).startswith("volatile-"):
        return Finding(
            Level.REFUSE,
            Subject.EVICTION,
            f"maxmemory-policy is {policy}: a full store would throw accepted requests away without a word",
            f"{repair}.",
        )
    weakens = (
        f"maxmemory-policy is {policy}: a full store may throw away what has a TTL, so replies on their way "
        "(a caller then waits until it looks the outcome up), stored outcomes (RESULT_EXPIRED before their "
        "time), idempotency keys and settled records (a repeated request may run a second time), and leases "
        "of workers and leaders (they look dead). Queued requests have no TTL and stay"
    )
    if eviction == "accept-volatile":
        return Finding(Level.WARN, Subject.EVICTION, weakens, f"{repair} to have the full promise.")
    return Finding(
        Level.REFUSE,
        Subject.EVICTION,
        weakens,
        f'{repair}, or accept this with redis.eviction = "accept-volatile".',
    )


def _persistence(info: Info, durability: str) -> Finding:
    aof = info.get("aof_enabled")
    if info.get("aof_last_write_status", "ok") != "ok":
        return Finding(
            Level.REFUSE if durability == "fsync" else Level.WARN,
            Subject.PERSISTENCE,
            "The store's last write to its append-only file failed",
            "Look at its log and its disk.",
        )
    if aof is None:
        return Finding(
            Level.UNKNOWN,
            Subject.PERSISTENCE,
            "INFO does not show whether the store keeps an append-only file",
            "See that appendonly is yes; without it a restart loses accepted requests.",
        )
    if not int(aof):
        level = Level.REFUSE if durability == "fsync" else Level.WARN
        return Finding(
            level,
            Subject.PERSISTENCE,
            "The store keeps no append-only file: a restart loses what was accepted since its last snapshot, "
            "or everything where it takes none",
            "Set appendonly to yes.",
        )
    if durability != "fsync":
        return Finding(
            Level.OK,
            Subject.PERSISTENCE,
            "The store keeps an append-only file; with appendfsync everysec a crash may cost over a second",
        )
    return _fsync()


def _fsync() -> Finding:
    return Finding(
        Level.UNKNOWN,
        Subject.PERSISTENCE,
        'The store keeps an append-only file; INFO does not show appendfsync, and durability = "fsync" holds '
        "only with appendfsync always",
        "See that appendfsync is always.",
    )


def _replication(info: Info, durability: str) -> Finding:
    replicas = info.get("connected_slaves")
    if durability != "replicated":
        return Finding(
            Level.OK, Subject.REPLICATION, f"Replicas are not asked for; the store has {_count(replicas)}"
        )
    if replicas is None:
        return Finding(
            Level.UNKNOWN,
            Subject.REPLICATION,
            'INFO does not show the store\'s replicas, and durability = "replicated" needs one',
            "See that it has a replica that follows closely.",
        )
    online = _online(info, int(replicas))
    if not online:
        return Finding(
            Level.REFUSE,
            Subject.REPLICATION,
            f'The store has no replica that is online (connected: {replicas}), and durability = "replicated" '
            "needs one",
            'Add a replica, or set redis.durability to "fast" or "fsync".',
        )
    return Finding(
        Level.OK,
        Subject.REPLICATION,
        f"Replicas online: {online}; replication is asynchronous, so a failover may lose the last moments, "
        "fewer with min-replicas-to-write 1 and a short min-replicas-max-lag",
    )


def _count(replicas: object) -> str:
    return "an unknown number" if replicas is None else str(replicas)


def _online(info: Info, connected: int) -> int:
    """Return how many replicas follow; those that are still copying confirm nothing."""
    told = [info[f"slave{number}"] for number in range(connected) if f"slave{number}" in info]
    states = [replica.get("state") for replica in told if isinstance(replica, Mapping)]
    return states.count("online") if states else connected


def _cluster(info: Info, *, cluster: bool) -> Iterator[Finding]:
    enabled = info.get("cluster_enabled")
    if enabled is None:
        yield Finding(Level.UNKNOWN, Subject.CLUSTER, "INFO does not show whether the store is a Cluster")
    elif int(enabled) and not cluster:
        yield Finding(
            Level.REFUSE,
            Subject.CLUSTER,
            "The store is a node of a Cluster, and it is spoken to as a single server",
            "Write redis+cluster:// (or rediss+cluster://) in redis.url.",
        )
    elif cluster and not int(enabled):
        yield Finding(
            Level.REFUSE,
            Subject.CLUSTER,
            "The store is no Cluster, and it is spoken to as one",
            "Write redis:// (or rediss://) in redis.url.",
        )
    else:
        yield Finding(
            Level.OK, Subject.CLUSTER, "The store is a Cluster node" if cluster else "The store is one server"
        )
