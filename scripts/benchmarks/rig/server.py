"""MCP servers over stdio to be called: two by hand, as fast as Python gets, and one built with the SDK.

    python -P server.py fast [--ms 50]      raw JSON lines, one call after the other
    python -P server.py waiting [--ms 50]   the same, any number of calls at a time
    python -P server.py sdk                 MCPServer

All have the tool `echo(text)`. `--ms` is the time that a call of the first two takes.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
import time
from typing import Any

ERA = "2026-07-28"
TOOL = {
    "name": "echo",
    "description": "Say it again.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "annotations": {"readOnlyHint": True},
}
_CACHE = {"ttlMs": 60_000, "cacheScope": "private"}
_METHOD_NOT_FOUND = -32601


def fast(seconds: float) -> None:
    """Serve until the input ends."""
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue
        if message["method"] == "tools/call" and seconds:
            time.sleep(seconds)
        answer(message)


async def waiting(seconds: float) -> None:
    """Serve until the input ends; a call is answered so many seconds later, whatever others there are."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**22)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        message = json.loads(line)
        if message.get("method") == "tools/call":
            loop.call_later(seconds, answer, message)
        elif "id" in message and "method" in message:
            answer(message)


def answer(message: dict[str, Any]) -> None:
    """Write the answer to one request."""
    said = reply(message["method"], message.get("params") or {})
    line = json.dumps({"jsonrpc": "2.0", "id": message["id"], **said}, separators=(",", ":"))
    sys.stdout.buffer.write(line.encode() + b"\n")
    sys.stdout.buffer.flush()


def reply(method: str, params: dict[str, Any], tool: dict[str, Any] = TOOL) -> dict[str, Any]:
    """Return the result or the error of one request to a server of one tool."""
    if method == "tools/call":
        text = params["arguments"]["text"]
        return {"result": {"content": [{"type": "text", "text": text}], "resultType": "complete"}}
    if method == "tools/list":
        return {"result": {"tools": [tool], "resultType": "complete", **_CACHE}}
    if method == "server/discover":
        offer = {"supportedVersions": [ERA], "capabilities": {"tools": {}}, "resultType": "complete"}
        return {"result": {**offer, **_CACHE}}
    return {"error": {"code": _METHOD_NOT_FOUND, "message": "Method not found"}}


def sdk() -> None:
    """Serve until the input ends."""
    server = importlib.import_module("mcp.server").MCPServer("bench")

    async def echo(text: str) -> str:
        return text

    server.add_tool(
        echo, annotations=importlib.import_module("mcp_types").ToolAnnotations(read_only_hint=True)
    )
    server.run("stdio")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["fast", "waiting", "sdk"])
    parser.add_argument("--ms", type=float, default=0.0)
    asked = parser.parse_args()
    match asked.kind:
        case "sdk":
            sdk()
        case "waiting":
            asyncio.run(waiting(asked.ms / 1000))
        case _:
            fast(asked.ms / 1000)
