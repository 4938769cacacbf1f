"""MCP servers over stdio to be called: one by hand, as fast as Python gets, and one built with the SDK.

    python -P server.py fast [--ms 50]      raw JSON lines, one call after the other
    python -P server.py sdk                 MCPServer

Both have the tool `echo(text)`. `--ms` is the time that a call of the fast one takes.
"""

from __future__ import annotations

import argparse
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
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue
        if message["method"] == "tools/call" and seconds:
            time.sleep(seconds)
        answer = {
            "jsonrpc": "2.0",
            "id": message["id"],
            **reply(message["method"], message.get("params") or {}),
        }
        out.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
        out.flush()


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
    parser.add_argument("kind", choices=["fast", "sdk"])
    parser.add_argument("--ms", type=float, default=0.0)
    asked = parser.parse_args()
    if asked.kind == "sdk":
        sdk()
    else:
        fast(asked.ms / 1000)
