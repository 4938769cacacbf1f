"""Where a question goes, and how urgent it looks: by its form alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft.rag import GRAPH, HYBRID, VECTOR, Query, analyse, hint

PLAIN = "q" * 100


@pytest.mark.parametrize(
    ("text", "capability"),
    [
        ("functions similar to os.walk", VECTOR),
        ("Something like a priority queue", VECTOR),
        ("what is closest to a linked list in meaning", VECTOR),
        ("which modules are related to asyncio", GRAPH),
        ("subclasses of OSError", GRAPH),
        ("the path between json and re", GRAPH),
        ("what imports socket", GRAPH),
        ("modules similar to json and connected to it", HYBRID),
        ("how do I read a zip archive", HYBRID),
        ("what is the difference between a list and a tuple", HYBRID),
        ("dissimilarity", HYBRID),
    ],
)
def test_a_questions_words_say_which_search_it_needs(text: str, capability: str) -> None:
    assert analyse(Query(text)).capability == capability


def test_many_results_need_both_searches_whatever_the_words() -> None:
    assert analyse(Query("functions similar to os.walk", max_results=11)).capability == HYBRID
    assert analyse(Query("functions similar to os.walk", max_results=10)).capability == VECTOR


def test_what_a_caller_names_stands() -> None:
    choice = analyse(Query("functions similar to os.walk", max_results=11, capability="mine"))
    assert (choice.capability, choice.reason) == ("mine", "named by the caller")


def test_the_context_says_nothing_of_the_search() -> None:
    assert analyse(Query("how do I read it", context="similar functions, related modules")) == analyse(
        Query("how do I read it")
    )


def test_a_reason_quotes_what_decided() -> None:
    assert "'Similar'" in analyse(Query("Similar functions")).reason


@pytest.mark.parametrize(
    ("query", "priority"),
    [
        (Query(PLAIN), 5),
        (Query("short"), 7),
        (Query("s" * 49), 7),
        (Query("s" * 50), 5),
        (Query(PLAIN, threshold=0.81), 6),
        (Query(PLAIN, threshold=0.8), 5),
        (Query(PLAIN, max_results=3), 6),
        (Query(PLAIN, max_results=4), 5),
        (Query("l" * 501), 4),
        (Query("l" * 500), 5),
        (Query(PLAIN, max_results=11), 4),
        (Query(PLAIN, max_results=10), 5),
        (Query("short", threshold=0.9, max_results=1), 9),
        (Query("l" * 501, max_results=11), 3),
    ],
)
def test_a_questions_form_hints_at_its_priority(query: Query, priority: int) -> None:
    assert hint(query) == priority


@given(
    text=st.text(min_size=1),
    most=st.integers(1, 1000),
    least=st.floats(0, 1),
    capability=st.none() | st.text(),
)
def test_every_question_has_a_pool_and_a_lawful_priority(
    text: str, most: int, least: float, capability: str | None
) -> None:
    query = Query(text, max_results=most, threshold=least)
    assert analyse(query).capability in {VECTOR, GRAPH, HYBRID}
    assert 0 <= hint(query) <= 10
    named = replace(query, capability=capability)
    assert capability is None or analyse(named).capability == capability
