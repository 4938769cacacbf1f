"""Which kind of search a question needs, and how urgent it looks. The one analyser, used wherever one is.

    explicit                                          the capability that the caller names
    asks for what is similar *and* for relations      hybrid_search
    asks for more than 10 results                     hybrid_search
    asks for what is similar, or alike in meaning     vector_search
    asks for relations between things                 graph_query
    anything else                                     hybrid_search: the best where nothing is known

Above stands the client, which may be given another analyser. Words are looked for in English, in the question
only: its context says what it is about, not what is asked. This module must never ask anybody anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from mcpweft.rag.query import Query

VECTOR, GRAPH, HYBRID = "vector_search", "graph_query", "hybrid_search"
MANY, LONG = 10, 500
_SHORT, _FEW, _STRICT = 50, 3, 0.8
_USUAL, _HIGHEST = 5, 10

SIMILARITY = (
    r"similar(?:ity|ly)?", r"resembl\w+", r"alike", r"akin to", r"close(?:st)? to", r"nearest",
    r"semantic(?:ally)?", r"in meaning", r"embeddings?", r"vectors?", r"something like", r"things like",
)  # fmt: skip
"""What asks for likeness, as patterns of whole words."""
RELATIONS = (
    r"relat(?:ed|es|ions?|ionships?)", r"connect(?:ed|s|ions?)", r"depend(?:s|ent|ents|ency|encies)?",
    r"imports", r"imported by", r"inherits?", r"inherited by", r"inheritance", r"subclass(?:es)?",
    r"superclass(?:es)?", r"base class(?:es)?", r"derived from", r"neighbou?rs?", r"linked (?:to|with|from)",
    r"path (?:from|between)", r"used by", r"who uses", r"hierarchy",
)  # fmt: skip
"""What asks for relations between things."""
_SIMILARITY = re.compile(rf"\b(?:{'|'.join(SIMILARITY)})\b", re.IGNORECASE)
_RELATIONS = re.compile(rf"\b(?:{'|'.join(RELATIONS)})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a question goes."""

    capability: str
    reason: str
    """In a few words, for people."""


Analyser: TypeAlias = Callable[["Query"], Choice]


def analyse(query: Query) -> Choice:
    """Return the capability that a question needs."""
    if query.capability is not None:
        return Choice(query.capability, "named by the caller")
    similar, relations = _SIMILARITY.search(query.text), _RELATIONS.search(query.text)
    if similar and relations:
        return Choice(HYBRID, f"asks for both: {similar[0]!r} and {relations[0]!r}")
    if query.max_results > MANY:
        return Choice(HYBRID, f"wants more than {MANY} results")
    if similar:
        return Choice(VECTOR, f"asks for what is alike: {similar[0]!r}")
    if relations:
        return Choice(GRAPH, f"asks for relations: {relations[0]!r}")
    return Choice(HYBRID, "asks for neither likeness nor relations")


def hint(query: Query) -> int:
    """Return the priority, 0 to 10, that a question's form suggests.

    5; under 50 characters 2 more, a threshold over 0.8 one more, 3 results or fewer one more; over 500
    characters one less, more than 10 results one less.
    """
    size = len(query.text)
    priority = _USUAL
    priority += 2 * (size < _SHORT) + (query.threshold > _STRICT) + (query.max_results <= _FEW)
    priority -= (size > LONG) + (query.max_results > MANY)
    return max(0, min(_HIGHEST, priority))
