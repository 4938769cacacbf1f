"""The store that is measured: an embedded one of the benchmark's own, and what it says of itself.

    with MeasuredStore() as store: store.url; store.reset(); …; store.sent(); store.slowest_script_ms()

It keeps an append-only file, fsynced every second. Above stand the benchmarks.
"""

from __future__ import annotations

import re
import shutil
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import redis

from mcpweft_schemas.embedded import EmbeddedServer

if TYPE_CHECKING:
    from argparse import Namespace

NOTED_MS = 1.0
"""A command that took longer is in the store's SLOWLOG; the figure of shorter ones is not known."""
_MOST = 100_000  # entries of SLOWLOG
_OURS = ("info", "config|set", "config|resetstat", "slowlog|get", "slowlog|reset", "flushall")
_SCRIPTS = (b"EVAL", b"EVALSHA", b"FCALL")


def called_by_scripts() -> frozenset[str]:
    """Return the commands that the fabric's scripts call, in lower case."""
    folder = resources.files("mcpweft_schemas") / "lua"
    texts = [entry.read_text() for entry in folder.iterdir() if entry.name.endswith(".lua")]
    return frozenset(
        name.lower() for text in texts for name in re.findall(r"redis\.p?call\(\s*'(\w+)'", text)
    )


class MeasuredStore:
    """A store with its figures; start it with `with`."""

    def __init__(self, *, redis_server: bool = False) -> None:
        """Describe it: the bundled Valkey, or, with `redis_server`, the one on PATH."""
        found = shutil.which("redis-server") if redis_server else None
        if redis_server and found is None:
            raise SystemExit("there is no redis-server on PATH")
        self._server = EmbeddedServer(binary=Path(found) if found else None)
        self._client: Any = None
        self._inner = called_by_scripts()

    def __enter__(self) -> Self:
        self._server.start_sync()
        self._client = redis.Redis.from_url(self.url)
        self._client.config_set("slowlog-log-slower-than", int(NOTED_MS * 1000))
        self._client.config_set("slowlog-max-len", _MOST)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._server.stop_sync()

    @property
    def url(self) -> str:
        """Its URL."""
        return self._server.url

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._server.pid or 0

    def version(self) -> str:
        """Return what it is, as `valkey 9.1.0`."""
        info = self._client.info("server")
        return (
            f"valkey {info['valkey_version']}"
            if "valkey_version" in info
            else f"redis {info['redis_version']}"
        )

    def wipe(self) -> None:
        """Forget all data, so that one arm's are no burden to the next."""
        self._client.flushall()

    def reset(self) -> None:
        """Begin to count anew."""
        self._client.config_resetstat()
        self._client.slowlog_reset()

    def used_bytes(self) -> int:
        """Return the memory that its data take."""
        return int(self._client.info("memory")["used_memory"])

    def commands(self) -> dict[str, int]:
        """Return how often each command ran since `reset`, within scripts too."""
        stats = self._client.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(of["calls"]) for name, of in stats.items()}

    def sent(self) -> int:
        """Return how many commands the fabric's processes sent since `reset`; see `sent_by_name`."""
        return sum(self.sent_by_name().values())

    def sent_by_name(self) -> dict[str, int]:
        """Return how often the fabric's processes sent each command since `reset`.

        Those are all in `commandstats` but what scripts call as well: the store counts such calls there too
        and does not tell who made them. A client of the fabric sends none of these by itself in steady work,
        but for the ZADD that passes a ring on.
        """
        hidden = self._inner.union(_OURS)
        return {name: count for name, count in self.commands().items() if name not in hidden}

    def scripts(self) -> dict[str, float]:
        """Return how many scripts ran since `reset`, for how long (µs), and the same of the commands in them.

        A command that clients send as well counts as one in a script: of these there are none in steady work.
        """
        stats = self._client.info("commandstats")
        whole = stats.get("cmdstat_evalsha", {"calls": 0, "usec": 0})
        inner = [of for name, of in stats.items() if name.removeprefix("cmdstat_") in self._inner]
        return {
            "scripts_per_call": float(whole["calls"]),
            "scripts_us": float(whole["usec"]),
            "inner_per_call": float(sum(of["calls"] for of in inner)),
            "inner_us": float(sum(of["usec"] for of in inner)),
        }

    def slow_scripts_ms(self) -> list[float]:
        """Return how long each script took that took longer than `NOTED_MS`, since `reset`."""
        entries = self._client.slowlog_get(_MOST)
        return [entry["duration"] / 1000 for entry in entries if entry["command"].startswith(_SCRIPTS)]

    def slowest_script_ms(self) -> float:
        """Return how long the slowest script took since `reset`; `NOTED_MS` where none took longer."""
        return max(self.slow_scripts_ms(), default=NOTED_MS)


def store_of(asked: Namespace) -> MeasuredStore:
    """Return the store that the user chose."""
    return MeasuredStore(redis_server=asked.redis)
