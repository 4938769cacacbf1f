"""A worker that kills itself at a named point, with a safe and an unsafe request in its hands.

    python tests/faults/dying_worker.py --at POINT --ledger FILE [--each] -- worker …

What stands behind `--` are mcpweft's own words. The points:

    fetched     it has fetched them and not called
    calling     the server has written them down and has not answered
    answered    the answers are there and nothing was settled
    settled     the settle was carried out, and its answer is not read

The production code knows nothing of this: the methods at which the points lie are wrapped here. Only
requests whose arguments hold `_die` count. With `--each` one of them is enough: it kills every such worker
that it meets.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from mcpweft.cli.main import main as mcpweft
from mcpweft_schemas.store import Store
from mcpweft_workers.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcpweft_schemas.wire import Settlement
    from mcpweft_schemas.word import Word
    from mcpweft_workers.tool import Answer

POINTS = ("fetched", "calling", "answered", "settled")


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit  # the signal is there before the next step


class Death:
    """Counts the requests that have come to the point; the last one kills."""

    def __init__(self, point: str, ledger: Path, wanted: int) -> None:
        self.point = point
        self._ledger = ledger
        self._wanted = wanted
        self._all = asyncio.Event()
        self._nonces: set[bytes] = set()
        self._settled: set[bytes] = set()

    def arm(self) -> None:
        """Wrap what the worker calls."""
        call, settle = Session.call, Store.settle

        async def marked_call(session: Session, tool: str, arguments: dict[str, Any], **more: Any) -> Answer:
            if not arguments.get("_die"):
                return await call(session, tool, arguments, **more)
            return await self._call(lambda: call(session, tool, arguments, **more), arguments["_nonce"])

        async def marked_settle(
            store: Store, capability: str, instance: str, items: Sequence[Settlement]
        ) -> tuple[Word, ...]:
            words = await settle(store, capability, instance, items)
            self._settled |= {nonce for nonce in self._nonces for item in items if nonce in item.body}
            if self.point == "settled" and len(self._settled) == self._wanted:
                die()
            return words

        cast("Any", Session).call = marked_call
        cast("Any", Store).settle = marked_settle

    async def _call(self, call: Any, nonce: str) -> Answer:
        if self.point == "fetched":
            await self._arrive(nonce)
        answering = asyncio.ensure_future(call())
        if self.point == "calling":
            while not self._written(nonce):  # noqa: ASYNC110  # the server's file is all there is to look at
                await asyncio.sleep(0.002)
            await self._arrive(nonce)
        answer: Answer = await answering
        await self._arrive(nonce)
        return answer

    def _written(self, nonce: str) -> bool:
        if not self._ledger.exists():
            return False
        return any(json.loads(line)["nonce"] == nonce for line in self._ledger.read_text().splitlines())

    async def _arrive(self, nonce: str) -> None:
        """Wait until all have come here; then die, or (to settle them together) go on together."""
        self._nonces.add(nonce.encode())
        if len(self._nonces) < self._wanted:
            await self._all.wait()
            return
        if self.point != "settled":
            die()
        self._all.set()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--at", choices=POINTS, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--each", action="store_true")
    parser.add_argument("words", nargs="+")
    options = parser.parse_args()
    Death(options.at, options.ledger, 1 if options.each else 2).arm()
    return mcpweft(options.words)


if __name__ == "__main__":
    sys.exit(main())
