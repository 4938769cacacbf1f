"""An MCP server that searches by words and by vectors, and fuses the ranks.

    python scripts/servers/hybrid_search.py [--transport http --port N] [--corpus DIR] …

docs/rag.md says how a fabric runs it, and what its scores mean. All that it needs lies in retrieval/.
"""

from __future__ import annotations

import asyncio

from mcp.server import MCPServer

from retrieval import answer, serving

server = MCPServer("hybrid_search", version="1")
opening = serving.Opening()


@server.tool(annotations=serving.READS)
async def search(
    query: answer.Query,
    max_results: answer.MaxResults = 5,
    threshold: answer.Threshold = 0.7,
    context: answer.Context = None,
) -> answer.Answer:
    """Find documents that have the query's words, or mean what it says; the best of both first."""
    library = await opening.library()
    return await asyncio.to_thread(
        answer.search, library, library.hybrid, query, max_results, threshold, context
    )


if __name__ == "__main__":
    serving.serve(server, opening, serving.options(__doc__))
