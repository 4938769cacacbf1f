"""Questions in words to the fabric's search servers, with one MCP server to fall back on.

    from mcpweft.rag import RagClient

    async with RagClient() as rag:
        answer = await rag.query("Which module reads zip archives?")
        for passage in answer.results:
            print(passage.score, passage.source, passage.content)

It needs `pip install "mcpweft[rag]"`. The names here are all that users import.
"""

from mcpweft.rag.analyser import GRAPH, HYBRID, VECTOR, Choice, analyse, hint
from mcpweft.rag.answer import Answer, Origin, Passage
from mcpweft.rag.client import RagClient
from mcpweft.rag.query import Query
from mcpweft.rag.settings import RagSettings
from mcpweft.rag.sync import SyncRagClient

__all__ = [
    "GRAPH",
    "HYBRID",
    "VECTOR",
    "Answer",
    "Choice",
    "Origin",
    "Passage",
    "Query",
    "RagClient",
    "RagSettings",
    "SyncRagClient",
    "analyse",
    "hint",
]
