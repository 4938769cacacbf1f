"""A server of a workload over stdio: the simulator's own server, in real time, behind MCP.

    python -P labour.py --workload W4 --load 0.6 --server s0 --ledger FILE

Its tool `work(zero, nonce)` takes what the simulated server's call would take so many seconds after the
moment `zero` (seconds since 1970), calls that share its cores slowing each other down; another `zero` begins
anew. What part of its cores is in use it says beside each answer. Each call is written into the ledger before
it begins: a JSON line of its nonce.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

_SCRIPTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_SCRIPTS), str(_SCRIPTS.parent / "tests")]

from benchmarks.rig.blueprint import Blueprint, Labour  # noqa: E402  # servers get a bare environment
from benchmarks.rig.server import reply  # noqa: E402  # as above
from mcpweft_simulator.server import Server  # noqa: E402  # as above

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft_simulator.server import Answer

EVERY_S = 1.0  # as often as the simulated coordinator looks
TOOL = {
    "name": "work",
    "description": "Take a while.",
    "inputSchema": {
        "type": "object",
        "properties": {"zero": {"type": "number"}, "nonce": {"type": "string"}},
    },
    "annotations": {"readOnlyHint": True},
}


class WallClock:
    """What a simulated server asks of its clock, of the event loop."""

    def __init__(self, zero: float) -> None:
        self.zero = zero

    @property
    def now(self) -> float:
        """Seconds since zero."""
        return time.time() - self.zero

    def at(self, when: float, call: Callable[..., None], *args: Any) -> None:
        """Call at a moment."""
        self.after(when - self.now, call, *args)

    def after(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        """Call in so many seconds."""
        asyncio.get_running_loop().call_later(max(0.0, seconds), call, *args)


class Labourer:
    """One server."""

    def __init__(self, name: str, labour: Labour, ledger: Path) -> None:
        self._name = name
        self._labour = labour
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._load: float | None = None
        self._begin(0.0)

    def _begin(self, zero: float) -> None:
        clock: Any = WallClock(zero)
        self._zero = zero
        rng = random.Random(f"{self._name}.{zero}")  # noqa: S311  # how long calls take
        self._server = Server(self._name, clock, rng, self._labour.work, **self._labour.options)

    async def watch(self) -> None:
        """Look at its own load until cancelled."""
        while True:
            since = time.time() - self._zero
            await asyncio.sleep(EVERY_S)
            self._load = self._server.cpu(since)

    def call(self, rid: Any, arguments: dict[str, Any]) -> None:
        """Begin a call."""
        os.write(self._ledger, json.dumps({"nonce": arguments["nonce"]}).encode() + b"\n")
        if arguments["zero"] != self._zero:
            self._begin(arguments["zero"])

        def done(_: Answer) -> None:
            meta = {} if self._load is None else {"_meta": {"mcpweft/load": {"cpu": self._load}}}
            text = [{"type": "text", "text": arguments["nonce"]}]
            write({"id": rid, "result": {"content": text, "resultType": "complete", **meta}})

        self._server.begin(done)

    def answer(self, message: dict[str, Any]) -> None:
        """Answer one request, or begin to."""
        rid, method = message.get("id"), message.get("method")
        if rid is None or method is None:
            return
        if method == "tools/call":
            self.call(rid, message["params"]["arguments"])
        else:
            write({"id": rid, **reply(method, {}, TOOL)})


def write(message: dict[str, Any]) -> None:
    """Write one line."""
    sys.stdout.buffer.write(json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode() + b"\n")
    sys.stdout.buffer.flush()


async def serve(labourer: Labourer) -> None:
    """Serve until the input ends."""
    reader = asyncio.StreamReader(limit=2**22)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    watching = asyncio.create_task(labourer.watch())
    while line := await reader.readline():
        labourer.answer(json.loads(line))
    watching.cancel()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", required=True)
    parser.add_argument("--load", type=float, required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    asked = parser.parse_args()
    plan = Blueprint.of(asked.workload, asked.load)
    asyncio.run(serve(Labourer(asked.server, plan.labour[asked.server], asked.ledger)))


if __name__ == "__main__":
    main()
