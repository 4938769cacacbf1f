"""Whether what was accepted is kept, secrets stay secret, and somebody can look.

Above stands `review`. Below is what every rule returns: `finding`. This module must never show a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from mcpweft_schemas.config import Durability, Eviction
from mcpweft_schemas.presets.finding import error, key, recommendation, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcpweft_schemas.presets.finding import Finding, Subject

_SECRET = re.compile(
    r"(^|[-_.])(pass(word|wd)?|secret|token|api[-_]?key|apikey|access[-_]?key|private[-_]?key|credentials?"
    r"|authorization|cookie|auth)($|[-_.])",
    re.IGNORECASE,
)
_HERE = {"localhost", "127.0.0.1", "::1"}
_EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104  # what is warned of
_ONE_DAY_S = 86_400.0


def stored(subject: Subject) -> Iterator[Finding]:
    """Find ways in which the store would lose what it was given."""
    redis = subject.config.redis
    if redis.url is None:
        yield warning(
            "redis.url",
            "It is unset, so `mcpweft up` keeps the work in a store of its own, which ends with it.",
            "The URL of a Redis or Valkey with persistence and a replica, here or as MCPWEFT_URL",
        )
    if redis.durability is Durability.FAST:
        yield recommendation(
            "redis.durability",
            "It is fast: when the store's machine dies, what it accepted in the last second may be gone.",
            '"fsync" or "replicated", where losing one matters and the store offers it',
        )
    if redis.eviction is Eviction.ACCEPT_VOLATILE:
        yield warning(
            "redis.eviction",
            "Replies, stored outcomes and idempotency keys may vanish when the store is full.",
            '"refuse", and a store with maxmemory-policy noeviction',
        )
    if subject.config.queue.dead_ttl < _ONE_DAY_S:
        yield recommendation(
            "queue.dead_ttl", "Dead letters are gone before somebody looks in the morning.", '"7d"'
        )


def watched(subject: Subject) -> Iterator[Finding]:
    """Find who has no metrics, or shows them to everybody."""
    for name, port, host in (
        ("worker", subject.config.worker.port, subject.config.worker.host),
        ("coordinator", subject.config.coordinator.port, subject.config.coordinator.host),
    ):
        if port is None:
            yield warning(
                f"{name}.port",
                f"It is unset: a {name} has neither metrics nor a health check.",
                "0 (any free port)" if name == "worker" else "9464",
            )
        elif host in _EVERYWHERE:
            yield recommendation(
                f"{name}.host",
                "It listens on every address, and asks nobody who they are.",
                "An address of your own network, or 127.0.0.1",
            )


def travelling(subject: Subject) -> Iterator[Finding]:
    """Find secrets that would travel in the clear."""
    for where, url in (("redis.url", subject.config.redis.url),
                       ("coordinator.control_url", subject.config.coordinator.control_url)):  # fmt: skip
        parts = _parts(url or "")
        if parts.scheme in {"redis", "redis+cluster", "redis+sentinel"} and _away(parts.hostname):
            yield warning(
                where,
                "Requests, answers and the store's password go over the network unencrypted.",
                f"{parts.scheme.replace('redis', 'rediss', 1)}://…",
            )
    for server in subject.config.active.values():
        parts = _parts(server.url or "")
        if parts.scheme == "http" and _away(parts.hostname):
            said = error if any(map(_SECRET.search, server.headers)) or parts.password else warning
            yield said(
                key("servers", server.name, "url"),
                "Calls and headers go over the network unencrypted.",
                "https://…",
            )


def _parts(url: str) -> SplitResult:
    """Return the parts of a URL; of what is none, empty ones."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _away(host: str | None) -> bool:
    return bool(host) and host not in _HERE


def secret(subject: Subject) -> Iterator[Finding]:
    """Find secrets in the file, of which copies, backups and repositories are made."""
    for path in _secrets(subject.written, ()):
        if path[0] == "servers":
            variable = f"MCPWEFT_SERVERS__<NAME>__{path[2].upper()}"
            yield warning(
                key(*path),
                "It holds a secret in plain text.",
                f"{variable} in the environment, or the server in an mcp.json with ${{NAME}}",
            )
        else:
            variable = "MCPWEFT_" + "__".join(path).upper()
            yield warning(key(*path), "It holds a password in plain text.", f"{variable} in the environment")


def _secrets(node: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield where secrets stand in what a file says."""
    if isinstance(node, Mapping):
        table: Mapping[str, Any] = node
        for name, value in table.items():
            yield from _secrets(value, (*path, name))
    elif isinstance(node, list):
        words = [str(word) for word in node]
        if path[-1:] == ("args",) and any(map(_argument, words, [*words[1:], ""])):
            yield path
    elif isinstance(node, str) and node and path and not _variable(node):
        named = path[-2:-1] in {("env",), ("headers",)} and _SECRET.search(path[-1])
        if named or _in_url(node):
            yield path


def _argument(word: str, following: str) -> bool:
    """Return whether a word of a command line gives a secret: `--token=x`, or `--token` before one."""
    name, equals, value = word.partition("=")
    if not (name.startswith("-") and _SECRET.search(name.lstrip("-"))):
        return False
    given = value if equals else following
    return bool(given) and not given.startswith("-") and not _variable(given)


def _variable(text: str) -> bool:
    return bool(re.search(r"\$\{[^}]+\}", text))


def _in_url(text: str) -> bool:
    parts = _parts(text if "://" in text else "")
    return bool(parts.password) or any(_SECRET.search(name) for name, _ in parse_qsl(parts.query))
