"""The audit reads INFO alone, refuses what would lose requests, and says so of what it cannot see."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

import pytest

import realredis
from mcpweft_schemas.audit import Finding, Level, Subject, audit, require
from mcpweft_schemas.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

SOUND: dict[str, Any] = {
    "redis_version": "7.2.4",
    "role": "master",
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "connected_slaves": 0,
    "cluster_enabled": 0,
}


def of(subject: Subject, change: dict[str, Any], **asked: Any) -> Finding:
    """Return what is found on `subject` when INFO is sound but for `change` (None: not shown)."""
    info = {key: value for key, value in {**SOUND, **change}.items() if value is not None}
    (finding,) = (each for each in audit(info, **asked) if each.subject is subject)
    return finding


def test_a_sound_store_passes() -> None:
    findings = audit(SOUND)
    assert {finding.level for finding in findings} == {Level.OK}
    assert [finding.subject for finding in findings] == list(Subject)
    require(findings)


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({"redis_version": "6.2.14"}, Level.REFUSE),
        ({"redis_version": "7.0.0"}, Level.OK),
        ({"redis_version": "8.4.0-rc1"}, Level.OK),
        ({"redis_version": "255.255.255"}, Level.OK),
        ({"valkey_version": "9.1.2"}, Level.OK),
        ({"valkey_version": "7.2.0"}, Level.OK),
        ({"valkey_version": "7.1.9"}, Level.REFUSE),
        ({"redis_version": None}, Level.UNKNOWN),
        ({"redis_version": "unstable"}, Level.UNKNOWN),
        ({"dragonfly_version": "df-v1.3"}, Level.WARN),
    ],
)
def test_old_versions_are_refused_and_cousins_warned_of(change: dict[str, Any], level: Level) -> None:
    assert of(Subject.VERSION, change).level is level


@pytest.mark.parametrize(
    ("policy", "eviction", "level"),
    [
        ("noeviction", "refuse", Level.OK),
        ("allkeys-lru", "refuse", Level.REFUSE),
        ("allkeys-lru", "accept-volatile", Level.REFUSE),
        ("volatile-lru", "refuse", Level.REFUSE),
        ("volatile-ttl", "accept-volatile", Level.WARN),
        (None, "refuse", Level.UNKNOWN),
    ],
)
def test_eviction_is_refused_unless_what_it_weakens_is_accepted(
    policy: str | None, eviction: str, level: Level
) -> None:
    finding = of(Subject.EVICTION, {"maxmemory_policy": policy}, eviction=eviction)
    assert finding.level is level
    if str(policy).startswith("volatile"):
        for weakened in ("replies", "stored outcomes", "idempotency keys", "leases"):
            assert weakened in finding.message


@pytest.mark.parametrize(
    ("change", "durability", "level"),
    [
        ({}, "fast", Level.OK),
        ({}, "fsync", Level.UNKNOWN),
        ({"redis_version": "7.0.15"}, "fsync", Level.UNKNOWN),
        ({"aof_enabled": 0}, "fast", Level.WARN),
        ({"aof_enabled": 0}, "fsync", Level.REFUSE),
        ({"aof_enabled": None}, "fsync", Level.UNKNOWN),
        ({"aof_last_write_status": "err"}, "fast", Level.WARN),
        ({"aof_last_write_status": "err"}, "fsync", Level.REFUSE),
    ],
)
def test_persistence_is_held_against_the_durability(
    change: dict[str, Any], durability: str, level: Level
) -> None:
    assert of(Subject.PERSISTENCE, change, durability=durability).level is level


@pytest.mark.parametrize(
    ("change", "durability", "level"),
    [
        ({}, "fast", Level.OK),
        ({}, "replicated", Level.REFUSE),
        ({"connected_slaves": 1}, "replicated", Level.OK),
        ({"connected_slaves": 1, "slave0": {"state": "online"}}, "replicated", Level.OK),
        ({"connected_slaves": 1, "slave0": {"state": "wait_bgsave"}}, "replicated", Level.REFUSE),
        ({"connected_slaves": None}, "replicated", Level.UNKNOWN),
        ({"connected_slaves": None}, "fast", Level.OK),
    ],
)
def test_replicas_are_held_against_the_durability(
    change: dict[str, Any], durability: str, level: Level
) -> None:
    assert of(Subject.REPLICATION, change, durability=durability).level is level


@pytest.mark.parametrize(
    ("role", "level"), [("master", Level.OK), ("slave", Level.REFUSE), (None, Level.UNKNOWN)]
)
def test_a_replica_takes_no_writes(role: str | None, level: Level) -> None:
    assert of(Subject.ROLE, {"role": role}).level is level


@pytest.mark.parametrize(
    ("enabled", "cluster", "level"),
    [
        (0, False, Level.OK),
        (1, True, Level.OK),
        (1, False, Level.REFUSE),
        (0, True, Level.REFUSE),
        (None, True, Level.UNKNOWN),
    ],
)
def test_a_cluster_must_be_spoken_to_as_one(enabled: int | None, cluster: bool, level: Level) -> None:  # noqa: FBT001  # a parameter of the table
    assert of(Subject.CLUSTER, {"cluster_enabled": enabled}, cluster=cluster).level is level


def test_whatever_is_not_well_comes_with_advice_or_says_what_is_not_seen() -> None:
    for info in (
        {},
        {**SOUND, "redis_version": "6.0.0", "maxmemory_policy": "allkeys-lfu", "aof_enabled": 0},
    ):
        for finding in audit(info, durability="replicated"):
            assert finding.advice or finding.level is Level.OK or "INFO does not show" in finding.message


def test_all_refusals_are_told_at_once() -> None:
    findings = audit({**SOUND, "redis_version": "6.0.0", "aof_enabled": 0}, durability="fsync")
    with pytest.raises(InvalidConfigError) as caught:
        require(findings)
    assert str(caught.value) == (
        "The store does not fit: The store is Redis 6.0.0; the fabric needs 7.0 or newer; The store keeps no "
        "append-only file: a restart loses what was accepted since its last snapshot, or everything where it "
        "takes none. Upgrade to Redis 7.0 or newer. Set appendonly to yes."
    )


@pytest.fixture(params=["redis", "valkey"])
def binary(request: pytest.FixtureRequest) -> str:
    """Each server binary there is."""
    path = realredis.find(request.param)
    if path is None:
        pytest.skip(f"no {request.param} here")
    return path


def read(client: redis.Redis) -> dict[str, Any]:
    return cast("dict[str, Any]", client.info())


def info_of(binary: str, *options: str, appendonly: bool = False) -> dict[str, Any]:
    with (
        realredis.RedisServer(binary, appendonly=appendonly, extra=options) as server,
        contextlib.closing(server.client()) as client,
    ):
        return read(client)


def levels(findings: tuple[Finding, ...]) -> Iterator[tuple[Subject, Level]]:
    return ((finding.subject, finding.level) for finding in findings)


def test_a_real_store_shows_what_the_audit_asks_for(binary: str) -> None:
    findings = audit(info_of(binary, appendonly=True))
    assert set(levels(findings)) == {(subject, Level.OK) for subject in Subject}


def test_a_real_store_that_evicts_and_forgets_is_found_out(binary: str) -> None:
    info = info_of(binary, "--maxmemory-policy", "volatile-lru", "--maxmemory", "100mb")
    found = dict(levels(audit(info, durability="fsync")))
    assert found[Subject.EVICTION] is Level.REFUSE
    assert found[Subject.PERSISTENCE] is Level.REFUSE
    assert dict(levels(audit(info, eviction="accept-volatile")))[Subject.EVICTION] is Level.WARN


def test_a_real_replica_is_seen_from_both_sides(binary: str) -> None:
    with realredis.RedisServer(binary, extra=("--repl-diskless-sync-delay", "0")) as primary:
        options = ("--replicaof", f"127.0.0.1 {primary.port}")
        with (
            realredis.RedisServer(binary, extra=options) as replica,
            contextlib.closing(primary.client()) as above,
            contextlib.closing(replica.client()) as below,
        ):
            above.set("x", 1)
            assert above.wait(1, 5000) == 1
            from_above = dict(levels(audit(read(above), durability="replicated")))
            from_below = dict(levels(audit(read(below), durability="replicated")))
    assert from_above[Subject.REPLICATION] is Level.OK
    assert from_below[Subject.ROLE] is Level.REFUSE
