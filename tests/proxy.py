"""A TCP proxy before a store that does what a network does at its worst.

    cut("settle", times=2)    lose the answers to the next two settles: carried out, and unheard
    sever(mark)               lose the answer to the next command that holds these bytes, whatever it is
    swallow(3)                lose the next three commands on their way, each with its connection
    delay, trickling          hold everything back so many seconds; let it through a few bytes at a time
    hold("deal")              keep the next deal on its way, and its connection silent, until thaw()
    freeze(), thaw()          fall silent on all connections there are: half-open, nobody is told; and go on
    hush(), thaw()            the same, and new connections are silent too: the way is cut, and nobody is told
    shut(), reopen()          be away, and be there again on the same port

`cut` knows the fabric's moves by their scripts' hashes and any other command by its name, in small letters. A
store that does not know a script yet has carried nothing out, so that answer is passed on.

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
        self._path = parts.path
        self._port = 0
        self._moves = {script(name).sha.encode(): name for name in moves()}
        self._server: asyncio.Server | None = None
        self._ways: dict[asyncio.Task[None], _Way] = {}
        self.left: Counter[str] = Counter()
        """Answers still to be lost, by move or command."""
        self._holding: dict[str, bytes] = {}
        self._marks: list[str] = []
        self.lost: Counter[str] = Counter()
        """Answers that were lost, by move, command or mark."""
        self.unsent = 0
        """Commands still to be lost on their way."""
        self._held: dict[str, int] = {}
        self.answers: dict[str, list[bytes]] = {}
        """What the store said to the commands that were held, by move."""
        self.delay = 0.0
        """Seconds that everything is held back."""
        self.trickling = False
        """Whether everything passes a few bytes at a time."""
        self.commands = 0
        """Commands that came."""
        self.asked: Counter[str] = Counter()
        """The same by move or command; of several that came together, the first."""
        self._hushed = False

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://127.0.0.1:{self._port}{self._path}"

    def cut(self, *names: str, times: int = 1, holding: bytes = b"") -> None:
        """Lose the answers to the next `times` of each of these moves or commands.

        Answers without the bytes `holding` do not count: to lose an empty one proves little.
        """
        for name in names:
            self.left[name] += times
            self._holding[name] = holding

    def sever(self, mark: str, times: int = 1) -> None:
        """Lose the answers to the next commands that hold `mark`; of several marks, the first comes first."""
        self._marks += [mark] * times

    def swallow(self, times: int = 1) -> None:
        """Lose the next commands before the store hears of them."""
        self.unsent += times

    def hold(self, name: str) -> None:
        """Keep the next command of this move from the store until `thaw`, whoever has hung up by then."""
        self._held[name] = 0

    def holds(self, name: str) -> bool:
        """Return whether a command of this move is being held, or was."""
        return self._held.get(name, 0) > 0

    def keeps(self, name: str) -> bool:
        """Return whether this command is to be held, and count it."""
        if self._held.get(name) != 0:
            return False
        self._held[name] = 1
        return True

    def freeze(self) -> int:
        """Carry no byte of those who are connected, nor their hanging up; new connections work.

        Return how many there are.
        """
        for way in self._ways.values():
            way.flowing.clear()
        return len(self._ways)

    def hush(self) -> None:
        """Carry no byte of anybody, whoever connects from now on included."""
        self._hushed = True
        self.freeze()

    def thaw(self) -> None:
        """Carry on where frozen connections stopped: late bytes arrive, and late hanging up."""
        self._hushed = False
        for way in self._ways.values():
            way.flowing.set()

    def behave(self) -> None:
        """Do nothing more of all this; what is frozen stays so."""
        self.left.clear()
        self._marks.clear()
        self.unsent = 0
        self.delay = 0.0
        self.trickling = False

    async def shut(self) -> None:
        """Refuse everybody and drop who is connected."""
        assert self._server is not None
        self._server.close()
        ways = list(self._ways)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)

    async def reopen(self) -> None:
        """Let clients in again."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def __aenter__(self) -> Self:
        await self.reopen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        way = self._ways[task] = _Way(self, client, to_client)
        if self._hushed:
            way.flowing.clear()
        try:
            await way.run(*self._target)
        except (OSError, asyncio.CancelledError):
            pass  # refused, or the test is over: this task is nobody else's
        finally:
            del self._ways[task]
            to_client.transport.abort()

    def came(self, data: bytes) -> str:
        """Count a command that begins so; return its move or name, empty for what is no beginning."""
        found = _COMMAND.match(data)
        if found is None:
            return ""
        self.commands += 1
        name = self._moves.get(found[2] or b"", found[1].decode().lower())
        self.asked[name] += 1
        return name

    def swallows(self) -> bool:
        """Return whether this command is to be lost on its way."""
        swallowed = self.unsent > 0
        self.unsent -= swallowed
        return swallowed

    def marked(self, data: bytes) -> bool:
        """Return whether the answer to this command is to be lost, and count it."""
        if not self._marks or self._marks[0].encode() not in data:
            return False
        self.lost[self._marks.pop(0)] += 1
        return True

    def take(self, name: str, answer: bytes) -> bool:
        """Return whether this answer is to be lost, and count it."""
        if answer.startswith(b"-NOSCRIPT") or not self.left[name] or self._holding[name] not in answer:
            return False
        self.left -= Counter([name])
        self.lost[name] += 1
        return True


class _Way:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client, self._to_client = client, to_client
        self._asked = ""
        self._doomed = False
        self._kept = ""
        self._told = asyncio.Event()
        self.flowing = asyncio.Event()
        self.flowing.set()

    async def run(self, host: str, port: int) -> None:
        """Carry both ways until one side ends, or a command or an answer is lost."""
        server, to_server = await asyncio.open_connection(host, port)
        both = [asyncio.create_task(self._there(to_server)), asyncio.create_task(self._back(server))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_server.transport.abort()
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _there(self, to_server: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await self._next(self._client):
                if name := self._proxy.came(data):
                    self._asked = self._asked or name
                    if self._proxy.swallows():
                        return
                    if self._proxy.keeps(name):
                        self._kept = name
                        self.flowing.clear()
                        await self.flowing.wait()
                self._doomed |= self._proxy.marked(data)
                await self._pass(data, to_server)
                if self._kept:
                    await self._told.wait()  # the store's word is wanted, whoever has hung up

    async def _back(self, server: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while data := await self._next(server):
                if self._kept and not data.startswith(b"-NOSCRIPT"):
                    self._proxy.answers.setdefault(self._kept, []).append(data)
                    self._kept = ""
                    self._told.set()
                if self._doomed or (self._asked and self._proxy.take(self._asked, data)):
                    return  # it was carried out; nobody will hear of it
                if not data.startswith(b"-NOSCRIPT"):  # else the move's whole text follows
                    self._asked = ""
                await self._pass(data, self._to_client)

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        """Return what comes next, or nothing at the end, once it may travel on."""
        try:
            data = await reader.read(_CHUNK)
        except OSError:
            data = b""
        await self.flowing.wait()
        return data

    async def _pass(self, data: bytes, to: asyncio.StreamWriter) -> None:
        if self._proxy.delay:
            await asyncio.sleep(self._proxy.delay)
        step = _DROP if self._proxy.trickling else len(data)
        for at in range(0, len(data), step):
            if at:
                await asyncio.sleep(_DRIP)
            to.write(data[at : at + step])
            await to.drain()
