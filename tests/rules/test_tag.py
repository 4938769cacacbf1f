"""The pools that tags make of a capability."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft_schemas.config import Config
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_schemas.keys import NAME
from mcpweft_schemas.rules.document import checked
from mcpweft_schemas.rules.tag import LEGAL, MOST, pools, tagged, untagged

TAG = st.from_regex(LEGAL, fullmatch=True)
CAPABILITY = st.from_regex(r"[a-z0-9](?:[a-z0-9_]|-[a-z0-9_])*", fullmatch=True).filter(lambda n: len(n) < 13)
TAGS = st.sets(TAG, max_size=MOST)


def named(**server: Any) -> tuple[str, ...]:
    """The pools that a server serves."""
    return Config.model_validate({"servers": {"a": {"command": "x", **server}}}).servers["a"].capabilities


@given(CAPABILITY, TAGS, TAGS)
def test_a_server_serves_a_pool_just_where_it_carries_all_tags_of_it(
    capability: str, carried: set[str], asked: set[str]
) -> None:
    assert (tagged(capability, asked) in pools(capability, carried)) is (asked <= carried)


@given(CAPABILITY, TAGS, TAGS)
def test_tags_may_be_added_to_those_that_a_pool_is_named_by(
    capability: str, some: set[str], more: set[str]
) -> None:
    assert tagged(tagged(capability, some), more) == tagged(capability, some | more)


def test_no_server_serves_by_its_name_what_only_tags_say() -> None:
    config = Config.model_validate({"servers": {"search--gpu": {"command": "x"}}})
    assert config.servers["search--gpu"].capabilities == ("search-gpu",)


@given(CAPABILITY, TAGS)
def test_the_name_of_a_pool_is_legal_and_tells_what_it_was_made_of(capability: str, tags: set[str]) -> None:
    name = tagged(capability, tags)
    assert NAME.fullmatch(name)
    assert untagged(name) == (capability, tuple(sorted(tags)))


def test_a_server_with_tags_serves_its_capabilities_and_a_pool_for_each_set_of_tags() -> None:
    assert named(capabilities=["search"], tags=["gpu", "eu"]) == (
        "search", "search--eu", "search--gpu", "search--eu-gpu",
    )  # fmt: skip
    assert named(tags=["gpu"]) == ("a", "a--gpu")
    assert named(capabilities=["b", "c"]) == ("b", "c")


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ({"tags": ["a-b"]}, "1 to 16 of a-z, 0-9 and _"), ({"tags": [""]}, "1 to 16"),
        ({"tags": ["a", "b", "c", "d"]}, "at most 3 items"),
        ({"capabilities": ["search--gpu"]}, "without --, which stands before tags"),
        ({"capabilities": ["s" * 60], "tags": ["gpu"]}, "64 characters are the most"),
        ({"capabilities": ["s"], "tags": ["a", "b"], "max_in_flight": 3}, "below the number of its pools"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_refused(server: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        named(**server)


def test_a_limit_is_divided_among_all_the_pools_of_a_server() -> None:
    one = {"command": "x", "capabilities": ["s"], "tags": ["a", "b"], "max_in_flight": 8}
    server = Config.model_validate({"servers": {"a": one}}).servers["a"]
    assert server.limit.most == 2


def test_tags_of_rules_are_checked_as_those_of_servers() -> None:
    with pytest.raises(InvalidConfigError, match="1 to 16 of a-z"):
        checked({"rules": [{"name": "x", "then": {"tags": ["A-B"]}}]}, "here")
