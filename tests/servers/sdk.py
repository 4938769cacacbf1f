"""An MCP server made with the SDK, over stdio, streamable HTTP or SSE: what real Python servers are like.

    python tests/servers/sdk.py stdio|http|sse [--port N]

Over HTTP it prints `port N` once it is about to listen.
"""

from __future__ import annotations

import argparse
import asyncio
import socket

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context  # noqa: TC002  # the SDK reads the annotation at run time

server = MCPServer("sdk")


@server.tool()
async def greet(name: str) -> str:
    return f"hello {name}"


@server.tool()
async def nap(ms: float, context: Context) -> str:
    await context.report_progress(1, 2)
    await asyncio.sleep(ms / 1000)
    return "rested"


@server.tool()
async def grow(context: Context) -> str:
    server.add_tool(greet, name="grown")
    await context.notify_tools_changed()
    return "ok"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    if options.kind == "stdio":
        server.run("stdio")
        return
    app = server.sse_app() if options.kind == "sse" else server.streamable_http_app()
    listener = socket.create_server(("127.0.0.1", options.port))
    print(f"port {listener.getsockname()[1]}", flush=True)  # noqa: T201  # how the test hears
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
