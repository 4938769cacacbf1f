"""JSON Pointer, as RFC 6901 has it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft_schemas.rules.pointer import MISSING, look, parse

EXAMPLE: dict[str, Any] = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7,
    "m~n": 8,
}  # fmt: skip
"""The document of section 5."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", EXAMPLE), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2),
        ("/e^f", 3), ("/g|h", 4), ("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8),
    ],
)  # fmt: skip
def test_the_examples_of_the_standard_are_found(text: str, value: Any) -> None:
    assert look(EXAMPLE, parse(text)) == value


@pytest.mark.parametrize(
    "text",
    [
        "/foo/2", "/foo/-", "/foo/00", "/foo/01", "/foo/-1", "/foo/+1", "/foo/1.0", "/foo/bar", "/none",
        "/foo/0/x", "/c%25d", "/foo/" + "9" * 5000, "/foo/\u0661",
    ],
)  # fmt: skip
def test_what_is_not_there_is_missing(text: str) -> None:
    assert look(EXAMPLE, parse(text)) is MISSING


@pytest.mark.parametrize("text", ["foo", "foo/bar", "/a~", "/a~2b", "~", "#/foo"])
def test_what_is_no_pointer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Write .* as a JSON Pointer"):
        parse(text)


def test_null_is_there() -> None:
    assert look({"a": None}, parse("/a")) is None


def places(tree: Any, above: str = "") -> list[tuple[str, Any]]:
    """Every place of a tree, as it is written, and what stands there."""
    inner = list(enumerate(tree)) if isinstance(tree, list) else []
    inner = list(tree.items()) if isinstance(tree, dict) else inner
    found = [(above, tree)]
    for name, value in inner:
        found += places(value, f"{above}/{str(name).replace('~', '~0').replace('/', '~1')}")
    return found


@given(JSON)
def test_every_place_of_any_tree_is_found_by_its_pointer(tree: Any) -> None:
    for text, value in places(tree):
        assert look(tree, parse(text)) is value


@given(JSON, st.text(alphabet="/~01-ab", max_size=8))
def test_any_text_finds_something_or_nothing_and_never_breaks(tree: Any, text: str) -> None:
    try:
        pointer = parse(text)
    except ValueError:
        return
    look(tree, pointer)
