"""The users of docker/users.acl may do what their role needs, and nothing beside it."""

from __future__ import annotations

import contextlib
import hashlib
import re
from typing import TYPE_CHECKING, Any

import pytest
import redis

import altered
import play
import playing
from containerstore import PASSWORDS, USERS, Store, ask, binaries, refusals
from mcpweft_schemas.connect import Link, StoreRefusedError
from mcpweft_schemas.script import script
from moverights import MOVES, SOURCES, commands_of, moves_of

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACE = "default"
POOL = "mcpweft:default:{time}:"
FLEET = "mcpweft:default:{_}:"
LINES = {line.split()[1]: line for line in USERS.read_text().splitlines()}
ROLES = sorted(SOURCES)

CONNECTION = {"client|id", "eval", "evalsha"}
ARQ = {"ping", "watch", "unwatch", "multi", "exec", "psetex"}
PLAIN = {
    "producer": CONNECTION | {"client|unblock", "hkeys", "hgetall", "get", "xread"},
    "admin": CONNECTION | ARQ | {"client|unblock", "hkeys", "hgetall", "get", "xread", "info"},
    "worker": CONNECTION
    | {"client|unblock", "hsetnx", "hkeys", "hgetall", "hmget", "set", "zadd", "xread", "bzpopmin"},
    "coordinator": CONNECTION
    | ARQ
    | {"hsetnx", "hkeys", "hgetall", "hmget", "lrange", "info", "dbsize", "expire", "incrby", "xread"},
}
"""Commands that a role sends itself: the client library's, those of `Store`, arq's."""

ALLOWED: dict[str, list[tuple[str, ...]]] = {
    "producer": [
        ("XADD", POOL + "q:normal", "*", "a", "b"),
        ("XREAD", "STREAMS", POOL + "reply:p", "0"),
        ("GET", POOL + "c:id:1-1:0"),
        ("HGETALL", POOL + "tools"),
        ("HKEYS", FLEET + "pools"),
        ("HGET", FLEET + "rules", "version"),
        ("XADD", POOL + "ctl:w", "*", "kind", "cancel"),
    ],
    "worker": [
        ("XREADGROUP", "GROUP", "w", "w1", "STREAMS", POOL + "q:high", ">"),
        ("BZPOPMIN", POOL + "bell", "1"),
        ("SET", POOL + "c:id:1-1:0", "piece"),
        ("XADD", POOL + "reply:p", "*", "a", "b"),
        ("HSET", FLEET + "lease:server.time", "holder", "w1"),
        ("HGETALL", FLEET + "config"),
        ("XREAD", "STREAMS", POOL + "ctl:w1", "0"),
    ],
    "coordinator": [
        ("HSET", FLEET + "lease:lead", "holder", "c1"),
        ("ZRANGEBYSCORE", FLEET + "duties", "0", "1"),
        ("PSETEX", "arq:job:mcpweft:default:replay_dead:1", "1", "x"),
        ("PSETEX", "arq:in-progress:mcpweft:default:purge_members:1", "1", "x"),
        ("INFO",),
        ("RPUSH", FLEET + "config:history", "x"),
    ],
    "admin": [
        ("ZREVRANGE", POOL + "dead", "0", "1"),
        ("INFO",),
        ("PSETEX", "arq:job:mcpweft:default:replay_dead:1", "1", "x"),
        ("GET", "arq:result:mcpweft:default:replay_dead:1"),
        ("DEL", "arq:job:mcpweft:default:drain:1"),
        ("ZREM", FLEET + "duties", "mcpweft:default:drain:1"),
    ],
}
NOBODY: list[tuple[str, ...]] = [
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"),
    ("CONFIG", "GET", "*"),
    ("ACL", "LIST"),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("MONITOR",),
    ("SHUTDOWN",),
    ("DEBUG", "SLEEP", "1"),
    ("SCRIPT", "FLUSH"),
    ("FUNCTION", "FLUSH"),
    ("REPLICAOF", "NO", "ONE"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("XGROUP", "DESTROY", POOL + "q:normal", "w"),
    ("XGROUP", "SETID", POOL + "q:normal", "w", "$"),
    ("RENAME", POOL + "q:normal", POOL + "q:low"),
    ("GET", "mcpweft:other:{time}:i:x"),
    ("GET", "session:42"),
    ("SET", "session:42", "x"),
    ("PUBLISH", "news", "x"),
]
FORBIDDEN: dict[str, list[tuple[str, ...]]] = {
    "producer": [
        ("XREADGROUP", "GROUP", "w", "p", "STREAMS", POOL + "q:high", ">"),
        ("BZPOPMIN", POOL + "bell", "1"),
        ("HSET", POOL + "tools", "time/x", "y"),
        ("HSET", POOL + "safe", "time/x", "1"),
        ("ZADD", POOL + "alive", "0", "w1"),
        ("HSET", POOL + "readers", "w1", "9"),
        ("XREAD", "STREAMS", POOL + "ctl:w1", "0"),
        ("HSET", FLEET + "pools", "x", ""),
        ("HSET", FLEET + "rules", "version", "9"),
        ("HGETALL", FLEET + "config"),
        ("HSET", FLEET + "lease:lead", "holder", "p"),
        ("ZADD", FLEET + "duties", "0", "job"),
        ("INFO",),
    ],
    "worker": [
        ("XREAD", "STREAMS", POOL + "reply:p", "0"),
        ("XRANGE", POOL + "reply:p", "-", "+"),
        ("ZADD", FLEET + "duties", "0", "job"),
        ("GET", POOL + "c:id:1-1:0"),
        ("SET", "arq:job:mcpweft:default:replay_dead:1", "x"),
        ("XTRIM", POOL + "q:normal", "MAXLEN", "0"),
        ("HSET", FLEET + "config", "version", "9"),
        ("INFO",),
    ],
    "coordinator": [
        ("XREADGROUP", "GROUP", "w", "c", "STREAMS", POOL + "q:high", ">"),
        ("XREAD", "STREAMS", POOL + "reply:p", "0"),
        ("HSET", POOL + "safe", "time/x", "1"),
        ("GET", POOL + "c:id:1-1:0"),
        ("GET", "arq:job:mcpweft:other:replay_dead:1"),
    ],
    "admin": [
        ("XREADGROUP", "GROUP", "w", "a", "STREAMS", POOL + "q:high", ">"),
        ("HSET", FLEET + "lease:lead", "holder", "a"),
        ("HSET", FLEET + "config", "version", "9"),
        ("SET", "arq:result:mcpweft:default:replay_dead:1", "x"),
    ],
}


@pytest.fixture(params=list(binaries()), scope="module")
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store with these users, and one more that may look."""
    with Store(request.param, superuser=True) as running:
        yield running


@pytest.fixture
def root(store: Store) -> Iterator[redis.Redis]:
    """The one that may look; no refusal is on record when a test starts."""
    with contextlib.closing(redis.Redis.from_url(store.url_of("root"))) as client:
        ask(client, "ACL", "LOG", "RESET")
        yield client


def granted(role: str) -> set[str]:
    return set(re.findall(r" \+(\S+)", LINES[role]))


def test_the_file_knows_the_four_roles_and_two_users_beside_them() -> None:
    assert set(LINES) == {"default", "probe", *ROLES}
    assert set(PASSWORDS) == set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_the_commands_of_its_moves_and_those_it_sends_itself_and_no_other(role: str) -> None:
    needs = PLAIN[role].union(*(commands_of(move) for move in moves_of(role)))
    assert granted(role) == needs


def test_every_move_is_some_role_s() -> None:
    assert frozenset[str]().union(*(moves_of(role) for role in ROLES)) == MOVES


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_it_does(role: str, root: redis.Redis) -> None:
    for command in ALLOWED[role]:
        assert ask(root, "ACL", "DRYRUN", role, *command) in {b"OK", "OK", True}, command


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_not_do_what_is_another_s_or_nobody_s(role: str, root: redis.Redis) -> None:
    for command in [*NOBODY, *FORBIDDEN[role]]:
        said = ask(root, "ACL", "DRYRUN", role, *command)
        assert b"no permissions" in said or b"has no" in said, (command, said)


@pytest.mark.parametrize("role", ROLES)
def test_a_script_may_not_do_what_its_user_may_not(role: str, store: Store, root: redis.Redis) -> None:
    body = "return redis.call('SET', ARGV[1], 'x')"
    with (
        contextlib.closing(redis.Redis.from_url(store.url_of(role))) as client,
        pytest.raises(redis.ResponseError, match=r"ACL failure in script|user executing the script"),
    ):
        client.eval(body, 1, POOL + "pool", "session:42")
    assert not root.exists("session:42")


class RoleLink:
    """A link that sends each move as a role that makes it, in turn; anything else as one who may."""

    def __init__(self, store: Store) -> None:
        self.url = store.url_of("root")
        self._root = Link.to(self.url)
        self._links = {role: Link.to(store.url_of(role)) for role in ROLES}
        self._roles = {move: [role for role in ROLES if move in moves_of(role)] for move in MOVES}
        self._turn = 0
        self.seen: set[tuple[str, str]] = set()

    async def run(self, *command: Any) -> Any:
        if command[0] not in {"EVALSHA", "EVAL"}:
            return await self._root.run(*command)
        move = _move(command)
        if move is None:
            return await self._root.run(*command)
        self._turn += 1
        role = self._roles[move][self._turn % len(self._roles[move])]
        self.seen.add((role, move))
        return await self._links[role].run(*command)

    async def close(self) -> None:
        for link in (self._root, *self._links.values()):
            await link.close()


def _move(command: tuple[Any, ...]) -> str | None:
    sha = command[1]
    if command[0] == "EVAL":
        sha = hashlib.sha1(command[1].encode(), usedforsecurity=False).hexdigest()
    return _shas().get(sha)


def _shas() -> dict[str, str]:
    stand_in = altered.altered(altered.TEST_CLOCK)
    return {text(move).sha: move for text in (script, stand_in) for move in MOVES}


@pytest.mark.timeout(120)
def test_any_order_of_moves_passes_with_each_sent_as_its_role(
    store: Store, root: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    links: list[RoleLink] = []

    class Links:
        @staticmethod
        def to(_: str) -> RoleLink:
            links.append(RoleLink(store))
            return links[-1]

    for role in ROLES:  # the games' scripts read a clock that tests set
        ask(root, "ACL", "SETUSER", role, f"%R~mcpweft:{NAMESPACE}:*clock", "+get")
    monkeypatch.setattr(play, "Link", Links)
    try:
        with altered.in_force(altered.TEST_CLOCK):
            playing.play_games(store.url_of("root"), NAMESPACE, seeds=range(6), turns=80)
        assert not refusals(root)
    finally:
        ask(root, "ACL", "LOAD")
    tried = set[tuple[str, str]]().union(*(link.seen for link in links))
    assert {role for role, _ in tried} == set(ROLES)
    assert len({move for _, move in tried}) >= 14


@pytest.mark.parametrize("command", [("INFO",), ("EVAL", "return redis.call('INFO')", 1, POOL + "pool")])
async def test_whoever_lacks_a_right_is_told_so_by_a_typed_error(
    command: tuple[Any, ...], store: Store
) -> None:
    async with Link.to(store.url_of("producer")) as link:
        with pytest.raises(StoreRefusedError, match="user, password and ACL") as caught:
            await link.run(*command)
    assert not caught.value.retryable
