"""A way between a client and its store that can lose an answer on purpose (the command is carried out,
unheard), or fall silent: a half-open connection, of which neither end is told.

Above stand tests of lost replies and of half-open connections. Below: plain TCP. It must never know what a
command means: a test gives the bytes by which it is known, such as a script's hash.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator


class Severing:
    """A proxy before one server: `sever` arms it, `shut` takes the server away, `reopen` brings it back.

    `freeze` makes the connections that are open half-open; `thaw` lets what they were given travel on, late.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._path = parts.path
        self._server: asyncio.Server | None = None
        self._marks: list[bytes] = []
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._frozen: list[asyncio.Event] = []
        self.commands = 0
        """Commands that went to the server."""
        self.severed = 0
        """Answers that were lost."""
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://127.0.0.1:{self.port}{self._path}"

    def sever(self, mark: str, times: int = 1) -> None:
        """Lose the answers to the next `times` commands that hold `mark`."""
        self._marks += [mark.encode()] * times

    def freeze(self) -> int:
        """Carry no byte of those who are connected, nor their hanging up; new connections work.

        Return how many there are.
        """
        self._flowing.clear()
        self._frozen.append(self._flowing)
        self._flowing = asyncio.Event()
        self._flowing.set()
        return len(self._tasks)

    def thaw(self) -> None:
        """Carry on where the frozen connections stopped: late bytes arrive, and late hanging up."""
        while self._frozen:
            self._frozen.pop().set()

    async def shut(self) -> None:
        """Refuse everybody and drop who is connected."""
        if self._server is not None:
            self._server.close()
        self._drop()

    async def reopen(self) -> None:
        """Let clients in again."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def _drop(self) -> None:
        for writer in list(self._open):
            writer.close()

    async def __aenter__(self) -> Self:
        await self.reopen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers, flowing = [to_client], self._flowing
        try:
            server, to_server = await asyncio.open_connection(*self._target)
            writers.append(to_server)
            self._open.update(writers)
            lost = asyncio.Event()
            there = asyncio.create_task(self._carry(client, to_server, flowing, lost))
            back = asyncio.create_task(_bring(server, to_client, flowing, lost))
            try:
                await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
                await asyncio.wait((there, back))
        except (OSError, asyncio.CancelledError):  # streams report a handler that was cancelled as an error
            pass
        finally:
            self._tasks.discard(task)
            for writer in writers:
                self._open.discard(writer)
                writer.close()

    async def _carry(
        self,
        client: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        flowing: asyncio.Event,
        lost: asyncio.Event,
    ) -> None:
        with suppress(OSError):
            while data := await _next(client, flowing):
                self.commands += data.startswith(b"*")  # clients write a small command in one piece
                for mark in self._found(data):
                    self._marks.remove(mark)
                    self.severed += 1
                    lost.set()
                to_server.write(data)
                await to_server.drain()

    def _found(self, data: bytes) -> Iterator[bytes]:
        return iter([mark for mark in self._marks[:1] if mark in data])


async def _next(reader: asyncio.StreamReader, flowing: asyncio.Event) -> bytes:
    """Return what comes next, or nothing at the end, once it may travel on."""
    try:
        data = await reader.read(1 << 16)
    except OSError:
        data = b""
    await flowing.wait()
    return data


async def _bring(
    server: asyncio.StreamReader, to_client: asyncio.StreamWriter, flowing: asyncio.Event, lost: asyncio.Event
) -> None:
    with suppress(OSError):
        while data := await _next(server, flowing):
            if lost.is_set():
                return  # it was carried out; nobody will hear of it
            to_client.write(data)
            await to_client.drain()
