"""The echo server with two slow tools that say their text again, so that an answer in flight has a name.

    python tests/faults/server.py [--ledger FILE] [--stubborn]

`say(text, ms)` must not run twice, `ask(text, ms)` may: its annotations say so. `garble()` writes what is no
answer, and never answers. Everything else is `tests/servers/echo.py`'s. A stubborn one ends neither with its
input nor at SIGTERM. It must never know who calls it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from servers import echo

SHAPE = echo.schema(text="string", ms="number")
echo.TOOLS += [
    {"name": "say", "description": "Say it after ms milliseconds.", "inputSchema": SHAPE},
    {"name": "ask", "description": "The same.", "inputSchema": SHAPE, "annotations": echo.READS},
    {
        "name": "garble",
        "description": "Write what is no answer, and never answer.",
        "inputSchema": echo.schema(),
    },
]
GARBAGE = b'\xff\x00 no JSON at all\n{"half": \n[1, 2, 3]\n{"jsonrpc": "2.0", "id": "nobody", "result": 7}\n'


class Server(echo.Server):
    """One connection."""

    def call(self, rid: Any, params: dict[str, Any]) -> None:
        if params.get("name") not in {"say", "ask", "garble"}:
            super().call(rid, params)
            return
        arguments = params.get("arguments") or {}
        if params["name"] == "garble":
            self.record("garble", arguments)
            with self.lock:
                sys.stdout.buffer.write(GARBAGE)
                sys.stdout.buffer.flush()
            return
        self.record(params["name"], arguments)
        cancel = self.cancels[rid] = threading.Event()
        threading.Thread(target=self.later, args=(rid, arguments, cancel), daemon=True).start()

    def later(self, rid: Any, arguments: dict[str, Any], cancel: threading.Event) -> None:
        if not cancel.wait(arguments["ms"] / 1000):
            self.text(rid, arguments["text"])
        del self.cancels[rid]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger")
    parser.add_argument("--stubborn", action="store_true")
    options = parser.parse_args()
    if options.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Server("2025-06-18", options.ledger).serve()
    while options.stubborn:
        signal.pause()
    os._exit(0)  # a call that still waits must not hold the process


if __name__ == "__main__":
    main()
