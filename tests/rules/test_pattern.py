"""Regular expressions of rules: what they find, what is refused, and that no text makes them slow."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpweft_schemas.rules.pattern import LARGEST, LONGEST, compiled

SLOW_ELSEWHERE = [
    (r"^(a+)+$", "a" * 50_000 + "b"),
    (r"(a|aa)+$", "a" * 50_000 + "b"),
    (r"(x+x+)+y", "x" * 50_000),
    (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 50_000),
    (r"(.*)(.*)(.*)(.*)(.*)b$", "a" * 50_000),
    (r"(?:a?){30}a{30}b", "a" * 50_000),
]
"""An expression that goes back over its text takes time beyond all bounds for these."""


@pytest.mark.parametrize(("expression", "text"), SLOW_ELSEWHERE)
def test_a_hostile_text_takes_no_time(expression: str, text: str) -> None:
    found = compiled(expression)
    began = time.process_time()
    assert not found(text)
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    "expression", [r"(?:.{1,200}a.{1,200}){3}b", r"((a{0,30}){0,30})b", r"(?:[ab].{0,12}[bc]){4}z"]
)
def test_an_expression_that_would_be_slow_on_every_text_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=f"Write a simpler expression.*more than {LARGEST}"):
        compiled(expression)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        (r"(?=a)", "RE2 knows: invalid perl operator"), (r"(a)\1", "RE2 knows: invalid escape sequence"),
        (r"(", r"RE2 knows: missing \)"), (r"a{2000}", "RE2 knows: invalid repetition size"),
        ("a" * (LONGEST + 1), f"at most {LONGEST} characters"), ("\ud800", "RE2 knows"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_in_linear_time_is_refused_in_words(expression: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        compiled(expression)


@pytest.mark.parametrize(
    ("expression", "text", "there"),
    [
        ("similar", "the most similar one", True), ("^similar", "the most similar one", False),
        (r"(?i)\bvector\b", "A VECTOR", True), (r"\bvector\b", "vectors", False), ("ä+", "xäää", True),
        ("", "", True), ("^$", "", True), ("a.c", "a\nc", False), ("x", "\ud800x", True),
    ],
)  # fmt: skip
def test_it_is_found_anywhere_in_the_text(expression: str, text: str, *, there: bool) -> None:
    assert compiled(expression)(text) is there


@settings(max_examples=200)
@given(st.text(alphabet="ab()[]{}|*+?.\\^$1,2", max_size=20), st.text(alphabet="ab\n", max_size=200))
def test_any_expression_is_refused_in_words_or_searches_any_text(expression: str, text: str) -> None:
    try:
        found = compiled(expression)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = "Write "
        assert found(text) in (True, False)
    assert refusal.startswith("Write ")
