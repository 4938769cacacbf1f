"""The graph of a corpus: entities, and the relations between them, with networkx.

An entity is found by its full name, by another name that it can be had by (`asyncio.gather`), or by the end
of its name where that is one entity's only (`copytree`). Above stand relating.py and the server
graph_query. Below is the index with its relations. It must never know what was asked.
"""

from __future__ import annotations

from collections import defaultdict
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import networkx as nx

from retrieval.record import Edge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from retrieval.index import Index

MOST_NEAR = 200
"""A neighbourhood is looked at up to so many entities."""


class UnknownEntityError(ValueError):
    """There is no entity of that name, or there are several."""


class Graph:
    """All entities and relations of an index."""

    def __init__(self, index: Index) -> None:
        self._graph: Any = nx.MultiDiGraph()
        self._aliases = index.aliases
        self._graph.add_nodes_from(record.name for record in index.records)
        self._graph.add_edges_from((one.subject, one.object, one.verb) for one in index.relations())
        self._ends: dict[str, list[str]] = defaultdict(list)
        for name in self._graph:
            for end in ends(name):
                self._ends[end.lower()].append(name)

    def __contains__(self, name: str) -> bool:
        return name in self._graph

    def __len__(self) -> int:
        return int(self._graph.number_of_nodes())

    def find(self, name: str) -> str:
        """Return the full name of the entity that is meant.

        Raises:
            UnknownEntityError: there is none, or there are several; the message names some.

        """
        exact = self._aliases.get(name, name)
        if exact in self._graph:
            return exact
        found = self.ending(name)
        found = [one for one in found if one.endswith(name)] or found  # so written, or else in any case
        if len(found) == 1:
            return found[0]
        if found:
            shown = ", ".join(found[:5]) + (" and others" if found[5:] else "")
            raise UnknownEntityError(f"{name!r} may be {shown}: give the full name of one")
        near = get_close_matches(name.lower(), self._ends, n=3, cutoff=0.7)
        hint = " or ".join(dict.fromkeys(self._ends[one][0] for one in near))
        raise UnknownEntityError(f"there is no entity {name!r}" + (f"; is it {hint}?" if hint else ""))

    def ending(self, name: str) -> list[str]:
        """Return all entities that are called so, or end so, in either case."""
        return self._ends.get(name.lower(), [])

    def edges(self, name: str) -> Iterator[Edge]:
        """Yield the relations of an entity; none for one that there is not."""
        if name in self._graph:
            for _, other, verb in self._graph.out_edges(name, keys=True):
                yield Edge(verb, True, other)  # noqa: FBT003  # outwards
            for other, _, verb in self._graph.in_edges(name, keys=True):
                yield Edge(verb, False, other)  # noqa: FBT003  # inwards

    def degree(self, name: str) -> int:
        """Return how many relations an entity has."""
        return int(self._graph.degree(name)) if name in self._graph else 0

    def path(self, start: str, end: str, longest: int) -> list[str]:
        """Return the entities on a shortest way, wherever relations point; nothing where it is longer."""
        try:
            way: list[str] = nx.shortest_path(self._graph.to_undirected(as_view=True), start, end)
        except nx.NetworkXNoPath:
            return []
        return way if len(way) - 1 <= longest else []

    def verbs(self, one: str, other: str) -> list[Edge]:
        """Return the relations between two entities, seen from the first."""
        return [edge for edge in self.edges(one) if edge.other == other]

    def around(self, names: Iterable[str]) -> dict[str, float]:
        """Return the entities near `names` with their ranks: PageRank that always starts there again."""
        near: list[str] = list(dict.fromkeys(name for name in names if name in self._graph))
        starts = dict.fromkeys(near, 1.0)
        seen = set(near)
        for name in near:  # grows while it is walked through: the nearest come first
            if len(near) >= MOST_NEAR:
                break
            for edge in self.edges(name):
                if edge.other not in seen and len(near) < MOST_NEAR:
                    seen.add(edge.other)
                    near.append(edge.other)
        if not starts:
            return {}
        view = self._graph.subgraph(near).to_undirected()
        ranks: dict[str, float] = nx.pagerank(nx.Graph(view), alpha=0.8, personalization=starts)
        return ranks


def ends(name: str) -> list[str]:
    """Return a name and all ends of it: `a.b.c`, `b.c`, `c`."""
    found = [name]
    while (name := name.partition(".")[2]) or not found:
        found.append(name)
    return found
