"""An MCP server that knows how things hang together: entities, relations, and the ways between them.

    python scripts/servers/graph_query.py [--transport http --port N] [--corpus DIR] …

docs/rag.md says how a fabric runs it, and what its scores mean. All that it needs lies in retrieval/.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from mcp.server import MCPServer
from pydantic import Field

from retrieval import answer, connection, serving

server = MCPServer("graph_query", version="1")
opening = serving.Opening()

Entity = Annotated[
    str, Field(min_length=1, max_length=500, description="A name, such as json.dumps or ExitStack.")
]


@server.tool(annotations=serving.READS)
async def search(
    query: answer.Query,
    max_results: answer.MaxResults = 5,
    threshold: answer.Threshold = 0.7,
    context: answer.Context = None,
) -> answer.Answer:
    """Find what the query names, and what stands in the relation to it that the query asks for."""
    library = await opening.library()
    return await asyncio.to_thread(
        answer.search, library, library.relations, query, max_results, threshold, context
    )


@server.tool(annotations=serving.READS)
async def neighbours(
    entity: Entity,
    relation: Literal["contains", "imports", "inherits", "calls", "links"] | None = None,
    direction: Literal["out", "in", "both"] = "both",
    max_results: answer.MaxResults = 20,
) -> connection.Neighbours:
    """List what an entity is related to directly, the best connected first."""
    library = await opening.library()
    return await asyncio.to_thread(connection.neighbours, library, entity, relation, direction, max_results)


@server.tool(annotations=serving.READS)
async def path(
    start: Entity,
    end: Entity,
    longest: Annotated[int, Field(ge=1, le=20, description="So many steps at most.")] = 6,
) -> connection.Path:
    """Find a shortest way of relations between two entities."""
    library = await opening.library()
    return await asyncio.to_thread(connection.path, library, start, end, longest)


@server.tool(annotations=serving.READS)
async def subgraph(entity: Entity, max_results: answer.MaxResults = 10) -> connection.Subgraph:
    """Return the entities that matter most around one, by PageRank, and the relations among them."""
    library = await opening.library()
    return await asyncio.to_thread(connection.subgraph, library, entity, max_results)


if __name__ == "__main__":
    serving.serve(server, opening, serving.options(__doc__))
