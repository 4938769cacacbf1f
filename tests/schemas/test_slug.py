"""Any server name becomes a legal capability, no two the same, whatever their order."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft_schemas.slug import LEGAL, slug, slugs


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("github", "github"),
        ("my_server-2", "my_server-2"),
        ("GitHub", "github"),
        ("My Git.Server!", "my-git-server"),
        ("@scope/server-memory", "scope-server-memory"),
        ("Café Crème", "cafe-creme"),
        ("__x", "x"),
        ("search--gpu", "search-gpu"),
        ("x-", "x-"),
        ("x--", "x"),
        ("a" * 64, "a" * 64),
    ],
)
def test_a_name_becomes_its_slug(name: str, short: str) -> None:
    assert slug(name) == short


@pytest.mark.parametrize("name", ["", "-", "_ _", "搜索"])
def test_a_name_of_which_nothing_is_left_becomes_its_hash(name: str) -> None:
    assert re.fullmatch(r"server-[0-9a-f]{8}", slug(name))


def test_a_long_name_is_cut_and_keeps_its_difference() -> None:
    one, other = slug("a" * 70), slug("a" * 71)
    assert one != other
    assert len(one) == len(other) == 64


@given(st.text())
def test_every_slug_is_legal_and_its_own_slug(name: str) -> None:
    assert LEGAL.fullmatch(slug(name))
    assert "--" not in slug(name)
    assert slug(slug(name)) == slug(name)


@given(st.lists(st.text(alphabet="aAä -_1", max_size=4), unique=True), st.randoms())
def test_no_two_names_share_a_slug_and_order_does_not_matter(names: list[str], random: object) -> None:
    found = slugs(names)
    assert len(set(found.values())) == len(names)
    assert all(LEGAL.fullmatch(short) for short in found.values())
    assert slugs(sorted(names, reverse=True)) == found


def test_of_names_that_collide_the_legal_one_keeps_its_own() -> None:
    found = slugs(["GitHub", "github", "git.hub"])
    assert found["github"] == "github"
    assert found["GitHub"].startswith("github-")
    assert found["git.hub"] == "git-hub"


def test_a_name_that_looks_like_a_marked_slug_is_not_taken_from_its_owner() -> None:
    marked = slugs(["GitHub", "github"])["GitHub"]
    found = slugs(["GitHub", "github", marked])
    assert found[marked] == marked
    assert len(set(found.values())) == 3
