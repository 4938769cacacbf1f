"""Bare MCP clients under orders: what calls cost without a fabric.

    python -P -m benchmarks.rig.bare N COMMAND…

N clients of the SDK, each with a server process of its own. A call goes to a client that has none
outstanding. With one client, all calls go to it.
"""

from __future__ import annotations

import sys
from collections import deque
from contextlib import AsyncExitStack

from mcp import Client, StdioServerParameters, stdio_client

from benchmarks.rig.load import PAYLOAD, loads, obey, run


class Bare:
    """The clients."""

    def __init__(self, clients: list[Client]) -> None:
        self._clients = clients
        self._free = deque(clients)

    async def call(self) -> None:
        """Make one call."""
        if len(self._clients) == 1:
            await self._clients[0].call_tool("echo", PAYLOAD)
            return
        client = self._free.popleft()  # empty where more calls than clients are in flight: a mistake
        try:
            await client.call_tool("echo", PAYLOAD)
        finally:
            self._free.append(client)


async def main(clients: int, command: list[str]) -> None:
    """Obey until the input ends."""
    parameters = StdioServerParameters(command=command[0], args=command[1:])
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(Client(stdio_client(parameters))) for _ in range(clients)]
        for client in opened:
            await client.list_tools()  # the first call would do it behind its result
        await obey(loads(Bare(opened).call))


if __name__ == "__main__":
    run(main(int(sys.argv[1]), sys.argv[2:]))
