"""The fakes: the real Client and SyncClient, with a fake desk behind them instead of the fabric.

    mcpweft_fake.returns("search.find", {"hits": 3})
    mcpweft_fake.raises("search.find", ToolError("no such index"))
    mcpweft_fake.calls.assert_called("search.find", {"query": "tea"})

Above stands the plugin. What a caller may ask, and what an outcome means to him, is the real client's to
say: this module must never judge either.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
from typing import TYPE_CHECKING, Any, Self, cast

from mcpweft.client import Client, _Opened  # what an open client stands on is what is replaced
from mcpweft.fleet import Fleet
from mcpweft.sync import SyncClient
from mcpweft.terms import Defaults
from mcpweft.testing.answer import Answer
from mcpweft.testing.desk import ASKED, FakeDesk, Stage
from mcpweft.testing.reply import fresh
from mcpweft_schemas.errors import McpweftError
from mcpweft_schemas.rules.ruleset import Ruleset

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
    from typing import Unpack

    from mcpweft.desk import Desk
    from mcpweft.handle import Handle
    from mcpweft.result import Result
    from mcpweft.rulebook import Rulebook
    from mcpweft.terms import CallOptions, Duration
    from mcpweft.testing.answer import Answers, Content, Failure, Step, Value
    from mcpweft.testing.call import Calls, Way
    from mcpweft_schemas.outcome import Executed
    from mcpweft_schemas.store import Store
    from mcpweft_schemas.wire import Reply

_HOUR_S = 3600


class Told:
    """What a test says to a fake and asks of it, whichever client it is."""

    _stage: Stage

    @property
    def calls(self) -> Calls:
        """What was asked so far, with assertions."""
        return self._stage.calls

    def returns(
        self,
        name: str,
        value: Value = None,
        *,
        content: Content | None = None,
        delay: Duration = 0,
        progress: Iterable[Step] = (),
    ) -> Answers:
        """Answer calls of a tool from now on; `.then_returns` and `.then_raises` say what the next ones get.

        Args:
            name: `capability.tool`; `*` and `?` stand for any: `search.*`, or `*` for every tool.
            value: The tool's value, JSON-like: what `Result.data` is. Or a callable, `async` or not, that is
                given the arguments by name and returns the value; a McpweftError that it raises is the
                outcome, and any other exception is raised to the caller as it is.
            content: MCP content blocks, in the place of the text that stands for the value.
            delay: How long the tool takes.
            progress: What it reports before: `Progress`, or numbers.

        Raises:
            InvalidArgumentsError: the value could not travel.
            InvalidConfigError: the name, or the delay, is none.

        """
        return self._stage.script.put(name, Answer.value_of(value, content, delay, progress))

    def raises(
        self, name: str, failure: Failure, *, executed: Executed | str | None = None, delay: Duration = 0
    ) -> Answers:
        """Fail calls of a tool from now on; as `returns`.

        Args:
            name: As for `returns`.
            failure: An error, which is raised as it is (a ToolError's text is what the tool said); or its
                class or its code, and the words are those of the real client.
            executed: Whether the tool ran; None: as is usual for it.
            delay: How long it takes until it fails.

        Raises:
            InvalidConfigError: the client never raises that.

        """
        return self._stage.script.put(name, Answer.failure_of(failure, executed, delay))


class FakeClient(Told, Client):
    """A Client that answers what a test says. It may be used as it is, as if somebody had opened it.

    Calling it gives another one, as calling the class Client does, with the same answers and calls:
    `monkeypatch.setattr("shop.Client", mcpweft_fake)`.
    """

    def __init__(self, stage: Stage | None = None) -> None:
        super().__init__()
        self._stage = stage or Stage()
        self._lent = stage is None
        """Whether it counts as open, in whatever loop uses it."""

    def __call__(self, *given: object, **named: object) -> FakeClient:
        """Return another client of the same fake, to be opened by whoever asked. Takes what Client takes."""
        inspect.signature(Client).bind(*given, **named)
        return FakeClient(self._stage)

    def sync(self) -> FakeSyncClient:
        """Return a SyncClient of the same fake. It ends with the test."""
        return FakeSyncClient(self)

    def end(self) -> None:
        """Close the SyncClients, and stop what still runs."""
        self._stage.end()

    @property
    def is_open(self) -> bool:
        """Whether it can be used now."""
        return self._lent or super().is_open

    async def open(self) -> Self:
        """Be ready; as `Client.open`."""
        if self._opened is not None and not self._lent:
            return await super().open()  # which says that it is open already
        self._opened, self._over, self._lent = self._reach(), False, False
        return self

    async def close(self) -> None:
        """End every wait with SHUTTING_DOWN; as `Client.close`."""
        self._lent = False
        await super().close()

    def _reach(self) -> _Opened:
        desk = FakeDesk(self._stage)
        opened = _Opened(cast("Store", self._stage.shelf), cast("Desk", desk), Defaults())
        # By a clock that runs ahead nothing is remembered: a test may name another tool at any time.
        opened.fleet = Fleet(opened.desk.command, itertools.count(0, _HOUR_S).__next__)
        opened.rulebook = cast("Rulebook", _NoRules())
        return opened

    def _here(self) -> _Opened:
        if self._lent:
            with contextlib.suppress(McpweftError):
                return super()._here()
            self._opened = self._reach()
        return super()._here()

    # -- calling: the options are noted on their way -------------------------------------------------------

    async def call(
        self, name: str, arguments: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> Result:
        """Call a tool and return its answer; as `Client.call`."""
        with _noted("call", options):
            return await super().call(name, arguments, **options)

    async def submit(
        self, name: str, arguments: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> Handle:
        """Hand a request in and return when it is accepted; as `Client.submit`."""
        with _noted("submit", options):
            return await super().submit(name, arguments, **options)

    def caller(
        self, name: str, options: CallOptions
    ) -> Callable[[Mapping[str, Any]], Coroutine[Any, Any, Result]]:
        """Return what calls a tool with given arguments; as `Client.caller`."""
        call = super().caller(name, options)

        async def noting(arguments: Mapping[str, Any]) -> Result:
            with _noted("map", options):
                return await call(arguments)

        return noting

    async def _read(self, opened: _Opened, reply: Reply, name: str, *, raise_on_tool_error: bool) -> Result:
        request = self._stage.requests[reply.id]
        if request.error is not None:
            raise fresh(request.error, reply)
        try:
            return await super()._read(opened, reply, name, raise_on_tool_error=raise_on_tool_error)
        except McpweftError as error:
            if request.note:
                error.add_note(request.note)
            raise


class FakeSyncClient(Told, SyncClient):
    """A SyncClient that answers what a test says. Calling it gives another one, as calling the class does."""

    def __init__(self, fake: FakeClient) -> None:
        super().__init__()
        self._fake = fake
        self._stage = fake._stage  # noqa: SLF001  # the same fake
        self._client = self._opens = fake()
        self._stage.closers.append(self.close)

    def __call__(self, *given: object, **named: object) -> FakeSyncClient:
        """Return another client of the same fake. Takes what SyncClient takes."""
        inspect.signature(SyncClient).bind(*given, **named)
        return self._fake.sync()


class _NoRules:
    """The rules of a fleet that has none."""

    fresh = Ruleset()


@contextlib.contextmanager
def _noted(way: Way, options: CallOptions) -> Generator[None]:
    token = ASKED.set((way, dict(options)))
    try:
        yield
    finally:
        ASKED.reset(token)
