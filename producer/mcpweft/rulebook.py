"""The rulebook: the routing rules that this client goes by, never older than a second.

    a call comes ─▶ looked within a second? go by these ─▶ older than half a second? look again, meanwhile
                    └─ else look first: has the version changed? then read, check and compile

So a busy client asks for one number twice a second and waits for none of it, an idle one asks for nothing,
and its first call after that asks before it goes. What a fleet has set lies over the client's own file.

While the store does not answer, the rules that were read last stand. Before any could be read a call waits,
and rules that cannot be read here (a later version may have written them) let nothing through: rules are no
advice.

Above stands the client. Below are the store's two reads and the compiled rules. This module must never know
what a rule says.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.connect import StoreUnreachableError
from mcpweft_schemas.errors import ConnectionFailedError, FabricError, InvalidConfigError, ShuttingDownError
from mcpweft_schemas.rules.ruleset import Ruleset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcpweft.chores import Chores
    from mcpweft_schemas.store import Store

_log = logging.getLogger("mcpweft")

FRESH_S = 1.0
"""How old the rules of a call may be, s."""
_SOON_S = 0.5
_WAIT_S = 30.0  # for a store that does not answer: as long as an enqueue is repeated
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


class Rulebook:
    """The rules in force, for one client."""

    def __init__(
        self, store: Store, own: Mapping[str, Any], chores: Chores, clock: Callable[[], float]
    ) -> None:
        """`own`: what this client's own configuration says of them, in the shape of `mcpweft.toml`."""
        self._store = store
        self._own = own
        self._chores = chores
        self._clock = clock
        self._rules: Ruleset | None = None
        self._refused: InvalidConfigError | None = None
        self._error: FabricError | None = None  # of the last look
        self._seen = -1  # the version that was read last, right or wrong
        self._looked_at = -1e9  # when the last look that was answered began
        self._looking: asyncio.Task[None] | None = None

    @property
    def fresh(self) -> Ruleset | None:
        """The rules, where they were looked at within a second; those of half a second are looked at anew."""
        age = self._clock() - self._looked_at
        if age > _SOON_S:
            if age > FRESH_S or self._rules is None:
                return None
            self._look()
        return self._rules

    async def current(self, within: float) -> Ruleset:
        """Return the rules as they are now; wait for a store that does not answer, where none are known yet.

        Raises:
            ConnectionFailedError: it has not answered within so many seconds, and no rules are known.
            StoreRefusedError: this user may not read them.
            InvalidConfigError: they cannot be read here, and none are known that can.
            ShuttingDownError: the client was closed meanwhile.

        """
        until = self._clock() + min(within, _WAIT_S)
        pause = _FIRST_PAUSE
        while True:
            await self._wait(until)
            if self._error is not None and not isinstance(self._error, StoreUnreachableError):
                raise copy.copy(self._error)  # a traceback of its own for each who waits
            if self._rules is not None:
                return self._rules  # where the store did not answer: those that were read last
            if self._refused is not None:
                raise copy.copy(self._refused)
            if self._clock() + pause >= until:
                raise _unread(self._error) from self._error
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _wait(self, until: float) -> None:
        """Wait for a look; nobody's cancellation ends it, for others wait for the same one."""
        task = self._look()
        if self._rules is not None:
            until = min(until, self._clock() + FRESH_S)
        await asyncio.wait({task}, timeout=max(0.0, until - self._clock()))
        if task.cancelled():
            raise ShuttingDownError(
                "the client was closed, and the request was not sent",
                advice="Call it within the client's `async with`.",
            )

    def _look(self) -> asyncio.Task[None]:
        """Return the look that is under way; one begins where none is."""
        if self._looking is None or self._looking.done():
            self._looking = self._chores.start(self._read(), name="look at the rules")
        return self._looking

    async def _read(self) -> None:
        began = self._clock()
        try:
            if (version := await self._store.rules_version()) != self._seen:
                await self._take(version)
        except FabricError as error:
            self._error = error
        else:
            self._error, self._looked_at = None, began

    async def _take(self, version: int) -> None:
        """Read and compile what is in force. What is wrong changes nothing, and is told once."""
        try:
            bulletin = await self._store.rules()
            version = bulletin.version
            own = "rules" not in bulletin.said
            said = {**self._own, **bulletin.said}
            # In a thread: the first rules load pydantic, and expressions take their time to compile.
            self._rules = (
                await asyncio.to_thread(_compiled, said, 0 if own else version) if said else Ruleset()
            )
            self._refused = None
        except (ValueError, InvalidConfigError) as error:
            self._refused = _refusal(version, error)
            _log.error("%s", self._refused)
        self._seen = version


def _compiled(said: Mapping[str, Any], version: int) -> Ruleset:
    from mcpweft_schemas.rules.document import read_rules  # noqa: PLC0415  # loads pydantic, in this thread

    return read_rules(said, "set for the whole fleet", version=version)


def _refusal(version: int, error: Exception) -> InvalidConfigError:
    said = error.what if isinstance(error, InvalidConfigError) else str(error)
    return InvalidConfigError(
        f"The fleet's routing rules, version {version}, cannot be read here: {said}",
        advice="Requests are not sent past them: update this client, or `mcpweft rules set` what it knows.",
    )


def _unread(error: FabricError | None) -> ConnectionFailedError:
    what = "the store has not answered" if error is None else error.what
    return ConnectionFailedError(
        f"The fleet's routing rules could not be read, and the request was not sent: {what}",
        advice="Look at the store, and the way to it." if error is None else error.advice,
    )
