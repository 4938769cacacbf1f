"""Admin commands to whichever coordinator runs: a job each, its result awaited.

    async with Admin(url, namespace) as admin:
        await admin.drain("github", reason="new version")
        for row in await admin.servers():
            print(row.name, row.state, row.order)

A command is carried out once, or not at all: one that no coordinator has taken in time is taken back. One
that is given twice gets the same answer.

Above stands whoever administers. Below is the queue that `duties` serves.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import socket
import time
import uuid
from typing import TYPE_CHECKING, Any, Self, cast

from arq.constants import in_progress_key_prefix, job_key_prefix, result_key_prefix

from mcpweft_coordinator.duties import COMMAND_S, connect, queue_of
from mcpweft_coordinator.receipt import (
    ConfigReceipt,
    ConfigVersion,
    OrderReceipt,
    PoolStrategy,
    ServerReceipt,
    ServerRow,
    read,
)
from mcpweft_schemas.errors import BY_CODE, ConnectionFailedError, RequestTimeoutError
from mcpweft_schemas.outcome import Code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arq.connections import ArqRedis

_EXPIRES_S = 60  # a command that nobody ran by then is not wanted any more
_LOOK_S = 0.05
_MORE_S = 30.0  # for what a command does beside waiting
TAKEN_S = 8.0
"""How long a command waits for a coordinator to take it; each looks once a second."""


class NoCoordinatorError(ConnectionFailedError):
    """No coordinator took a command: nothing was done."""

    def _ran(self) -> str:
        return "Nothing was done."


class CommandUnansweredError(RequestTimeoutError):
    """A command was taken and its answer has not come: it may have been carried out."""

    def _ran(self) -> str:
        return "It may have been carried out."


def whoever() -> str:
    """Return who gives commands from this process: `user@host`."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in a container
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


class Admin:
    """Gives commands to the coordinators of one namespace.

    Each command raises NoCoordinatorError where nobody takes it, CommandUnansweredError where its answer does
    not come in time, InvalidConfigError for what its caller must change.
    """

    def __init__(self, control_url: str, namespace: str, *, by: str | None = None) -> None:
        """`by`: in whose name; the user and host of this process by default."""
        self._url = control_url
        self._namespace = namespace
        self._by = by or whoever()
        self._pool: ArqRedis | None = None

    # -- servers -------------------------------------------------------------------------------------------

    async def servers(self, *, within_s: float = 30.0) -> tuple[ServerRow, ...]:
        """Return every server: those that are configured, and those that workers brought along."""
        return tuple(read(ServerRow, row) for row in await self._command("servers", within_s))

    async def failover(self, server: str, reason: str, *, within_s: float = 30.0) -> OrderReceipt:
        """Take a server out until `reset`.

        It takes no more work; calls under way that may run twice are tried elsewhere at once, others finish.
        """
        return read(OrderReceipt, await self._command("failover", within_s, server, self._by, reason))

    async def drain(self, server: str, reason: str = "", *, within_s: float = 30.0) -> OrderReceipt:
        """Let a server finish what it has and take nothing more, until `uncordon`. Its workers stay."""
        return read(OrderReceipt, await self._command("drain", within_s, server, self._by, reason))

    cordon = drain

    async def uncordon(self, server: str, reason: str = "", *, within_s: float = 30.0) -> OrderReceipt:
        """Undo `drain`; what else was ordered stands."""
        return read(OrderReceipt, await self._command("uncordon", within_s, server, self._by, reason))

    async def reset(self, server: str, reason: str = "", *, within_s: float = 30.0) -> OrderReceipt:
        """Undo every order to a server and close its breaker."""
        return read(OrderReceipt, await self._command("reset", within_s, server, self._by, reason))

    async def add_server(
        self, name: str, said: Mapping[str, Any], reason: str = "", *, ready_within_s: float = 60.0
    ) -> ServerReceipt:
        """Have the fleet's launchers run a server; return once a worker of it is ready.

        `said` is what `[servers.NAME]` would say; empty for one that was removed before. One that is not
        ready in time is taken out again, and InvalidConfigError tells why.
        """
        within_s = ready_within_s + _MORE_S
        args = (name, dict(said), ready_within_s, self._by, reason)
        return read(ServerReceipt, await self._command("server_add", within_s, *args))

    async def remove_server(self, name: str, reason: str = "", *, within_s: float = 120.0) -> ServerReceipt:
        """Have a server run no more; return once its workers have ended, within their grace."""
        return read(ServerReceipt, await self._command("server_remove", within_s, name, self._by, reason))

    # -- configuration -------------------------------------------------------------------------------------

    async def config_get(self, key: str | None = None, *, within_s: float = 30.0) -> Any:
        """Return what is in force at `key`, such as `queue.bound`, or the whole; what may be secret is `***`.

        It is what the coordinator that answers goes by: its own files, and what is set for the fleet.
        """
        return (await self._command("config_get", within_s, key))["value"]

    async def config_set(
        self, key: str, value: Any, reason: str = "", *, within_s: float = 30.0
    ) -> ConfigReceipt:
        """Set one key for the whole fleet; text is read as in the environment: a list is `a,b` or JSON."""
        text = value if isinstance(value, str) else json.dumps(value)
        return read(ConfigReceipt, await self._command("config_set", within_s, key, text, self._by, reason))

    async def config_unset(self, *keys: str, reason: str = "", within_s: float = 30.0) -> ConfigReceipt:
        """Leave keys, or tables, to each process's own configuration again, all of them in one version."""
        said = await self._command("config_unset", within_s, list(keys), self._by, reason)
        return read(ConfigReceipt, said)

    async def config_apply(
        self, tree: Mapping[str, Any], reason: str = "", *, replace: bool = False, within_s: float = 30.0
    ) -> ConfigReceipt:
        """Merge settings in the shape of mcpweft.toml into the fleet's; `replace`: let them be all."""
        how = "replace" if replace else "merge"
        said = await self._command("config_apply", within_s, dict(tree), self._by, reason, how)
        return read(ConfigReceipt, said)

    async def config_history(self, *, within_s: float = 30.0) -> tuple[ConfigVersion, ...]:
        """Return the last versions of what is set for the fleet, newest first."""
        return tuple(read(ConfigVersion, each) for each in await self._command("config_history", within_s))

    async def config_rollback(
        self, version: int | None = None, reason: str = "", *, within_s: float = 30.0
    ) -> ConfigReceipt:
        """Set what an earlier version set (the one before the present by default), as a new version."""
        said = await self._command("config_rollback", within_s, version, self._by, reason)
        return read(ConfigReceipt, said)

    # -- strategies ----------------------------------------------------------------------------------------

    async def strategies(self, *, within_s: float = 30.0) -> tuple[PoolStrategy, ...]:
        """Return the strategy of each pool."""
        said = await self._command("strategy_show", within_s)
        return tuple(PoolStrategy(pool, name, shadow or None) for pool, (name, shadow) in said.items())

    async def set_strategy(
        self, pool: str | None, name: str | None = None, *, shadow: str | None = None, reason: str = "",
        within_s: float = 30.0,
    ) -> ConfigReceipt:  # fmt: skip
        """Set the strategy of a pool, or (None) of all that have none of their own, from its next look on.

        `shadow`: what decides beside it and does not act. None leaves one as it is, "" undoes it.
        """
        args = (pool, name, shadow, self._by, reason)
        return read(ConfigReceipt, await self._command("strategy_set", within_s, *args))

    # -- dead letters --------------------------------------------------------------------------------------

    async def replay_dead(
        self, capability: str, ids: Sequence[str], within_s: float = 30.0
    ) -> dict[str, tuple[str, str]]:
        """Have dead letters accepted anew; return id → (word, new id)."""
        answers = await self._run("replay_dead", within_s, capability, list(ids))
        return {request_id: (word, new_id) for request_id, (word, new_id) in answers.items()}

    async def purge_dead(
        self, capability: str, ids: Sequence[str] | None = None, within_s: float = 30.0
    ) -> int:
        """Have these dead letters forgotten, or all; return how many there were."""
        return int(await self._run("purge_dead", within_s, capability, None if ids is None else list(ids)))

    # -- jobs ----------------------------------------------------------------------------------------------

    async def _command(self, command: str, within_s: float, *args: Any) -> Any:
        """Give one command; return its answer, or raise what it ended with."""
        said = cast("Mapping[str, Any]", await self._run(command, within_s, *args))
        if "error" not in said:
            return said["ok"]
        error = said["error"]
        raise BY_CODE[Code(error["code"])](error["what"], advice=error["advice"])

    async def _run(self, command: str, within_s: float, *args: Any) -> Any:
        if self._pool is None:
            raise RuntimeError("Admin is an async context manager: enter it first")
        job_id = f"mcpweft:{self._namespace}:{command}:{uuid.uuid4().hex}"
        job = await self._pool.enqueue_job(command, *args, _job_id=job_id, _expires=_EXPIRES_S)
        if job is None:
            raise RuntimeError(f"job {job_id} exists already")
        began, taken = time.monotonic(), False
        while (info := await job.result_info()) is None:
            past = time.monotonic() - began
            taken = taken or await self._is_taken(job_id)
            if not taken and past >= min(within_s, TAKEN_S):
                await self._take_back(job_id, command)
                taken = True
            elif past >= min(within_s, COMMAND_S):
                raise _unanswered(command, f"has not answered within {past:.0f} s")
            await asyncio.sleep(_LOOK_S)
        if not info.success:
            raise _unanswered(command, f"was cut off: {info.result}")
        return info.result

    async def _is_taken(self, job_id: str) -> bool:
        assert self._pool is not None  # noqa: S101  # _run looked
        return bool(await self._pool.exists(in_progress_key_prefix + job_id))

    async def _take_back(self, job_id: str, command: str) -> None:
        """Take a command back that nobody has taken. Raises NoCoordinatorError where that is sure."""
        assert self._pool is not None  # noqa: S101  # _run looked
        # Without its definition whoever takes it at this very moment has nothing to run.
        await self._pool.delete(job_key_prefix + job_id)
        await self._pool.zrem(queue_of(self._namespace), job_id)
        if await self._is_taken(job_id) or await self._pool.exists(result_key_prefix + job_id):
            return
        raise NoCoordinatorError(
            f"No coordinator of namespace {self._namespace!r} took the command {command!r}",
            advice="Start one (`mcpweft up`, or `mcpweft coordinator`), then give it again.",
        )

    async def __aenter__(self) -> Self:
        try:
            self._pool = await connect(self._url, self._namespace, retries=0)
        except Exception as error:  # arq lets out whatever its connection raises
            raise NoCoordinatorError(f"The store of the commands was not reached: {error}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await cast("Any", pool).aclose(close_connection_pool=True)


def _unanswered(command: str, what: str) -> CommandUnansweredError:
    return CommandUnansweredError(
        f"The command {command!r} {what}",
        advice="`mcpweft events` and `mcpweft servers list` show whether; giving it again does no harm.",
    )
