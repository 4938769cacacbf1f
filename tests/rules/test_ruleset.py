"""What rules decide: their order, the first or all of them, and every condition."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft_schemas.life import Class
from mcpweft_schemas.rules.rule import Rule
from mcpweft_schemas.rules.ruleset import NOTHING, Decision, Facts, Ruleset

if TYPE_CHECKING:
    from collections.abc import Sequence

CAPABILITIES = ("a", "b", "ab")
TENANTS = ("", "t", "u")


def rule(name: str = "r", **said: Any) -> Rule:
    return Rule.model_validate({"name": name, **said})


def fits(when: dict[str, Any], facts: Facts) -> bool:
    return Ruleset([rule(when=when)]).decide(facts).matched == ("r",)


# -- order ---------------------------------------------------------------------------------------------------

WHEN = st.fixed_dictionaries(
    {},
    optional={
        "capability": st.sampled_from(["a", "b", "a*", "*", ["a", "b"], "none"]),
        "tenant": st.sampled_from(["", "t", "?", "*"]),
        "priority": st.sampled_from(["high", ["low", 5], 9]),
    },
)
THEN = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "capability": st.sampled_from(["x", "y"]),
            "priority": st.sampled_from(["high", "low"]),
            "timeout": st.sampled_from([1, 2]),
            "max_attempts": st.integers(1, 3),
            "tags": st.sampled_from(["p", "q", ["p", "s"]]),
        },
    ),
    st.just({"reject": "no"}),
)
SAID = st.fixed_dictionaries({"priority": st.integers(-2, 2), "when": WHEN, "then": THEN})
RULES = st.lists(SAID, max_size=6).map(lambda all_: [rule(f"r{n}", **said) for n, said in enumerate(all_)])
FACTS = st.builds(
    Facts,
    capability=st.sampled_from(CAPABILITIES),
    klass=st.sampled_from(list(Class)),
    tenant=st.sampled_from(TENANTS),
)


def fitting(rules: Sequence[Rule], facts: Facts) -> list[Rule]:
    """Those that fit, each asked alone, in the order in which they are to be asked."""
    ordered = sorted(enumerate(rules), key=lambda pair: (-pair[1].priority, pair[0]))
    return [each for _, each in ordered if Ruleset([each]).decide(facts).matched]


@given(RULES, FACTS)
def test_the_first_that_fits_by_priority_and_then_as_written_decides_alone(
    rules: list[Rule], facts: Facts
) -> None:
    fitted = fitting(rules, facts)
    alone = Ruleset(fitted[:1]).decide(facts) if fitted else NOTHING
    assert Ruleset(rules).decide(facts) == alone


@given(RULES, FACTS)
def test_where_all_act_each_thing_is_as_it_was_said_first_and_tags_add_up(
    rules: list[Rule], facts: Facts
) -> None:
    decision = Ruleset(rules, match_all=True).decide(facts)
    heard: list[Rule] = []
    for each in fitting(rules, facts):
        heard.append(each)
        if each.then.reject:
            break
    assert decision.matched == tuple(each.name for each in heard)
    assert (decision.rejected is not None) is any(each.then.reject for each in heard)
    if decision.rejected is not None:
        assert decision.rejected.rule == heard[-1].name
        assert decision == Decision(rejected=decision.rejected, matched=decision.matched)
        return
    for key, value in (
        ("priority", decision.klass),
        ("capability", decision.capability),
        ("timeout", decision.timeout),
        ("max_attempts", decision.max_attempts),
    ):
        said = [getattr(each.then, key) for each in heard if getattr(each.then, key) is not None]
        assert value == (said[0] if said else None)
    assert set(decision.tags) == {tag for each in heard for tag in each.then.tags or ()}


@given(rules=RULES, facts=FACTS, place=st.integers(0, 6), said=SAID, match_all=st.booleans())
def test_a_rule_that_cannot_fit_changes_nothing(
    rules: list[Rule], facts: Facts, place: int, said: dict[str, Any], *, match_all: bool
) -> None:
    never = rule("never", **{**said, "when": {**said["when"], "capability": "nobody"}})
    more = [*rules[:place], never, *rules[place:]]
    assert Ruleset(more, match_all=match_all).decide(facts) == Ruleset(rules, match_all=match_all).decide(
        facts
    )


@given(WHEN, WHEN, FACTS)
def test_unless_takes_away_what_it_fits_and_nothing_else(
    when: dict[str, Any], unless: dict[str, Any], facts: Facts
) -> None:
    both = Ruleset([rule(when=when, unless=unless)]).decide(facts).matched == ("r",)
    assert both is (fits(when, facts) and not fits(unless, facts))


@given(st.lists(WHEN, min_size=1, max_size=3), FACTS)
def test_any_fits_where_one_of_its_tables_does(ways: list[dict[str, Any]], facts: Facts) -> None:
    assert fits({"any": ways}, facts) is any(fits(way, facts) for way in ways)


def test_where_nothing_fits_nothing_is_decided() -> None:
    rules = Ruleset([rule(when={"capability": "x"}, then={"timeout": 5})], version=3)
    decision = rules.decide(Facts("y"))
    assert decision is NOTHING
    assert rules.ruling(decision) is None


def test_a_rule_that_says_nothing_fits_all_and_stops_the_search() -> None:
    rules = Ruleset([rule("stop", priority=1), rule("later", then={"timeout": 5})], version=3)
    decision = rules.decide(Facts("x"))
    assert decision == Decision(matched=("stop",))
    ruling = rules.ruling(decision)
    assert ruling is not None
    assert ruling.write() == "3 stop"


def test_no_rule_sees_what_another_has_done() -> None:
    rules = Ruleset(
        [rule("move", priority=1, then={"capability": "b"}), rule("b", when={"capability": "b"})],
        match_all=True,
    )
    assert rules.decide(Facts("a")).matched == ("move",)
    assert rules.decide(Facts("b")).matched == ("move", "b")


def test_the_pool_is_the_capability_and_the_tags() -> None:
    both = Decision(capability="b", tags=("gpu",))
    assert (both.pool("a"), Decision(tags=("gpu",)).pool("a"), NOTHING.pool("a")) == ("b--gpu", "a--gpu", "a")


def test_a_set_says_whether_it_asks_for_tools() -> None:
    ways: list[dict[str, Any]] = [
        {"when": {"tool": "x"}},
        {"unless": {"tool": "x"}},
        {"when": {"any": [{"tool": "x"}]}},
    ]
    for asking in ways:
        assert Ruleset([rule(**asking)]).asks_tool
    assert not Ruleset([rule(when={"tenant": "x"})]).asks_tool


# -- conditions ----------------------------------------------------------------------------------------------

REQUEST = Facts(
    "search",
    "find",
    Class.HIGH,
    "acme",
    {"query": "find it", "n": 10, "deep": {"list": [1, "two"]}, "flag": True, "null": None, "empty": ""},
    {"origin": "batch"},
)


@pytest.mark.parametrize(
    ("when", "there"),
    [
        ({}, True),
        ({"capability": "search"}, True),
        ({"capability": ["x", "s*"]}, True),
        ({"capability": "sear"}, False),
        ({"tool": "f?nd"}, True),
        ({"tool": "[a-f]*"}, True),
        ({"tool": "FIND"}, False),
        ({"tenant": "acme"}, True),
        ({"tenant": ""}, False),
        ({"tenant": "*"}, True),
        ({"priority": "high"}, True),
        ({"priority": 8}, True),
        ({"priority": [0, "critical"]}, False),
        ({"arguments": {"/query": {"matches": "^find"}}}, True),
        ({"arguments": {"/query": {"matches": "^it"}}}, False),
        ({"arguments": {"/n": {"matches": "1"}}}, False),
        ({"arguments": {"/n": {"above": 9}}}, True),
        ({"arguments": {"/n": {"above": 10}}}, False),
        ({"arguments": {"/n": {"at_least": 10, "below": 10.5}}}, True),
        ({"arguments": {"/n": {"at_most": 9.5}}}, False),
        ({"arguments": {"/flag": {"at_least": 0}}}, False),
        ({"arguments": {"/query": {"above": 1}}}, False),
        ({"arguments": {"/query": {"longer_than": 6}}}, True),
        ({"arguments": {"/query": {"longer_than": 7}}}, False),
        ({"arguments": {"/deep/list": {"longer_than": 1, "shorter_than": 3}}}, True),
        ({"arguments": {"/deep": {"longer_than": 0}}}, True),
        ({"arguments": {"/n": {"longer_than": 0}}}, False),
        ({"arguments": {"": {"longer_than": 5}}}, True),
        ({"arguments": {"/deep/list/1": {"equals": "two"}}}, True),
        ({"arguments": {"/deep/list": {"equals": [1, "two"]}}}, True),
        ({"arguments": {"/deep": {"equals": {"list": [True, "two"]}}}}, False),
        ({"arguments": {"/flag": {"equals": True}}}, True),
        ({"arguments": {"/flag": {"equals": 1}}}, False),
        ({"arguments": {"/null": {"equals": None}}}, True),
        ({"arguments": {"/none": {"equals": None}}}, False),
        ({"arguments": {"/n": {"one_of": [1, 10]}}}, True),
        ({"arguments": {"/n": {"one_of": ["10"]}}}, False),
        ({"arguments": {"/null": {"exists": True}}}, True),
        ({"arguments": {"/none": {"exists": True}}}, False),
        ({"arguments": {"/none": {"exists": False}}}, True),
        ({"arguments": {"/n": {"exists": False}}}, False),
        ({"arguments": {"/none": {"exists": False, "above": 1}}}, False),
        ({"arguments": {"/none": {"shorter_than": 9}}}, False),
        ({"metadata": {"/origin": {"equals": "batch"}}}, True),
        ({"metadata": {"/n": {"exists": True}}}, False),
        ({"capability": "search", "tenant": "other"}, False),
        ({"tenant": "acme", "any": [{"tool": "x"}, {"priority": "high"}]}, True),
        ({"tenant": "acme", "any": [{"tool": "x"}, {"priority": "low"}]}, False),
    ],
)
def test_a_condition_is_true_or_false_of_a_request(when: dict[str, Any], *, there: bool) -> None:
    assert fits(when, REQUEST) is there


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=8,
)


@given(JSON, JSON)
def test_equals_is_to_be_the_same_json(value: Any, bound: Any) -> None:
    same = json.dumps(value, sort_keys=True) == json.dumps(bound, sort_keys=True)
    assert fits({"arguments": {"/x": {"equals": bound}}}, Facts("c", arguments={"x": value})) is same
    assert fits({"arguments": {"/x": {"one_of": [bound]}}}, Facts("c", arguments={"x": value})) is same


TESTS = st.fixed_dictionaries(
    {"exists": st.booleans()},
    optional={
        "equals": JSON,
        "above": st.floats(-2, 2),
        "at_most": st.integers(-2, 2),
        "longer_than": st.integers(0, 2),
        "matches": st.sampled_from(["a", "^$", "."]),
    },
)


@given(JSON, TESTS, st.sampled_from(["", "/a", "/a/0", "/a/b", "/b/a/0"]))
def test_any_arguments_are_judged_and_left_as_they_are(tree: Any, test: dict[str, Any], at: str) -> None:
    arguments = {"a": tree, "b": [tree]}
    before = json.dumps(arguments)
    rules = Ruleset([rule(when={"arguments": {at: test}, "metadata": {at: test}})])
    facts = Facts("c", arguments=arguments, metadata=arguments)
    assert rules.decide(facts) == rules.decide(facts)
    assert json.dumps(arguments) == before


@pytest.mark.parametrize("odd", [float("nan"), 10**400, b"bytes", object(), {1: 2}, {"a"}])
def test_what_is_no_json_breaks_nothing(odd: object) -> None:
    test = {"above": 1, "longer_than": 1, "matches": "a", "equals": 1, "one_of": [[1], {"a": 1}]}
    for key, bound in test.items():
        fits({"arguments": {"/x": {key: bound}, "/x/a": {"exists": False}}}, Facts("c", arguments={"x": odd}))
