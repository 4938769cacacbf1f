"""What a test must not leave behind: keys that nobody will delete, and processes.

Fixtures in `conftest.py` stand above; below are a store's keys and the kernel's table of processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from waiting import until_sync

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

OWNED = {
    "alive": "beats of workers: retire and reclaim take each out",
    "breaker:*": "retire of the last worker takes it; what was ordered by hand is undone by hand",
    "asides": "which tools have some of those: a fetch takes out those without",
    "aside:*": "requests whose tool is at its limit: a fetch or their end takes each out",
    "config": "what is set for the whole fleet: durable, changed by an admin",
    "config:history": "the last 50 versions of that",
    "rules": "of that, what producers follow: changed with it",
    "bell": "one token: a worker that wakes takes it",
    "busy:*": "what runs under a limit: the end of each delivery takes it out",
    "dead": "dead letters, bounded by age: the leader drops old ones",
    "delayed": "requests that wait for a time: fetch takes what is due, an end takes its own",
    "expiry": "when each live request needs a look: a request's end takes its entry",
    "lease:*": "who leads, or holds a server: the epoch must outlive every holder",
    "lead": "which request of each tenant waits in a stream: its leaving takes it out",
    "limits": "limits of servers and tools: go with the pool, as what the tools are",
    "load": "the last moment of each worker: retire takes it out",
    "members": "what each worker said of itself: retire takes it out",
    "park:*": "requests of tenants that have one in the stream: a fetch or their end takes each out",
    "picky": "requests that would not wait: a fetch or their end takes them out",
    "pool": "durable: removed by an admin only",
    "pools": "the register of pools: durable, like each pool",
    "q:*": "the work streams: durable, an entry goes with its acknowledgement",
    "readers": "epochs of readers: retire takes each out",
    "ring:*": "tenants with parked requests: a fetch takes out those without",
    "safe": "which tools may run twice: goes with the pool",
    "stat": "counters of the pool: go with the pool",
    "tools": "what the tools are: goes with the pool",
    "usable": "usable workers: each entry carries its end",
}
"""Keys that may lack a TTL, by what follows `mcpweft:<namespace>:{capability}:`, each with its owner.

A record (`r:<id>`) may lack one too, while the request lives: then `expiry` names it.
"""


def delete_keys(client: redis.Redis | redis.RedisCluster, namespace: str) -> list[str]:
    """Delete every key of `namespace`; return those that had neither a TTL nor an owner."""
    names = [bytes(raw).decode() for raw in client.scan_iter(match=f"mcpweft:{namespace}:*", count=1000)]
    leaked = [name for name in names if client.ttl(name) == -1 and not _owned(client, name)]
    for name in names:
        client.delete(name)
    return sorted(leaked)


def _owned(client: redis.Redis | redis.RedisCluster, name: str) -> bool:
    base, _, tail = name.partition("}:")
    if tail.startswith("r:") and client.zscore(base + "}:expiry", tail[2:]) is not None:
        return True
    return any(fnmatchcase(tail, pattern) for pattern in OWNED)


def end_processes(find: Callable[[], set[int]], within: float = 2.0) -> list[str]:
    """Give what `find` returns `within` seconds to end; kill the rest and return a line about each."""
    with contextlib.suppress(AssertionError):
        until_sync(lambda: not find(), within)
    left = sorted(find())
    lines = [f"{pid}: {command(pid)}" for pid in left]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return lines


def ours(mark: str) -> set[int]:
    """Return the living processes that this one started, at any remove."""
    parents = _living()
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    found = (found | marked(mark)) - {os.getpid()}
    return {pid for pid in found if "multiprocessing.resource_tracker" not in command(pid)}


def marked(mark: str) -> set[int]:
    """Return the living processes with `mark` in their environment, the one trace that an orphan keeps."""
    return {pid for pid in _living() if mark.encode() in _read(pid, "environ")}


def _living() -> dict[int, int]:
    """Return each living process's parent; a zombie is dead and waits for its parent only."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _read(int(entry.name), "stat").rpartition(b")")[2].split()  # a name may hold anything
        if fields and fields[0] not in {b"Z", b"X"}:
            parents[int(entry.name)] = int(fields[1])
    return parents


def command(pid: int) -> str:
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has just ended, or is not ours to look into
        return b""
