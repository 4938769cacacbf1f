"""Entities, relations and ways between them, and questions that ask for a relation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mcp.server.mcpserver.exceptions import ToolError

from retrieval import connection
from retrieval.answer import search

if TYPE_CHECKING:
    from retrieval.library import Library


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("which classes inherit from boat.hull.Hull", "boat.rig.Mast"),
        ("base class of boat.rig.Mast", "boat.hull.Hull"),
        ("which classes derive from threading.Thread", "boat.rig.Winch"),
        ("which modules import json", "boat.hull"),
        ("what does boat.rig import", "boat.hull"),
        ("what calls boat.hull.float_on", "boat.rig.Mast.raise_sail"),
        ("what does boat.rig.Mast.raise_sail call", "boat.hull.float_on"),
        ("methods of boat.hull.Hull", "boat.hull.Hull.steer"),
        ("which class contains the method steer", "boat.hull.Hull"),
        ("what does guide.md#knots link to", "notes/weather.md"),
    ],
)
def test_a_question_for_a_relation_is_answered_with_who_stands_in_it(
    question: str, answer: str, sailing: Library
) -> None:
    found = search(sailing, sailing.relations, question, 2, 0.7, None).results
    assert answer in [result.metadata["name"] for result in found]


def test_an_entity_is_found_by_its_full_name_another_name_or_an_end_that_is_its_own(sailing: Library) -> None:
    find = sailing.graph.find
    assert find("boat.rig.Mast") == find("boat.Pole") == find("Mast") == find("mast") == "boat.rig.Mast"
    assert find("threading.Thread") == "threading.Thread"


def test_an_entity_that_is_unknown_or_several_is_refused_with_names_near_it(sailing: Library) -> None:
    with pytest.raises(ToolError, match=r"there is no entity 'Mastt'; is it .*boat\.rig\.Mast"):
        connection.neighbours(sailing, "Mastt", None, "both", 5)
    with pytest.raises(ToolError, match=r"there is no entity 'zzzzzz'$"):
        connection.path(sailing, "Mast", "zzzzzz", 5)
    with pytest.raises(ToolError, match="entity is blank"):
        connection.subgraph(sailing, " ", 5)


def test_neighbours_can_be_asked_for_by_relation_and_direction(sailing: Library) -> None:
    def told(relation: str | None, direction: str) -> set[tuple[str, str, str]]:
        found = connection.neighbours(sailing, "Hull", relation, direction, 20)
        assert (found.entity, found.total_results) == ("boat.hull.Hull", len(found.relationships))
        return {(one.relation, one.direction, one.entity) for one in found.relationships}

    assert told("inherits", "in") == {("inherits", "in", "boat.rig.Mast")}
    assert told("inherits", "out") == set()
    assert told(None, "out") == {("contains", "out", "boat.hull.Hull.steer")}
    assert told(None, "both") >= told(None, "in") | told(None, "out")
    first = connection.neighbours(sailing, "Hull", None, "both", 1)
    assert (len(first.relationships), first.total_results) == (1, 3)


def test_a_path_names_each_relation_on_the_way(sailing: Library) -> None:
    found = connection.path(sailing, "boat.rig.Mast", "json.dumps", 6)
    assert found.entities == ["boat.rig.Mast", "boat.hull.Hull", "boat.hull.Hull.steer", "json.dumps"]
    assert [(step.subject, step.relation, step.object) for step in found.steps] == [
        ("boat.rig.Mast", "inherits", "boat.hull.Hull"),
        ("boat.hull.Hull", "contains", "boat.hull.Hull.steer"),
        ("boat.hull.Hull.steer", "calls", "json.dumps"),
    ]
    assert connection.path(sailing, "boat.rig.Mast", "json.dumps", 2).entities == []
    assert connection.path(sailing, "boat.rig.Mast", "notes/engine.txt", 20).entities == []


def test_a_subgraph_is_ranked_and_holds_the_relations_among_its_entities(sailing: Library) -> None:
    found = connection.subgraph(sailing, "Hull", 5)
    assert found.entities[0].entity == "boat.hull.Hull"
    assert len(found.entities) == 5
    scores = [one.score for one in found.entities[1:]]
    assert scores == sorted(scores, reverse=True)
    inside = {one.entity for one in found.entities}
    assert "boat.rig.Mast" in inside
    assert {step.subject for step in found.relations} | {step.object for step in found.relations} <= inside
    assert connection.subgraph(sailing, "Hull", 1).relations == []
