"""The right answers: each question asked of the same server directly, with the MCP SDK and no fabric."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

from mcp import Client, StdioServerParameters, stdio_client

if TYPE_CHECKING:
    from plan import Server


def question(capability: str, tool: str, arguments: dict[str, Any]) -> str:
    """Return a question as a text that two askers write alike."""
    return json.dumps([capability, tool, arguments], sort_keys=True)


async def _answers(server: Server, wanted: list[dict[str, Any]]) -> dict[str, str]:
    with open(os.devnull, "w") as silence:  # noqa: ASYNC230, PTH123  # what the server says beside is not needed
        parameters = StdioServerParameters(command=server.command[0], args=list(server.command[1:]))
        async with Client(stdio_client(parameters, errlog=silence)) as client:
            await client.list_tools()
            gate = asyncio.Semaphore(8)

            async def one(call: dict[str, Any]) -> tuple[str, str]:
                async with gate:
                    answer = await client.call_tool(call["tool"], call["arguments"])
                text = "\n".join(getattr(block, "text", "") for block in answer.content)
                return question(server.name, call["tool"], call["arguments"]), text

            return dict(await asyncio.gather(*(one(call) for call in wanted)))


async def ask_directly(pool: list[Server], calls: list[dict[str, Any]]) -> dict[str, str]:
    """Return question → text for every question that the calls ask."""
    truth: dict[str, str] = {}
    for server in pool:
        once = {
            question(server.name, call["tool"], call["arguments"]): call
            for call in calls
            if call["capability"] == server.name
        }
        truth |= await _answers(server, list(once.values()))
    return truth
