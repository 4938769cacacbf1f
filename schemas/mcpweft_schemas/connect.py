"""The link to the store: one address, one way to run a command, one way to wait on a key.

Above stands `store`, the only module that says what to run. Below is redis-py, 5.2 to 8.x, plain, by
Sentinel or on a Cluster. No command is ever repeated here: a mutation whose answer was lost may have
happened, and only a move knows how to ask again.
"""

from __future__ import annotations

import asyncio
import socket
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import hiredis
import redis
from redis import asyncio as aioredis
from redis import exceptions as trouble
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from mcpweft_schemas.errors import ConnectionFailedError, InvalidConfigError, ResourceExhaustedError
from mcpweft_schemas.outcome import Executed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from redis.credentials import CredentialProvider

Credentials: TypeAlias = "CredentialProvider"
"""What may be given instead of a user and password in the URL: redis-py's CredentialProvider."""

BLOCK_S = 2.0
"""No command waits longer than this for something to happen, s."""
_COMMAND_TIMEOUT_S = 5.0
_ONE_RETRY_SINCE = 6
_BLOCKING_TIMEOUT_S = BLOCK_S + 3.0  # a longer block than the socket's timeout storms on a half-open link

_UNREACHABLE = (
    trouble.ConnectionError,
    trouble.TimeoutError,
    trouble.BusyLoadingError,
    trouble.ReadOnlyError,
    trouble.ClusterDownError,
    trouble.TryAgainError,
    trouble.MovedError,
    trouble.AskError,
    trouble.MasterDownError,
    trouble.SlotNotCoveredError,
    OSError,
)
_REFUSED = (trouble.AuthenticationError, trouble.AuthorizationError, trouble.NoPermissionError)
_UNWRITABLE = {
    "MISCONF": "Free space on its disk, or look at its log; it takes writes again by itself.",
    "NOREPLICAS": "Bring its replicas back, or lower its min-replicas-to-write.",
}
_PASSING = {"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "UNBLOCKED", "BUSY"}
"""What a node says whose role or slots change, or that is at work: redis-py has no names for all."""
_REFUSED_IN_SCRIPT = ("ACL failure in script", "The user executing the script can't")  # since 7.2; 7.0


class StoreUnreachableError(ConnectionFailedError):
    """The store did not answer; whether the command took effect is not known."""


class StoreUnwritableError(StoreUnreachableError):
    """The store answers, and takes no write for now: nothing was written, and time or an operator helps."""


class StoreRefusedError(ConnectionFailedError):
    """The store refused the credentials or the command; trying again will not help."""

    retryable = False


def _options() -> dict[str, Any]:
    # Given a socket_timeout, redis-py sends within asyncio.wait_for, which on Python 3.11 swallows a cancel
    # that arrives as the last byte goes out. So it gets none, and the bound is an asyncio.timeout of our own.
    options: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,
        "socket_connect_timeout": 3.0,
        "decode_responses": False,
        "protocol": 2,  # the answers' shapes differ in RESP3, and its default has changed between versions
    }
    return options


def _keepalive() -> dict[str, Any]:
    return {"socket_keepalive": True} if hasattr(socket, "SO_KEEPALIVE") else {}


class _Ours:
    """What a connection of redis-py does otherwise here."""

    _writer: asyncio.StreamWriter | None

    def pack_command(self, *args: Any) -> Any:
        """Pack a command in C: in Python that costs six times as much."""
        try:
            return [hiredis.pack_command(args)]
        except TypeError:  # a value that redis-py alone knows how to write, or to refuse
            return cast("Any", super()).pack_command(*args)

    async def disconnect(self, *args: Any, **named: Any) -> None:
        """Close the connection, and hear what it ended with.

        redis-py does not listen where it does not wait. What nobody has heard asyncio tells on stderr, if the
        garbage collector comes upon the end before it comes upon the stream.
        """
        writer = self._writer
        try:
            await cast("Any", super()).disconnect(*args, **named)
        finally:
            if writer is not None:
                ending = asyncio.ensure_future(writer.wait_closed())
                _ENDING.add(ending)
                ending.add_done_callback(_heard)


_ENDING: set[asyncio.Future[None]] = set()
"""Connections that are being closed: asyncio itself holds no task."""


def _heard(ending: asyncio.Future[None]) -> None:
    _ENDING.discard(ending)
    if not ending.cancelled():
        ending.exception()


@cache
def _ours(connection: type[Any]) -> type[Any]:
    return type(connection.__name__, (_Ours, connection), {})


def _client(client: Any) -> Any:
    """Let a new client use our connections rather than its own, of whatever kind those are."""
    pool = client.connection_pool
    pool.connection_class = _ours(pool.connection_class)
    return client


class Waiter:
    """One connection of its own to the node that holds a key, for commands that block.

    The next command after a broken one connects anew: on a Cluster another node may hold the key by then.
    """

    def __init__(self, connect: Callable[[], Awaitable[Any]]) -> None:
        self._connect = connect
        self._client: Any = None
        self._id: int | None = None

    async def run(self, *command: Any) -> Any:
        """Run a command that may block up to `BLOCK_S`; raise StoreUnreachableError on a broken link."""
        try:
            async with asyncio.timeout(_BLOCKING_TIMEOUT_S):
                if self._client is None:
                    self._client = await self._connect()
                if self._id is None:
                    self._id = int(await self._client.execute_command("CLIENT", "ID"))
                return await self._client.execute_command(*command)
        except Exception as error:
            named = _named(error)
            self._id = None
            if isinstance(named, StoreUnreachableError):
                await self.close()
            if named is error:
                raise
            raise named from error

    @property
    def id(self) -> int | None:
        """The connection's number on its node while one is open, for `Link.unblock`."""
        return self._id

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _named(error: Exception) -> Exception:
    """Return what a failure of redis-py is called here; what a script answered stays as it is."""
    within = str(error).startswith(_REFUSED_IN_SCRIPT)  # what the script did before stands
    if within or isinstance(error, _REFUSED):
        return StoreRefusedError(
            f"the store refused the connection or a command: {error}",
            advice="Check the user, password and ACL of the store's URL.",
            executed=Executed.MAYBE if within else Executed.NO,
        )
    passing = str(error).partition(" ")[0] in _PASSING
    if isinstance(error, trouble.ResponseError) and not isinstance(error, _UNREACHABLE) and not passing:
        return _without_room(error)
    # A Cluster of which no node answers is a RedisClusterException, which for all its name is no RedisError.
    away = isinstance(error, trouble.RedisClusterException) and "cannot be connected" in str(error)
    if away or isinstance(error, (*_UNREACHABLE, trouble.RedisError)):
        return StoreUnreachableError(
            f"the store could not be reached: {str(error) or type(error).__name__}",
            advice="Check that it runs and that its URL is right.",
        )
    return error


def _without_room(error: trouble.ResponseError) -> Exception:
    """Return what an answer is called that says the store has no room; any other stays as it is."""
    if isinstance(error, trouble.OutOfMemoryError) or "OOM" in str(error):
        return ResourceExhaustedError(
            "the store is out of memory", advice="Raise its maxmemory or wait until work has drained."
        )
    said = str(error).partition(" script: ")[0]
    if advice := _UNWRITABLE.get(said.partition(" ")[0]):
        return StoreUnwritableError(f"the store takes no writes: {said}", advice=advice)
    return error


class Link:
    """An open way to one store."""

    def __init__(
        self,
        url: str,
        client: Any,
        connect: Callable[[str], Awaitable[Any]],
        guides: Sequence[Any] = (),
    ) -> None:
        """`connect` makes a client to the node of a key; `guides` are clients that only know the way."""
        self.url = url
        self._guides = guides
        self._client = client
        self._connect = connect
        self._found = not self.is_cluster
        self._finding = asyncio.Lock()
        self.patience: float | None = None
        """Seconds that an answer may take, where it is not the usual time."""

    @classmethod
    def to(cls, url: str, credentials: Credentials | None = None) -> Link:
        """Make a link for a URL; nothing is sent before the first command.

        `redis://`, `rediss://` and `unix://` name one server, `redis+cluster://` (or `rediss+cluster://`) any
        node of a Cluster, `redis+sentinel://host:port,host:port/service` the master that Sentinels know.
        Raises InvalidConfigError for any other scheme.
        """
        scheme, _, rest = url.partition("://")
        extra: dict[str, Any] = {"credential_provider": credentials} if credentials else {}
        if scheme in {"redis+cluster", "rediss+cluster"}:
            return _cluster(url, f"{scheme.partition('+')[0]}://{rest}", extra)
        if scheme in {"redis+sentinel", "rediss+sentinel"}:
            return _sentinel(url, extra)
        if scheme not in {"redis", "rediss", "unix"}:
            raise InvalidConfigError(
                f"the store's URL {url!r} has no scheme that is known",
                advice="Use redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://.",
            )
        tcp = {} if scheme == "unix" else _keepalive()

        def client(**more: Any) -> Any:
            return _client(aioredis.Redis.from_url(url, **_options(), **tcp, **extra, **more))

        async def connect(_: str) -> Any:
            return client(single_connection_client=True)

        return cls(url, client(), connect)

    @property
    def is_cluster(self) -> bool:
        """Whether keys of different capabilities may lie on different nodes."""
        return "+cluster" in self.url

    async def run(self, *command: Any) -> Any:
        """Run one command. Raises StoreUnreachableError, StoreRefusedError, ResourceExhaustedError.

        A script's own error answer comes as redis-py's ResponseError (NoScriptError among them).
        """
        return await self._run(*command)

    async def _run(self, *command: Any, **where: Any) -> Any:
        try:
            async with asyncio.timeout(self.patience or _COMMAND_TIMEOUT_S):
                if not self._found:
                    await self._find()
                return await self._client.execute_command(*command, **where)
        except Exception as error:
            if isinstance(error, TimeoutError):
                await self._hang_up_on_idle()
            named = _named(error)
            if named is error:
                raise
            raise named from error

    async def _find(self) -> None:
        """Find a Cluster's nodes, once.

        redis-py 8 does so for each of several first commands, and closes what the others wait for.
        """
        async with self._finding:
            if not self._found:
                await self._client.initialize()
                self._found = True

    async def _hang_up_on_idle(self) -> None:
        """Close the connections that nobody uses at the moment: the next command makes one anew.

        Where one has fallen silent the others have too, and each of them would cost a command its whole time.
        """
        pools = self._client.get_nodes() if self.is_cluster else [self._client.connection_pool]
        for pool in pools:
            for connection in list(getattr(pool, "_free" if self.is_cluster else "_available_connections")):
                await connection.disconnect(nowait=True)  # which waits for nothing: nobody takes it meanwhile

    def waiter(self, key: str) -> Waiter:
        """Open a connection of its own to the node that holds `key`."""
        return Waiter(partial(self._connect, key))

    async def unblock(self, waiter: Waiter, key: str) -> None:
        """Wake a waiter's blocked command, which then answers as if its time were over."""
        if waiter.id is None:
            return
        if self.is_cluster:
            node = self._client.get_node_from_key(key)
            await self._run("CLIENT", "UNBLOCK", waiter.id, target_nodes=node)
        else:
            await self.run("CLIENT", "UNBLOCK", waiter.id)

    async def close(self) -> None:
        """Close every connection but those of waiters, which their owners close."""
        for client in (self._client, *self._guides):
            await client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _cluster(url: str, plain: str, extra: dict[str, Any]) -> Link:
    from redis.asyncio.cluster import RedisCluster  # noqa: PLC0415  # slow to import and rarely needed

    cluster = cast("Any", RedisCluster.from_url(plain, **_cluster_options(), **extra))

    async def connect(key: str) -> Any:
        await cluster.initialize()
        node = cluster.get_node_from_key(key)
        where = f"[{node.host}]:{node.port}" if ":" in node.host else f"{node.host}:{node.port}"
        parts = urlsplit(plain)
        there = urlunsplit(parts._replace(netloc=_elsewhere(parts.netloc, where)))
        more = _options() | _keepalive() | extra
        return _client(aioredis.Redis.from_url(there, single_connection_client=True, **more))

    return Link(url, cluster, connect)


def _elsewhere(netloc: str, place: str) -> str:
    """Return what a URL says of the user and the password, and another place."""
    user, at, _ = netloc.rpartition("@")
    return f"{user}{at}{place}"


def _cluster_options() -> dict[str, Any]:
    # How a Cluster's client is told to repeat nothing has changed between versions of redis-py.
    if int(redis.__version__.partition(".")[0]) < _ONE_RETRY_SINCE:
        once: dict[str, Any] = {"cluster_error_retry_attempts": 0, "connection_error_retry_attempts": 0}
    else:
        once = {"retry": Retry(NoBackoff(), 0)}
    return {"socket_timeout": None, "socket_connect_timeout": 3.0, "protocol": 2} | once | _keepalive()


def _sentinel(url: str, extra: dict[str, Any]) -> Link:
    from redis.asyncio.sentinel import Sentinel  # noqa: PLC0415  # slow to import and rarely needed

    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2].split(",")
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise InvalidConfigError(
            f"the Sentinel URL {url!r} names no service", advice="Write redis+sentinel://host:port/service."
        )
    query = dict(parse_qsl(parts.query))
    word = query.pop("sentinel_password", "")
    tls = parts.scheme.startswith("rediss")
    place = _elsewhere(parts.netloc, "master")
    said = parse_url(urlunsplit(("rediss" if tls else "redis", place, f"/{db or 0}", urlencode(query), "")))
    there = {name: value for name, value in said.items() if name not in {"host", "port", "connection_class"}}
    encrypted: dict[str, Any] = {"ssl": True} if tls else {}
    options = _options() | _keepalive() | there | extra | encrypted
    watch = encrypted | {name: value for name, value in there.items() if name.startswith("ssl_")}
    watch |= {"password": word} if word else {}
    addresses = [(h.rpartition(":")[0] or h, int(h.rpartition(":")[2] or 26379)) for h in hosts]
    sentinel: Any = cast("Any", Sentinel)(addresses, sentinel_kwargs=watch | {"socket_connect_timeout": 3.0})

    async def connect(_: str) -> Any:
        return _client(sentinel.master_for(service, **options))

    return Link(url, _client(sentinel.master_for(service, **options)), connect, sentinel.sentinels)
