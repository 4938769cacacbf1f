"""An MCP server over streamable HTTP, by hand and without the SDK: well-behaved tools and some that are not.

    python tests/servers/web.py [--port N] [--era ...] [--stream] [--drip] [--ledger FILE]

Prints `port N` once it listens. Before 2026-07-28 it hands out sessions that die with it, and forgets them
on `forget()`. `--stream` answers as an event stream. Besides echo, add and sleep it has: drop() (closes the
connection unanswered), cut(size) (half an answer), big(size), unavailable() (503), later(status, after)
(once, with Retry-After), forget(), ask() (elicitation, streamed), mute() (a stream on which nothing comes).
`--drip`: the end of a session is answered a byte at a time, for ever.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODERN = "2026-07-28"
TOOLS = ["echo", "add", "sleep", "drop", "cut", "big", "unavailable", "later", "forget", "ask", "mute"]
sessions: set[str] = set()
refused: set[str] = set()
options = argparse.Namespace()


class Handler(BaseHTTPRequestHandler):
    """One connection; HTTP/1.1, kept alive."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: Nagle's algorithm costs 40 ms otherwise
    opening = False
    later = ""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the standard library's name
        pass

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method, rid = message.get("method"), message.get("id")
        self.opening = method == "initialize"
        open_to_all = options.era == MODERN or method in ("initialize", "server/discover")
        if not open_to_all and self.headers.get("mcp-session-id") not in sessions:
            self.reply(404, b"Session not found", "text/plain")
            return
        if rid is None or method is None:
            self.reply(202, b"", "text/plain")
            return
        params = message.get("params") or {}
        if method == "tools/call":
            self.call(rid, params["name"], params.get("arguments") or {})
        else:
            self.result(rid, self.answer(method))

    def do_GET(self) -> None:
        self.reply(405, b"", "text/plain")

    def do_DELETE(self) -> None:
        sessions.discard(self.headers.get("mcp-session-id", ""))
        if options.drip:
            self.start(200, "text/plain", None)
            while True:
                self.wfile.write(b".")
                self.wfile.flush()
                time.sleep(0.1)
        self.reply(204, b"", "text/plain")

    def answer(self, method: str) -> dict[str, Any] | None:
        cache = {"ttlMs": 0, "cacheScope": "private"} if options.era == MODERN else {}
        if method == "server/discover" and options.era == MODERN:
            return {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, **cache}
        if method == "initialize" and options.era != MODERN:
            return {
                "protocolVersion": options.era,
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "web", "version": "1"},
            }
        if method == "tools/list":
            return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS], **cache}
        if method == "ping" and options.era != MODERN:
            return {}
        return None

    def call(self, rid: Any, tool: str, arguments: dict[str, Any]) -> None:  # noqa: C901  # a tool a branch
        self.record(tool, arguments)
        text = "done"
        if tool == "echo":
            text = str(arguments["text"])
        elif tool == "add":
            text = str(arguments["a"] + arguments["b"])
        elif tool == "big":
            text = "x" * int(arguments["size"])
        elif tool == "sleep":
            time.sleep(arguments["ms"] / 1000)
        elif tool == "drop":
            self.hang_up()
            return
        elif tool == "cut":
            self.start(200, "application/json", int(arguments["size"]) * 2)
            self.wfile.write(b"{" * int(arguments["size"]))
            self.hang_up()
            return
        elif tool == "unavailable":
            self.reply(503, b"try later", "text/plain")
            return
        elif tool == "later" and arguments["_nonce"] not in refused:
            refused.add(arguments["_nonce"])
            self.later = str(arguments["after"])
            self.reply(int(arguments["status"]), b"busy", "text/plain")
            return
        elif tool == "forget":
            sessions.clear()
        elif tool == "ask":
            self.ask()
            return
        elif tool == "mute":
            self.start(200, "text/event-stream", None)
            self.wfile.flush()
            self.connection.recv(1)  # until the client gives up
            return
        self.result(rid, {"content": [{"type": "text", "text": text}]})

    def ask(self) -> None:
        params = {"message": "your name?", "requestedSchema": {"type": "object", "properties": {}}}
        question = {"jsonrpc": "2.0", "id": "q1", "method": "elicitation/create", "params": params}
        self.start(200, "text/event-stream", None)
        self.wfile.write(b"event: message\ndata: " + json.dumps(question).encode() + b"\n\n")
        self.wfile.flush()
        self.connection.recv(1)  # until the client gives up

    def record(self, tool: str, arguments: dict[str, Any]) -> None:
        if options.ledger is not None:
            nonce = arguments.get("_nonce", arguments)
            line = json.dumps({"nonce": nonce, "tool": tool, "pid": os.getpid(), "time": time.time()}) + "\n"
            fd = os.open(options.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(fd, line.encode())
            os.close(fd)

    def hang_up(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def result(self, rid: Any, result: dict[str, Any] | None) -> None:
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": rid}
        if result is None:
            message["error"] = {"code": -32601, "message": "Method not found"}
        else:
            message["result"] = {**result, "resultType": "complete"} if options.era == MODERN else result
        data = json.dumps(message).encode()
        if options.stream:
            self.reply(200, b"event: message\ndata: " + data + b"\n\n", "text/event-stream")
        else:
            self.reply(200, data, "application/json")

    def start(self, status: int, kind: str, length: int | None) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        if self.later:
            self.send_header("retry-after", self.later)
            self.later = ""
        if length is None:
            self.send_header("connection", "close")
        else:
            self.send_header("content-length", str(length))
        if self.opening and status == 200:
            session = uuid.uuid4().hex
            sessions.add(session)
            self.send_header("mcp-session-id", session)
        self.end_headers()

    def reply(self, status: int, body: bytes, kind: str) -> None:
        self.start(status, kind, len(body))
        self.wfile.write(body)
        self.wfile.flush()


class Quiet(ThreadingHTTPServer):
    """Clients that hang up are no news."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--era", default="2025-06-18")
    parser.add_argument("--ledger")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--drip", action="store_true")
    parser.parse_args(namespace=options)
    server = Quiet(("127.0.0.1", options.port), Handler)
    print(f"port {server.server_address[1]}", flush=True)  # noqa: T201  # how the test hears
    server.serve_forever()


if __name__ == "__main__":
    main()
