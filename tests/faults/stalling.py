"""An MCP server as a Python object, for a worker's own process: its tools can stall the event loop.

    app = "stalling:server"

`say(text, ms)` must not run twice, `ask(text, ms)` may; with `stall` they do not wait, they block until
there is a file `go`. Each writes down that it runs, in the file `ledger`, before it does anything. Both files
lie in the current folder. It must never know who calls it.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

from mcp.server import MCPServer
from mcp.types import ToolAnnotations

server = MCPServer("stalling")


async def _run(tool: str, text: str, ms: float, *, stall: bool) -> str:
    line = {"nonce": text, "tool": tool, "pid": os.getpid(), "time": time.time()}
    with Path("ledger").open("a", encoding="utf-8") as ledger:  # noqa: ASYNC230  # one line, on a local disk
        ledger.write(json.dumps(line) + "\n")
    if stall:
        while not Path("go").exists():  # noqa: ASYNC240  # the loop is to stand still
            time.sleep(0.01)  # noqa: ASYNC251  # which is the point of it
    else:
        await asyncio.sleep(ms / 1000)
    return text


@server.tool(structured_output=False)
async def say(text: str, ms: float, stall: bool = False) -> str:  # noqa: FBT001, FBT002  # a tool's argument
    return await _run("say", text, ms, stall=stall)


@server.tool(structured_output=False, annotations=ToolAnnotations(read_only_hint=True))
async def ask(text: str, ms: float, stall: bool = False) -> str:  # noqa: FBT001, FBT002  # a tool's argument
    return await _run("ask", text, ms, stall=stall)
