"""A TCP proxy before a store that does what a network does at its worst.

It loses answers: the command is carried out, and its connection dies unheard. It knows the fabric's moves by
their scripts' hashes and any other command by its name, one armed count for each: `cut("settle", times=2)` loses
the answers to the next two settles, whoever sends them. A store that does not know a script yet has carried
nothing out, so that answer is passed on. It loses commands on their way (`swallow`), holds everything back (`delay`),
lets it through a few bytes at a time (`trickling`), and falls silent on all connections there are (`freeze`).

Above stand the fault tests. Below: plain TCP and RESP's first line. It relies on clients that wait for each
answer before they send more, as redis-py's connections do.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from mcpweft_schemas.script import script

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMAND = re.compile(rb"\*\d+\r\n\$\d+\r\n(\w+)\r\n(?:\$40\r\n([0-9a-f]{40})\r\n)?")
_CHUNK = 1 << 16
_DROP = 64  # bytes let through at a time, and
_DRIP = 0.001  # seconds between two of them


def moves() -> Iterator[str]:
    """Return the names of all moves."""
    for file in resources.files("mcpweft_schemas").joinpath("lua").iterdir():
        if file.name.endswith(".lua") and not file.name.startswith("_"):
            yield file.name.removesuffix(".lua")


class Proxy:
    """A proxy to the server of a `redis://` URL; listens while its block lasts."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._moves = {script(name).sha.encode(): name for name in moves()}
        self._server: asyncio.Server | None = None
        self._ways: set[asyncio.Task[None]] = set()
        self.left: Counter[str] = Counter()
        """Answers still to be lost, by move or command."""
        self._holding: dict[str, bytes] = {}
        self.lost: Counter[str] = Counter()
        """Answers that were lost."""
        self.unsent = 0
        """Commands still to be lost on their way, each with its connection."""
        self.delay = 0.0
        """Seconds that everything is held back."""
        self.trickling = False
        """Whether everything passes a few bytes at a time."""
        self._open: set[_Way] = set()

    def swallow(self, times: int = 1) -> None:
        """Lose the next commands before the store hears of them."""
        self.unsent += times

    def freeze(self) -> int:
        """Carry no byte more on the connections there are, and say nothing of it; return how many those are."""
        for way in self._open:
            way.frozen = True
        return len(self._open)

    @property
    def url(self) -> str:
        """Where clients find it."""
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    def cut(self, *names: str, times: int = 1, holding: bytes = b"") -> None:
        """Lose the answers to the next `times` of each of these moves or commands (in small letters).

        Answers without the bytes `holding` do not count: to lose an empty one proves little.
        """
        for name in names:
            self.left[name] += times
            self._holding[name] = holding

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        way = asyncio.current_task()
        assert way is not None
        self._ways.add(way)
        try:
            server, to_server = await asyncio.open_connection(*self._target)
            try:
                connection = _Way(self, client, to_client, server, to_server)
                self._open.add(connection)
                try:
                    await connection.run()
                finally:
                    self._open.discard(connection)
            finally:
                to_server.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # refused, or the test is over: this task is nobody else's
        finally:
            self._ways.discard(way)
            to_client.transport.abort()

    def name_of(self, data: bytes) -> str:
        """Return the move or the command that a request begins with; empty for what is no beginning."""
        found = _COMMAND.match(data)
        if found is None:
            return ""
        return self._moves.get(found[2] or b"", found[1].decode().lower())

    def take(self, name: str, answer: bytes) -> bool:
        """Return whether this answer is to be lost, and count it."""
        if not self.left[name] or self._holding[name] not in answer:
            return False
        self.left -= Counter([name])
        self.lost[name] += 1
        return True


class _Way:
    """One connection through the proxy."""

    def __init__(
        self,
        proxy: Proxy,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._client, self._to_client = client, to_client
        self._server, self._to_server = server, to_server
        self._asked = ""
        self.frozen = False

    async def run(self) -> None:
        """Carry both ways until one side ends or an answer is lost."""
        both = [asyncio.create_task(self._there()), asyncio.create_task(self._back())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _there(self) -> None:
        with suppress(OSError):
            while data := await self._client.read(_CHUNK):
                if not self._asked:
                    self._asked = self._proxy.name_of(data)
                    if self._asked and self._proxy.unsent:
                        self._proxy.unsent -= 1
                        return
                await self._pass(data, self._to_server)

    async def _back(self) -> None:
        with suppress(OSError):
            while data := await self._server.read(_CHUNK):
                if self._asked and not data.startswith(b"-NOSCRIPT"):
                    if self._proxy.take(self._asked, data):
                        return
                    self._asked = ""
                await self._pass(data, self._to_client)

    async def _pass(self, data: bytes, to: asyncio.StreamWriter) -> None:
        if self._proxy.delay:
            await asyncio.sleep(self._proxy.delay)
        step = _DROP if self._proxy.trickling else len(data)
        for at in range(0, len(data), step):
            if at:
                await asyncio.sleep(_DRIP)
            if self.frozen:
                return
            to.write(data[at : at + step])
            await to.drain()
