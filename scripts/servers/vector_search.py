"""An MCP server that finds what a question means, by vectors: TF-IDF weights, decomposed, and their cosines.

    python scripts/servers/vector_search.py [--transport http --port N] [--corpus DIR] …

docs/rag.md says how a fabric runs it, and what its scores mean. All that it needs lies in retrieval/.
"""

from __future__ import annotations

import asyncio

from mcp.server import MCPServer

from retrieval import answer, serving

server = MCPServer("vector_search", version="1")
opening = serving.Opening()


@server.tool(annotations=serving.READS)
async def search(
    query: answer.Query,
    max_results: answer.MaxResults = 5,
    threshold: answer.Threshold = 0.7,
    context: answer.Context = None,
) -> answer.Answer:
    """Find documents that mean what the query says, in other words perhaps."""
    library = await opening.library()
    return await asyncio.to_thread(
        answer.search, library, library.vector, query, max_results, threshold, context
    )


if __name__ == "__main__":
    serving.serve(server, opening, serving.options(__doc__))
