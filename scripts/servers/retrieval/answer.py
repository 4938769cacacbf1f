"""What the three servers answer, and what they refuse.

`search` is the tool that all three have. Its answer is the same for the same corpus and question. Above
stand the servers. Below is the library. This module must never know MCP beyond the error that a tool
raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from retrieval.library import Library, Way
    from retrieval.record import Edge

Query = Annotated[
    str, Field(min_length=1, max_length=10_000, description="What is looked for, in plain words.")
]
MaxResults = Annotated[int, Field(ge=1, le=100, description="So many results at most.")]
Threshold = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Lower scores are left out: 0.7 is what nine of ten right answers reach, 0 takes all.",
    ),
]
Context = Annotated[
    str | None,
    Field(
        max_length=10_000, description="What the question is about; it raises what fits, and hides nothing."
    ),
]
CONTEXT = 0.3
"""How much a context can raise a score, as an exponent: 0.6 becomes 0.7, 0.9 becomes 0.93, and 0 stays."""
LONGEST = 2000
"""Characters of a record's content that are shown."""
MOST_RELATIONS = 20
"""Relations of a result that are shown."""


class Relationship(BaseModel):
    """One relation of a result."""

    relation: str = Field(description="contains, imports, inherits, calls or links.")
    direction: Literal["out", "in"] = Field(description="out: the result is its subject; in: its object.")
    entity: str = Field(description="The other end.")


class Result(BaseModel):
    """One record that was found."""

    content: str
    score: float = Field(description="0 to 1; 0.7 is what nine of ten right answers reach.")
    source: str = Field(description="File and line, seen from the corpus' folder.")
    metadata: dict[str, str] = Field(description="At least name and kind.")
    relationships: list[Relationship]


class Answer(BaseModel):
    """What a search found, the best first."""

    results: list[Result]
    total_results: int = Field(description="How many reach the threshold; `results` holds the first of them.")


def search(
    library: Library, way: Way, query: str, max_results: int, threshold: float, context: str | None
) -> Answer:
    """Search in one way.

    Raises:
        ToolError: the query is blank, or query or context hold a NUL character.

    """
    strengths = way.searcher.strengths(checked("query", query))
    scores = way.scale.scores(strengths)
    fitting = np.zeros_like(scores)
    if context is not None and context.strip():
        fitting = way.scale.scores(way.searcher.strengths(checked("context", context)))
    scores = np.round(scores ** (1 - CONTEXT * fitting), 4)
    order = np.lexsort((-strengths, -fitting, -scores))
    total = int((scores >= threshold).sum())
    chosen = [int(at) for at in order[: min(max_results, total)]]
    return Answer(results=[result(library, at, float(scores[at])) for at in chosen], total_results=total)


def result(library: Library, at: int, score: float) -> Result:
    """Return the record at a position as users see it."""
    record = library.index.records[at]
    content = record.content if len(record.content) <= LONGEST else f"{record.content[: LONGEST - 1]}…"
    metadata = {"name": record.name, "kind": record.kind, **record.metadata}
    related = relationships(library.index.edges(record.name, MOST_RELATIONS))
    return Result(
        content=content, score=score, source=record.source, metadata=metadata, relationships=related
    )


def relationships(edges: Iterable[Edge]) -> list[Relationship]:
    """Return edges as users see them."""
    return [
        Relationship(relation=edge.verb, direction="out" if edge.outwards else "in", entity=edge.other)
        for edge in edges
    ]


def checked(what: str, text: str) -> str:
    """Return a text that can be searched for.

    Raises:
        ToolError: it is blank, or it holds a NUL character.

    """
    if not text.strip():
        raise ToolError(f"{what} is blank: say in plain words what is looked for")
    if "\0" in text:
        raise ToolError(f"{what} holds a NUL character at position {text.index(chr(0))}: leave it out")
    return text
