"""From words to a tool's arguments."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft.cli.argument import read_arguments
from mcpweft.cli.exits import UsageError
from mcpweft.cli.main import _with_json_settled

KEYS = st.text(st.characters(exclude_characters="=:", codec="utf-8"), min_size=1)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_every_json_value_can_be_written_as_a_pair(arguments: dict[str, Any]) -> None:
    assert (
        read_arguments([f"{key}:={json.dumps(value)}" for key, value in arguments.items()], None) == arguments
    )
    assert (
        read_arguments([f"{key}={json.dumps(value)}" for key, value in arguments.items()], None) == arguments
    )


@given(KEYS, st.text())
def test_what_is_no_json_is_the_text_as_written(key: str, text: str) -> None:
    (value,) = read_arguments([f"{key}={text}"], None).values()
    assert value == text or value == json.loads(text)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "nan", "{", "[1", "01", "1 2"])
def test_what_only_looks_like_json_is_text(text: str) -> None:
    assert read_arguments([f"a={text}"], None) == {"a": text}


def test_a_pair_goes_over_the_whole() -> None:
    assert read_arguments(["a=1"], '{"a": 2, "b": 3}') == {"a": 1, "b": 3}


@pytest.mark.parametrize("pair", ["", "=", "=1", ":=1", "word"])
def test_a_word_that_is_no_pair_is_refused(pair: str) -> None:
    with pytest.raises(UsageError):
        read_arguments([pair], None)


@pytest.mark.parametrize(
    ("words", "settled"),
    [
        (["call", "a.b", "--json"], ["call", "a.b", "--json="]),
        (["call", "a.b", "--json", "k=v"], ["call", "a.b", "--json=", "k=v"]),
        (["call", "a.b", "--json", '{"a": 1}'], ["call", "a.b", '--json={"a": 1}']),
        (["submit", "a.b", "--json", "-"], ["submit", "a.b", "--json=-"]),
        (["call", "a.b", "--json", "@f"], ["call", "a.b", "--json=@f"]),
        (["call", "a.b", "--json", "--timeout", "3s"], ["call", "a.b", "--json=", "--timeout", "3s"]),
        (["call", "--", "--json", "x"], ["call", "--", "--json", "x"]),
        (["tools", "--json", "x"], ["tools", "--json", "x"]),
    ],
)
def test_json_binds_a_value_that_can_be_arguments_only(words: list[str], settled: list[str]) -> None:
    assert _with_json_settled(words) == settled
