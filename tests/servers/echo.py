"""A fast, well-behaved MCP server over stdio, raw JSON lines and no SDK: what end-to-end tests call.

    python tests/servers/echo.py [--ledger FILE] [--pace MS] [--storm FILE]
                                 [--era 2024-11-05|2025-06-18|2025-11-25|2026-07-28]

Tools: echo(text) add(a, b) sleep(ms) fail(message) crash() blob(size) progress(steps, ms).
`--ledger FILE` appends one JSON line per tools/call *before* the tool acts:
{"nonce": arguments._nonce or the arguments, "tool", "pid", "time"}. With `--pace MS` it takes so long for
each echo, one after another; while the `--storm` file exists it answers every call with a protocol error.
Calls that wait run side by side and obey notifications/cancelled. It must never know who calls it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from typing import Any

MODERN = "2026-07-28"
UNSUPPORTED_VERSION = -32022
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603


def schema(**properties: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }


READS = {"readOnlyHint": True}
TOOLS: list[dict[str, Any]] = [
    {
        "name": "echo",
        "description": "Say it again.",
        "inputSchema": schema(text="string"),
        "annotations": READS,
    },
    {
        "name": "add",
        "description": "Add a and b.",
        "inputSchema": schema(a="number", b="number"),
        "annotations": READS,
    },
    {
        "name": "sleep",
        "description": "Wait for ms milliseconds.",
        "inputSchema": schema(ms="number"),
        "annotations": READS,
    },
    {"name": "fail", "description": "Answer an error.", "inputSchema": schema(message="string")},
    {"name": "crash", "description": "Exit in the middle of the call.", "inputSchema": schema()},
    {"name": "blob", "description": "Answer size letters.", "inputSchema": schema(size="integer")},
    {
        "name": "progress",
        "description": "Report progress in steps, ms apart.",
        "inputSchema": schema(steps="integer", ms="number"),
    },
]


class Server:
    """One connection: reads requests from stdin, answers on stdout, line by line."""

    tools = TOOLS

    def __init__(self, era: str, ledger: str | None, pace_ms: float = 0.0, storm: str | None = None) -> None:
        self.era = era
        self.storm = storm
        self.pace_ms = pace_ms
        self.ledger = ledger
        self.modern = era == MODERN
        self.lock = threading.Lock()
        self.cancels: dict[Any, threading.Event] = {}

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode() + b"\n"
        with self.lock:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def result(self, rid: Any, result: dict[str, Any]) -> None:
        self.send({"id": rid, "result": {**result, "resultType": "complete"} if self.modern else result})

    def error(self, rid: Any, code: int, message: str, data: Any = None) -> None:
        error = {"code": code, "message": message}
        self.send({"id": rid, "error": error if data is None else {**error, "data": data}})

    def serve(self) -> None:
        for line in sys.stdin.buffer:
            message = json.loads(line)
            if "method" not in message:
                continue
            params = message.get("params") or {}
            if "id" in message:
                self.request(message["id"], message["method"], params)
            elif message["method"] == "notifications/cancelled":
                event = self.cancels.get(params.get("requestId"))
                if event is not None:
                    event.set()

    def request(self, rid: Any, method: str, params: dict[str, Any]) -> None:
        if method == "tools/call":
            try:
                self.call(rid, params)
            except (KeyError, TypeError, ValueError) as exc:
                self.error(rid, INVALID_PARAMS, f"Invalid arguments: {exc!r}")
        elif method == "tools/list":
            cache = {"ttlMs": 0, "cacheScope": "private"} if self.modern else {}
            self.result(rid, {"tools": self.tools, **cache})
        elif method == "ping" and not self.modern:
            self.result(rid, {})
        elif method == "initialize" and not self.modern:
            self.result(
                rid,
                {
                    "protocolVersion": self.era,
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "echo", "version": "1"},
                },
            )
        elif method == "initialize":
            self.error(rid, UNSUPPORTED_VERSION, "Unsupported protocol version", {"supported": [MODERN]})
        elif method == "server/discover" and self.modern:
            capabilities: dict[str, Any] = {"tools": {}}
            cache = {"ttlMs": 0, "cacheScope": "private"}
            self.result(rid, {"supportedVersions": [MODERN], "capabilities": capabilities, **cache})
        else:
            self.error(rid, METHOD_NOT_FOUND, "Method not found")

    def call(self, rid: Any, params: dict[str, Any]) -> None:
        tool = params.get("name")
        arguments = params.get("arguments") or {}
        self.record(tool, arguments)
        if self.storm is not None and os.path.exists(self.storm):  # noqa: PTH110  # quicker than a Path
            self.error(rid, INTERNAL_ERROR, "a storm")
        elif tool == "echo":
            time.sleep(self.pace_ms / 1000)
            self.text(rid, str(arguments.get("text")))
        elif tool == "add":
            total = arguments["a"] + arguments["b"]
            structured = {} if self.era < "2025-06-18" else {"structuredContent": {"sum": total}}
            self.result(rid, {"content": [{"type": "text", "text": json.dumps(total)}], **structured})
        elif tool == "fail":
            self.text(rid, str(arguments.get("message")), is_error=True)
        elif tool == "crash":
            os._exit(3)
        elif tool == "blob":
            self.text(rid, "x" * int(arguments["size"]))
        elif tool == "sleep":
            self.aside(rid, 1, float(arguments["ms"]), None)
        elif tool == "progress":
            token = (params.get("_meta") or {}).get("progressToken")
            self.aside(rid, int(arguments["steps"]), float(arguments["ms"]), token)
        else:
            self.error(rid, INVALID_PARAMS, f"Unknown tool: {tool}")

    def text(self, rid: Any, text: str, *, is_error: bool = False) -> None:
        flag = {"isError": True} if is_error else {}
        self.result(rid, {"content": [{"type": "text", "text": text}], **flag})

    def record(self, tool: Any, arguments: dict[str, Any]) -> None:
        if self.ledger is None:
            return
        nonce = arguments.get("_nonce", arguments)
        line = json.dumps({"nonce": nonce, "tool": tool, "pid": os.getpid(), "time": time.time()}) + "\n"
        # One write to a file opened for append: the lines of several servers never mix.
        fd = os.open(self.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(fd, line.encode())
        os.close(fd)

    def aside(self, rid: Any, steps: int, ms: float, token: Any) -> None:
        cancel = self.cancels[rid] = threading.Event()
        threading.Thread(target=self.step, args=(rid, steps, ms, token, cancel), daemon=True).start()

    def step(self, rid: Any, steps: int, ms: float, token: Any, cancel: threading.Event) -> None:
        for done in range(1, steps + 1):
            if cancel.wait(ms / 1000):
                break
            if token is not None:
                params = {"progressToken": token, "progress": done, "total": steps, "message": f"step {done}"}
                self.send({"method": "notifications/progress", "params": params})
        del self.cancels[rid]
        if not cancel.is_set():
            self.text(rid, "done")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger")
    parser.add_argument("--era", default="2025-06-18")
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--storm")
    options = parser.parse_args()
    try:
        Server(options.era, options.ledger, options.pace, options.storm).serve()
    except (KeyboardInterrupt, BrokenPipeError):
        os._exit(0)
    os._exit(0)  # a call that still waits must not hold the process


if __name__ == "__main__":
    main()
