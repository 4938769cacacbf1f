"""Searches by relations: who is named in the question, and who is related to them as it asks.

A question that names an entity (`subclasses of threading.Thread`) is answered with those that are related
to it; a verb such as *inherits* or *imports* tells by which relation. Whatever words are left are looked
for in names and first sentences, and what they find shines on its neighbours. Above stand the servers.
Below are the graph and the index.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import numpy as np

from retrieval.words import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retrieval.graph import Graph
    from retrieval.index import Index
    from retrieval.record import Edge
    from retrieval.searcher import Strengths

ASKED = 0.95
"""What a neighbour by the relation that was asked for has of the strength of who was named."""
NEAR = 0.3
"""What any other neighbour has."""
NAMED = 0.9
"""What who was named keeps, where the question asks for others."""
SEEDS = 20
"""So many records shine on their neighbours."""
MOST_CALLED = 5
"""`the method run` names those methods where there are no more of them."""
IN_NAME = 0.3
"""How much of a record's strength is the part of its name that was asked for."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A relation that a question asks for: `outwards` from who is named, or towards them."""

    verb: str
    outwards: bool | None = None
    """None: either way."""

    def meets(self, edge: Edge) -> bool:
        """Whether a relation, seen from who is named, is of this kind."""
        return edge.verb == self.verb and self.outwards in {None, edge.outwards}


_WISHES: Sequence[tuple[re.Pattern[str], Wish]] = [
    (re.compile(pattern, re.IGNORECASE), Wish(verb, outwards))
    for pattern, verb, outwards in (
        (r"\b(base|parent|super) ?class|\bdoes\b.*\b(inherit|derive)|\bsubclass of\b", "inherits", True),
        (r"\bsubclass(es)?\b|\b(which|what|all)\b.*\b(inherit|derive|extend)", "inherits", False),
        (r"\bderived\b|\bthat (inherit|extend)|\bkinds? of\b", "inherits", False),
        (r"\bdoes\b.*\bimport|\bdepend(encies|s) of\b", "imports", True),
        (r"\b(which|what|who)\b.*\b(imports?|depends? on|uses?)\b", "imports", False),
        (r"\bdoes\b.*\bcalls?\b", "calls", True),
        (r"\b(which|what|who)\b.*\b(calls?|uses?)\b|\bcallers\b", "calls", False),
        (r"\b(methods|functions|classes|sections|parts)\b.*\b(of|in|have|has|contains?)\b", "contains", True),
        (r"\bcontains the\b|\bbelongs? to\b|\bpart of\b", "contains", False),
        (r"\blinks?\b|\brefers?\b", "links", None),
    )
]
"""What a question asks for, by the first that fits."""
_NAME = re.compile(r"[^\W\d](?:[\w./#-]*\w)?")
_CALLED = re.compile(r"\b(?:method|function|class|module|exception|package) ([^\W\d][\w.]*\w)")
_WISHING = frozenset(
    words(
        "base parent super class subclass inherit derive derives extend import depend use call caller method "
        "function module section contain belong link refer kind besides exceptions handlers relation related"
    )
)
"""Words that say what is asked for, not of whom."""


class Relating:
    """See `searcher.Searcher`."""

    def __init__(self, index: Index, graph: Graph) -> None:
        self._index = index
        self._graph = graph
        self._in_text: dict[str, set[int]] = defaultdict(set)
        self._in_name: dict[str, set[int]] = defaultdict(set)
        self._name_lengths = np.ones(len(index.records))
        for number, record in enumerate(index.records):
            name = set(words(record.title))
            self._name_lengths[number] = max(len(name), 1)
            for word in name:
                self._in_name[word].add(number)
            for word in name | set(words(record.summary)):
                self._in_text[word].add(number)

    def strengths(self, query: str) -> Strengths:
        """Return 1 for who is named, less for who is related to them or only has some of the words."""
        wish = next((wish for pattern, wish in _WISHES if pattern.search(query)), None)
        spans = self._named(query, wishing=wish is not None)
        named = list(dict.fromkeys(name for names in spans.values() for name in names))
        rest = query
        for start, end in sorted(spans, reverse=True):  # who is named is no word to look for
            rest = f"{rest[:start]} {rest[end:]}"
        found = self._by_words(rest, wishing=bool(wish and named))
        first = np.argsort(-found, kind="stable")[:SEEDS]
        shining = {self._index.records[at].name: float(found[at]) for at in first if found[at] > 0}
        strengths = dict(shining)
        for name, strength in {**shining, **dict.fromkeys(named, 1.0)}.items():
            for edge in self._graph.edges(name):
                asked = name in named and wish is not None and wish.meets(edge)
                passed = strength * (ASKED if asked else NEAR)
                strengths[edge.other] = max(strengths.get(edge.other, 0.0), passed)
        for name in named:
            strengths[name] = NAMED if wish else 1.0
        if named:
            self._rank(strengths, named)
        for name, strength in strengths.items():
            if (at := self._index.position.get(name)) is not None:
                found[at] = max(found[at], strength)
        return found

    def _named(self, query: str, *, wishing: bool) -> dict[tuple[int, int], list[str]]:
        """Return the entities that a question names for certain, by where it does."""
        found: dict[tuple[int, int], list[str]] = {}
        for match in _NAME.finditer(query):
            name = match[0]
            special = "." in name or "_" in name or not name.islower()
            if not special and not wishing:
                continue
            whole = self._index.aliases.get(name, name)
            if whole in self._graph and (special or self._graph.degree(whole)):
                found[match.span()] = [whole]
            elif special and match.start() > 0 and len(ending := self._graph.ending(name)) == 1:
                found[match.span()] = ending
        for match in _CALLED.finditer(query):
            ending = self._graph.ending(match[1])
            if len(ending) <= MOST_CALLED and not _WISHING.issuperset(words(match[1])):
                found.setdefault(match.span(1), ending)
        return {span: names for span, names in found.items() if names}

    def _by_words(self, query: str, *, wishing: bool) -> Strengths:
        """Return which part of the question's words records have, rare words counting more."""
        total = len(self._index.records)
        asked = {word for word in words(query) if not (wishing and word in _WISHING)}
        weights = {word: log((total + 1) / (len(self._in_text.get(word, ())) + 0.5)) for word in asked}
        found = np.zeros(total)
        in_name = np.zeros(total)
        for word, weight in weights.items():
            found[list(self._in_text.get(word, ()))] += weight
            in_name[list(self._in_name.get(word, ()))] += 1
        found /= max(sum(weights.values()), 1e-9)
        return found * (1 - IN_NAME + IN_NAME * in_name / self._name_lengths)

    def _rank(self, strengths: dict[str, float], starts: list[str]) -> None:
        """Tell equal strengths apart by how near the entities are to all that was found."""
        ranks = self._graph.around(starts)
        highest = max(ranks.values(), default=1.0)
        for name in strengths:
            strengths[name] *= 0.98 + 0.02 * ranks.get(name, 0.0) / highest
