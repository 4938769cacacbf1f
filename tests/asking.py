"""Asks the HTTP port of a process, byte for byte."""

from __future__ import annotations

import asyncio
from contextlib import suppress


async def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """Send raw bytes; return the status, 0 where there is none, and the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    with suppress(ConnectionError):  # it may hang up on what it has not read
        writer.write(request)
        await writer.drain()
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split(b" ")[1]) if head else 0), body


async def get(port: int, path: str) -> tuple[int, bytes]:
    """Return the status and the body of a path."""
    return await ask(port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
