"""A way to a server that can become a black hole: connections stay open, and nothing passes any more.

Above stands struck.py. It must never know what passes.
"""

from __future__ import annotations

import asyncio
import contextlib

_CHUNK = 65_536


class Hole:
    """A TCP proxy on this host."""

    def __init__(self) -> None:
        self.passes = asyncio.Event()
        """Set while it is none."""
        self.passes.set()
        self._server: asyncio.Server | None = None
        self._target = 0

    async def before(self, port: int) -> int:
        """Stand before a port of this host; return the port to connect to instead."""
        self._target = port
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await self.passes.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self.passes.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
