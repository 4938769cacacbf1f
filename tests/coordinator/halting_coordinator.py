"""A coordinator that stops itself between its last look at its term and a move, and tells of each move.

    python tests/coordinator/halting_coordinator.py --at MOVE -- coordinator …

What stands behind `--` are mcpweft's own words. The first time that it is about to make MOVE (`want`,
`deal`, `reclaim` or another script's name) it stops with SIGSTOP; woken by SIGCONT, it goes on and sends it.
For every move that is answered it writes a line like those of its log:

    {"event": "move", "move": NAME, "argument": FIRST, "word": WORD, "woken": whether asked after the stop}

The first argument of all that a leader does for others is its epoch. The production code knows nothing of
this: the method at which all moves pass is wrapped here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, cast

from mcpweft.cli.main import main as mcpweft
from mcpweft_schemas.script import Script

if TYPE_CHECKING:
    from mcpweft_schemas.connect import Link


class Halt:
    """Stops the process at its point, once."""

    def __init__(self, point: str) -> None:
        self.point = point
        self.woken = False
        self._asked: set[asyncio.Task[Any]] = set()

    def arm(self) -> None:
        """Wrap what the coordinator calls."""
        run = Script.run

        async def told(script: Script, link: Link, key: str, *args: Any) -> Any:
            if script.name == self.point and not self.woken:
                os.kill(os.getpid(), signal.SIGSTOP)
                self.woken = True
            task = asyncio.create_task(self._ask(run(script, link, key, *args), script.name, args[:1]))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)
            # Whoever asked may have lost its patience while the process stood still; the answer counts.
            return await asyncio.shield(task)

        cast("Any", Script).run = told

    async def _ask(self, asked: Any, name: str, first: tuple[Any, ...]) -> Any:
        woken = self.woken
        answer = await asked
        line = {"event": "move", "move": name, "argument": first[0] if first else None, "woken": woken}
        word = answer[0] if isinstance(answer, list) and answer else answer
        line["word"] = word.decode(errors="replace") if isinstance(word, bytes) else None
        sys.stderr.write(json.dumps(line) + "\n")
        return answer


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--at", required=True)
    parser.add_argument("words", nargs="+")
    options = parser.parse_args()
    Halt(options.at).arm()
    return mcpweft(options.words)


if __name__ == "__main__":
    sys.exit(main())
