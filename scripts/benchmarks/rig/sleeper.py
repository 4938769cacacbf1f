"""A simulated MCP server: one call at a time, first come first served, and each takes so long.

    python -P sleeper.py --ms 50 --ledger FILE                     over stdio
    python -P sleeper.py --ms 50 --ledger FILE --port 0 [--hang F] over HTTP; prints `port N` once it listens

Its tool `work(nonce)` says the nonce again. Each call is written into the ledger, a JSON line of its nonce
and the moment before it begins, and another with what it took (s) once it is over: that is the ground truth.
While the file F exists calls are held back, and all else is answered. A call whose caller has hung up is not
begun.
It must never know who calls it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.rig.server import reply  # after the path: servers get a bare environment

if TYPE_CHECKING:
    from collections.abc import Callable

TOOL = {
    "name": "work",
    "description": "Take a while.",
    "inputSchema": {"type": "object", "properties": {"nonce": {"type": "string"}}, "required": ["nonce"]},
    "annotations": {"readOnlyHint": True},
}
_LOOK = 0.02  # between two looks at whether it still hangs


class Sleeper:
    """One server."""

    def __init__(self, seconds: float, ledger: Path, hang: Path | None) -> None:
        self._seconds = seconds
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._hang = hang
        self._turn = asyncio.Lock()  # whoever waits for it gets it in turn

    async def answer(self, message: dict[str, Any], gone: Callable[[], bool]) -> dict[str, Any] | None:
        """Return the answer to one message; None where it gets none."""
        rid, method = message.get("id"), message.get("method")
        if rid is None or method is None:
            return None
        if method != "tools/call":
            return {"jsonrpc": "2.0", "id": rid, **reply(method, {}, TOOL)}
        nonce = message["params"]["arguments"]["nonce"]
        while self._hang is not None and self._hang.exists():  # noqa: ASYNC110  # a file tells nobody
            await asyncio.sleep(_LOOK)
        async with self._turn:
            if gone():
                return None
            await self._work(nonce)
        content = [{"type": "text", "text": nonce}]
        return {"jsonrpc": "2.0", "id": rid, "result": {"content": content, "resultType": "complete"}}

    async def _work(self, nonce: str) -> None:
        began = time.time()
        self._write(nonce=nonce, began=began)
        await asyncio.sleep(self._seconds)
        self._write(nonce=nonce, took=time.time() - began)

    def _write(self, **line: Any) -> None:
        os.write(self._ledger, json.dumps(line).encode() + b"\n")


async def over_stdio(sleeper: Sleeper) -> None:
    """Serve until the input ends."""
    reader = asyncio.StreamReader(limit=2**22)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)

    async def one(line: bytes) -> None:
        if (answer := await sleeper.answer(json.loads(line), lambda: False)) is not None:
            sys.stdout.buffer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
            sys.stdout.buffer.flush()

    async with asyncio.TaskGroup() as calls:
        while line := await reader.readline():
            calls.create_task(one(line))


async def converse(sleeper: Sleeper, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection until it ends: HTTP/1.1, one request after another."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
            body = await reader.readexactly(length)
            status, data = "405 Method Not Allowed", b""
            if head.startswith("post"):
                answer = await sleeper.answer(json.loads(body), reader.at_eof)
                status, data = "202 Accepted", b""
                if answer is not None:
                    status, data = "200 OK", json.dumps(answer, separators=(",", ":")).encode()
            kind = "application/json" if data else "text/plain"
            start = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n\r\n"
            writer.write(start.encode() + data)
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass  # whoever called has hung up
    finally:
        writer.close()


async def over_http(sleeper: Sleeper, port: int) -> None:
    """Serve until killed."""
    server = await asyncio.start_server(lambda r, w: converse(sleeper, r, w), "127.0.0.1", port)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


async def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ms", type=float, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("--hang", type=Path)
    asked = parser.parse_args()
    sleeper = Sleeper(asked.ms / 1000, asked.ledger, asked.hang)
    await (over_stdio(sleeper) if asked.port is None else over_http(sleeper, asked.port))


if __name__ == "__main__":
    asyncio.run(main())
