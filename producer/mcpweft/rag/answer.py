"""What a question gets: passages with their scores and sources, and how they were come by.

Above stands the client; below only what a server answered. A figure that nobody gave is None. This module
must never know how an answer travelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from mcpweft.rag.analyser import GRAPH, HYBRID, VECTOR
from mcpweft_schemas.errors import ToolError
from mcpweft_schemas.outcome import Executed

if TYPE_CHECKING:
    from mcpweft.rag.query import Query
    from mcpweft_schemas.outcome import Attempt

_SOURCES = {VECTOR: "vector", GRAPH: "graph", HYBRID: "hybrid"}


@dataclass(frozen=True, slots=True)
class Passage:
    """One thing that was found."""

    content: str
    score: float | None
    """Relevance, 0 to 1, as its server gives it."""
    source: str
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    relationships: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """How an answer was come by. Times are ms."""

    query_id: str
    """Of the request in the fabric; of nothing there, if the fallback answered."""
    server_id: str
    capability: str
    reason: str
    """Why that capability."""
    source: str | None
    """`vector`, `graph` or `hybrid`; None for other capabilities."""
    total_results: int
    processing_time: float
    """From the question to its answer here."""
    queued_ms: int | None = None
    service_ms: float | None = None
    attempts: tuple[Attempt, ...] = ()
    fallback: bool = False
    """Whether the fallback server answered, not the fabric."""
    fallback_reason: str = ""
    """Why, in the fabric's words."""
    cached: bool = False
    """Whether the answer is an earlier one, kept for its time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question gets: the best first."""

    results: tuple[Passage, ...]
    metadata: Origin


def source_of(capability: str) -> str | None:
    """Return the kind of search that a capability stands for."""
    return _SOURCES.get(capability)


def passages(data: Any, query: Query, whose: str) -> tuple[Passage, ...]:
    """Return what a server found: at most as many as were asked for, none under the threshold.

    `data` is the tool's value: `{"results": [{"content", "score", "source", "metadata", "relationships"}]}`,
    of which only `content` must be there. Raises ToolError for anything else.
    """
    found = cast("Mapping[str, Any]", data).get("results") if isinstance(data, Mapping) else None
    if not isinstance(found, Sequence) or isinstance(found, (str, bytes)):
        raise _strange(whose, "it has no list `results`")
    read = [_passage(each, whose) for each in found]
    kept = [each for each in read if each.score is None or each.score >= query.threshold]
    return tuple(kept[: query.max_results])


def _passage(raw: Any, whose: str) -> Passage:
    if not isinstance(raw, Mapping):
        raise _strange(whose, "one of its results is no object")
    each = cast("Mapping[str, Any]", raw)
    content, score = each.get("content"), each.get("score")
    if not isinstance(content, str):
        raise _strange(whose, "one of its results has no text as `content`")
    if isinstance(score, bool) or not isinstance(score, (int, float, type(None))):
        raise _strange(whose, f"one of its scores is {score!r}")
    metadata, relationships = each.get("metadata") or {}, each.get("relationships") or ()
    if not isinstance(metadata, Mapping):
        raise _strange(whose, "the `metadata` of one of its results is no object")
    if not isinstance(relationships, list | tuple) or not all(isinstance(r, Mapping) for r in relationships):
        raise _strange(whose, "the `relationships` of one of its results are no list of objects")
    return Passage(
        content=content,
        score=None if score is None else float(score),
        source=str(each.get("source") or ""),
        metadata=dict(metadata),
        relationships=tuple(relationships),
    )


def _strange(whose: str, why: str) -> ToolError:
    return ToolError(
        f"the answer of {whose} is no search result: {why}",
        advice="Name the tool that searches in `rag.tools`, or call it by `Client.call`, which takes any.",
        executed=Executed.YES,
    )
