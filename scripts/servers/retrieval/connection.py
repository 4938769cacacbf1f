"""What graph_query answers beside a search: neighbours, ways, and what matters around an entity.

Above stands that server. Below is the library's graph. This module must never know MCP beyond the error
that a tool raises.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

from retrieval.answer import Relationship, checked, relationships
from retrieval.graph import UnknownEntityError

if TYPE_CHECKING:
    from retrieval.library import Library


class Neighbours(BaseModel):
    """What an entity is related to."""

    entity: str = Field(description="The full name of who was meant.")
    relationships: list[Relationship]
    total_results: int = Field(description="How many there are; `relationships` holds the first of them.")


class Step(BaseModel):
    """One relation on a way."""

    subject: str
    relation: str
    object: str


class Path(BaseModel):
    """A way between two entities; empty where there is none that short."""

    entities: list[str]
    steps: list[Step]


class Ranked(BaseModel):
    """One entity of a subgraph."""

    entity: str
    score: float = Field(description="Its PageRank, over that of the first one beside who was asked for.")


class Subgraph(BaseModel):
    """What matters around an entity."""

    entities: list[Ranked]
    relations: list[Step]


def neighbours(
    library: Library, entity: str, relation: str | None, direction: str, max_results: int
) -> Neighbours:
    """List the relations of an entity, by how many relations the other ends have.

    Raises:
        ToolError: there is no such entity.

    """
    graph, name = library.graph, _found(library, entity)
    edges = [
        edge
        for edge in graph.edges(name)
        if relation in {None, edge.verb} and direction in {"both", "out" if edge.outwards else "in"}
    ]
    edges.sort(key=lambda edge: (-graph.degree(edge.other), edge.other))
    return Neighbours(entity=name, relationships=relationships(edges[:max_results]), total_results=len(edges))


def path(library: Library, start: str, end: str, longest: int) -> Path:
    """Find a shortest way.

    Raises:
        ToolError: there is no such entity.

    """
    way = library.graph.path(_found(library, start), _found(library, end), longest)
    steps = [step for one, other in pairwise(way) for step in _steps(library, one, other)[:1]]
    return Path(entities=way, steps=steps)


def subgraph(library: Library, entity: str, max_results: int) -> Subgraph:
    """Rank what lies around an entity.

    Raises:
        ToolError: there is no such entity.

    """
    name = _found(library, entity)
    ranks = library.graph.around([name])
    others = sorted((other for other in ranks if other != name), key=lambda other: (-ranks[other], other))
    highest = ranks[others[0]] if others else 1.0
    chosen = [name, *others[: max_results - 1]]
    ranked = [Ranked(entity=one, score=round(min(ranks[one] / highest, 1.0), 4)) for one in chosen]
    inside = set(chosen)
    relations = [
        Step(subject=one, relation=edge.verb, object=edge.other)
        for one in chosen
        for edge in library.graph.edges(one)
        if edge.outwards and edge.other in inside
    ]
    return Subgraph(entities=ranked, relations=relations)


def _steps(library: Library, one: str, other: str) -> list[Step]:
    return [
        Step(subject=one, relation=edge.verb, object=other)
        if edge.outwards
        else Step(subject=other, relation=edge.verb, object=one)
        for edge in library.graph.verbs(one, other)
    ]


def _found(library: Library, entity: str) -> str:
    try:
        return library.graph.find(checked("entity", entity).strip())
    except UnknownEntityError as exc:
        raise ToolError(str(exc)) from exc
