"""Bare MCP clients under orders: what calls cost without a fabric.

    python -P -m benchmarks.rig.bare N COMMAND…

N clients of the SDK, each with a server process of its own. A call goes to a client that has none
outstanding. With one client, all calls go to it.
"""

from __future__ import annotations

import sys
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from mcp import Client, StdioServerParameters, stdio_client

from benchmarks.rig.load import PAYLOAD, loads, obey, run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence


class Bare:
    """The clients."""

    def __init__(self, clients: list[Client]) -> None:
        self._clients = clients
        self._free = deque(clients)

    async def call(self, tool: str = "echo", arguments: dict[str, Any] = PAYLOAD) -> Any:
        """Make one call; return its result, as the SDK has it."""
        if len(self._clients) == 1:
            return await self._clients[0].call_tool(tool, arguments)
        client = self._free.popleft()  # empty where more calls than clients are in flight: a mistake
        try:
            return await client.call_tool(tool, arguments)
        finally:
            self._free.append(client)


@asynccontextmanager
async def opened(commands: Sequence[Sequence[str]]) -> AsyncGenerator[Bare]:
    """Have a client for each of these commands."""
    async with AsyncExitStack() as stack:
        clients: list[Client] = []
        for program, *words in commands:
            transport = stdio_client(StdioServerParameters(command=program, args=words))
            clients.append(await stack.enter_async_context(Client(transport)))
        for client in clients:
            await client.list_tools()  # the first call would do it behind its result
        yield Bare(clients)


async def main(clients: int, command: list[str]) -> None:
    """Obey until the input ends."""
    async with opened([command] * clients) as bare:
        await obey(loads(bare.call))


if __name__ == "__main__":
    run(main(int(sys.argv[1]), sys.argv[2:]))
