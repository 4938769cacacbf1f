"""An MCP server over stdio that misbehaves on request.

    python tests/servers/rogue.py [--start HOW] [--note FILE] [--era ...] [--tally FILE]

HOW: `exit` (stderr and code 7), `mute` (reads, never answers), `discover-dies`, `discover-mute`, `stubborn`
(ignores SIGTERM and the end of stdin), `child` (forks one that holds stdout; its pid goes to FILE),
`escape` (likewise, and closes its own stdio). A byte a call goes to the tally before it acts. Its tools
are the methods named `do_…` below; each misbehaves once and lets the next call be.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from servers.echo import Server  # the path is set above: this file runs as a script

FOREVER = 3600
FORM = {"type": "object", "properties": {}}


class Rogue(Server):
    """The echo server with bad manners."""

    def __init__(self, era: str, start: str, note: str | None, tally: str | None) -> None:
        super().__init__(era, None)
        self.tally = tally
        self.start = start
        self.note = note
        self.more: list[str] = []
        self.asked: dict[str, Any] = {}

    def raw(self, data: bytes) -> None:
        with self.lock:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def serve(self) -> None:
        for line in sys.stdin.buffer:
            message = json.loads(line)
            if "method" not in message:
                if message["id"] in self.asked:
                    self.text(self.asked.pop(message["id"]), "refused" if "error" in message else "granted")
            elif "id" in message:
                self.request(message["id"], message["method"], message.get("params") or {})
            elif self.note is not None and message["method"] == "notifications/cancelled":
                Path(self.note).write_text("cancelled")
        if self.start == "stubborn":
            time.sleep(FOREVER)

    def request(self, rid: Any, method: str, params: dict[str, Any]) -> None:
        if method == "server/discover" and self.start == "discover-dies":
            os._exit(1)
        if self.start == "mute" or (method == "server/discover" and self.start == "discover-mute"):
            return
        if method == "tools/list":
            names = [name.removeprefix("do_") for name in dir(self) if name.startswith("do_")]
            cache = {"ttlMs": 0, "cacheScope": "private"} if self.modern else {}
            self.result(
                rid,
                {
                    "tools": [
                        {"name": name, "inputSchema": {"type": "object"}} for name in names + self.more
                    ],
                    **cache,
                },
            )
            return
        super().request(rid, method, params)

    def call(self, rid: Any, params: dict[str, Any]) -> None:
        if self.tally is not None:
            with Path(self.tally).open("ab") as file:
                file.write(b".")
        tool = getattr(self, f"do_{params['name']}", None)
        if tool is None:
            super().call(rid, params)
        else:
            tool(rid, **(params.get("arguments") or {}))

    def line(self, rid: Any, result: str) -> bytes:
        return f'{{"jsonrpc":"2.0","id":{rid},"result":{result}}}\n'.encode()

    # --- what it answers

    def do_ok(self, rid: Any) -> None:
        self.text(rid, "ok")

    def do_garbage(self, rid: Any) -> None:
        self.raw(b"Hello from a print\n\n{not json\n[1,2]\n\x00\xff\xfe\n")
        self.text(rid, "ok")

    def do_utf8(self, rid: Any) -> None:
        self.raw(self.line(rid, '{"content":[{"type":"text","text":"caf@"}]}').replace(b"@", b"\xe9"))

    def do_nan(self, rid: Any) -> None:
        self.raw(self.line(rid, '{"content":[],"structuredContent":{"x":NaN}}'))

    def do_huge_number(self, rid: Any) -> None:
        self.raw(self.line(rid, '{"content":[],"structuredContent":{"x":1e999}}'))

    def do_deep(self, rid: Any) -> None:
        depth = 100_000
        self.raw(self.line(rid, '{"content":[],"structuredContent":' + "[" * depth + "]" * depth + "}"))

    def do_shape(self, rid: Any) -> None:
        self.raw(self.line(rid, '{"content":[{"type":"text"}]}'))

    def do_list(self, rid: Any) -> None:
        self.raw(self.line(rid, "[]"))

    def do_other_id(self, rid: Any) -> None:
        for other in (rid + 1000, f'"{rid}x"', "null"):
            self.raw(self.line(other, '{"content":[{"type":"text","text":"not yours"}]}'))
        self.text(rid, "yours")

    def do_duplicate(self, rid: Any) -> None:
        for number in range(3):
            self.text(rid, f"answer {number}")

    def do_big(self, rid: Any, size: int, last: bool = False) -> None:  # noqa: FBT001, FBT002  # JSON's own
        result = '{"content":[{"type":"text","text":"' + "x" * size + '"}]}'
        if last:
            self.raw(f'{{"result":{result},"jsonrpc":"2.0","id":{rid}}}\n'.encode())
        else:
            self.raw(self.line(rid, result))

    def do_trickle(self, rid: Any, ms: float) -> None:
        for byte in self.line(rid, '{"content":[{"type":"text","text":"slow"}]}'):
            self.raw(bytes([byte]))
            time.sleep(ms / 1000)

    def do_flood(self, rid: Any, count: int) -> None:
        log = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}}
        progress = {
            "jsonrpc": "2.0",
            "method": "notifications/progress",
            "params": {"progressToken": 99, "progress": 1},
        }
        self.raw(b"".join(json.dumps(each).encode() + b"\n" for each in (log, progress)) * (count // 2))
        self.text(rid, "after the flood")

    def do_pings(self, rid: Any, count: int) -> None:
        self.raw(b"".join(b'{"jsonrpc":"2.0","id":"p%d","method":"ping"}\n' % n for n in range(count)))
        self.text(rid, "after the pings")

    def do_stderr(self, rid: Any, size: int) -> None:
        sys.stderr.write("e" * size + "\nlast words\n")
        sys.stderr.flush()
        self.text(rid, "ok")

    def do_error(self, rid: Any, code: int) -> None:
        self.error(rid, code, "no such luck")

    # --- what it asks

    def do_ask(self, rid: Any, method: str) -> None:
        params: dict[str, Any] = {"message": "?", "requestedSchema": FORM}
        if method == "sampling/createMessage":
            params = {"messages": [], "maxTokens": 1}
        self.asked[f"ask-{rid}"] = rid
        self.send({"id": f"ask-{rid}", "method": method, "params": params})

    def do_input_required(self, rid: Any) -> None:
        asked = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": FORM}}
        self.send({"id": rid, "result": {"resultType": "input_required", "inputRequests": {"a": asked}}})

    def do_grow(self, rid: Any) -> None:
        self.more.append("grown")
        self.send({"method": "notifications/tools/list_changed"})
        self.text(rid, "ok")

    # --- how it ends

    def do_mute(self, rid: Any) -> None:  # it is never answered
        pass

    def do_half(self, rid: Any) -> None:
        self.raw(self.line(rid, '{"content":[]}')[:20])
        os._exit(0)

    def do_answer_and_exit(self, rid: Any) -> None:
        self.text(rid, "farewell")
        os._exit(0)

    def do_exit_with_child(self, rid: Any) -> None:  # noqa: ARG002  # it is never answered
        fork_sleeper(self.note)
        os._exit(5)

    def do_close_stdout(self, rid: Any) -> None:  # noqa: ARG002  # it is never answered
        os.close(1)
        time.sleep(FOREVER)

    def do_close_stdin(self, rid: Any) -> None:  # noqa: ARG002  # it is never answered
        os.close(0)
        threading.Event().wait()

    def do_deaf(self, rid: Any) -> None:  # noqa: ARG002  # it is never answered
        time.sleep(FOREVER)


def fork_sleeper(note: str | None, *, hidden: bool = False) -> None:
    """Leave a child behind that holds every pipe, or none, and ignores SIGTERM."""
    pid = os.fork()
    if pid:
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if hidden:
        for fd in (0, 1, 2):
            os.close(fd)
    if note is not None:
        Path(note).write_text(str(os.getpid()))
    time.sleep(FOREVER)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--start", default="")
    parser.add_argument("--note")
    parser.add_argument("--tally")
    parser.add_argument("--era", default="2025-06-18")
    options = parser.parse_args()
    if options.start == "exit":
        sys.stderr.write("cannot find my database\n")
        sys.exit(7)
    if options.start == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.start in ("child", "escape"):
        fork_sleeper(options.note, hidden=options.start == "escape")
    Rogue(options.era, options.start, options.note, options.tally).serve()


if __name__ == "__main__":
    main()
