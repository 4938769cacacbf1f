"""The ids of requests, producers and workers.

A request id is `<capability>~<uuid7>`: it names the pool that holds the request, and sorts by birth. The
others become part of keys, so they are made of `keys.PARTY`'s characters. Above stand producers and
workers; this module must never know what an id is used for. Time and noise are arguments.
"""

from __future__ import annotations

import os
import re
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 96
"""Most characters of a party's id."""

_STRANGE = re.compile(r"[^A-Za-z0-9_.-]")


def uuid7(now_ms: int, noise: bytes) -> str:
    """Return a UUID of version 7 (RFC 9562, 5.7) made of a time, ms since the epoch, and 10 random bytes."""
    number = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(noise, "big")
    number = number & ~(0xF << 76) | 0x7 << 76  # version
    number = number & ~(0x3 << 62) | 0x2 << 62  # variant
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def request_id(
    capability: str, clock: Callable[[], int] = time.time_ns, noise: Callable[[int], bytes] = os.urandom
) -> str:
    """Return a new request's id. `clock` gives nanoseconds since the epoch, `noise(n)` n random bytes."""
    return f"{capability}~{uuid7(clock() // 1_000_000, noise(10))}"


def producer_id(
    host: str | None = None, pid: int | None = None, noise: Callable[[int], bytes] = os.urandom
) -> str:
    """Return `<host>.<pid>.<8 hex>`: one producer, which is one client in one process."""
    return _party(noise(4).hex(), pid, host)


def worker_id(
    server: str, host: str | None = None, pid: int | None = None, noise: Callable[[int], bytes] = os.urandom
) -> str:
    """Return `<server>.<host>.<pid>.<4 hex>`: one worker process."""
    return _party(noise(2).hex(), pid, host, server)


def _party(tail: str, pid: int | None, host: str | None, server: str | None = None) -> str:
    end = f".{os.getpid() if pid is None else pid}.{tail}"
    name = _STRANGE.sub("-", host or socket.gethostname()) or "localhost"
    start = f"{_STRANGE.sub('-', server)}.{name}" if server else name
    return start[: LONGEST - len(end)] + end  # what tells two apart stands at the end
