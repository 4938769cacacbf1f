"""A wrong rule is refused in words that name the rule, the key and what to write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft_schemas.config import load_config
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_schemas.life import Class
from mcpweft_schemas.rules.document import checked, read_rules
from mcpweft_schemas.rules.rule import MOST, Match
from mcpweft_schemas.rules.ruleset import Facts
from mcpweft_schemas.rules.starter import STARTER

if TYPE_CHECKING:
    from pathlib import Path


def refused(*rules: Any, **more: Any) -> str:
    with pytest.raises(InvalidConfigError) as caught:
        checked({"rules": list(rules), **more}, "rules.json")
    return str(caught.value)


@pytest.mark.parametrize(
    ("rule", "key", "advice"),
    [
        ({"whem": {}}, "rules[0].whem is no known key", "Did you mean rules[0].when?"),
        (
            {"when": {"tenent": "x"}},
            "rules[0].when.tenent is no known key",
            "Did you mean rules[0].when.tenant?",
        ),
        (
            {"when": {"any": [{"tols": "x"}]}},
            "rules[0].when.any[0].tols",
            "Did you mean rules[0].when.any[0].tool?",
        ),
        (
            {"when": {"arguments": {"/q": {"longer": 1}}}},
            'rules[0].when.arguments."/q".longer',
            "longer_than?",
        ),
        ({"when": {"arguments": {"q": {"exists": True}}}}, "rules[0].when.arguments", "as a JSON Pointer"),
        (
            {"when": {"arguments": {"/q": {}}}},
            'rules[0].when.arguments."/q"',
            "Write what must be true there",
        ),
        ({"when": {"arguments": {"/q": {"above": None}}}}, '"/q"', "Write what must be true there"),
        ({"when": {"arguments": {"/q": {"above": "5"}}}}, '"/q".above is "5"', "Write a number"),
        ({"when": {"arguments": {"/q": {"above": True}}}}, '"/q".above is true', "Write a number"),
        ({"when": {"arguments": {"/q": {"longer_than": -1}}}}, '"/q".longer_than is -1', "Write 0 or more"),
        ({"when": {"arguments": {"/q": {"exists": "yes"}}}}, '"/q".exists is "yes"', "Write true or false"),
        (
            {"when": {"arguments": {"/q": {"matches": "(?=a)"}}}},
            '"/q".matches',
            "an expression that RE2 knows",
        ),
        ({"when": {"priority": 11}}, "rules[0].when.priority", "Write 0 to 10, or one of critical"),
        ({"when": {"priority": "urgent"}}, "rules[0].when.priority", "Write one of 'critical'"),
        ({"when": {"tool": []}}, "rules[0].when.tool is []", "at least 1 item"),
        ({"when": {"tool": 5}}, "rules[0].when.tool is 5", "Write a list"),
        ({"then": {"timeout": "soon"}}, 'rules[0].then.timeout is "soon"', "20s"),
        ({"then": {"timeout": 0}}, "rules[0].then.timeout is 0", "Write more than 0"),
        ({"then": {"max_attempts": 0}}, "rules[0].then.max_attempts is 0", "Write 1 or more"),
        ({"then": {"capability": "My Pool"}}, "rules[0].then.capability", "such as 'my-pool'"),
        ({"then": {"tags": ["a", "b", "c", "d"]}}, "rules[0].then.tags", "at most 3"),
        ({"then": {"reject": ""}}, "rules[0].then.reject", "Write something between the quotes"),
        (
            {"then": {"reject": "no", "timeout": 5}},
            "rules[0].then does not hold together",
            "With reject, timeout",
        ),
        ({"priority": "high"}, 'rules[0].priority is "high"', "Write a whole number"),
    ],
)
def test_the_message_names_rule_and_key_and_what_to_write(
    rule: dict[str, Any], key: str, advice: str
) -> None:
    said = refused({"name": "my-rule", **rule})
    assert key in said
    assert "(rule 'my-rule', rules.json)" in said
    assert advice in said


def test_a_rule_without_a_name_is_named_by_its_place() -> None:
    assert refused({"name": "a"}, {"priority": 1}).startswith("rules[1].name is ")
    assert refused("a, b").startswith('rules[0] is "a, b" (rules.json). Write a table of keys.')


def test_all_that_is_wrong_is_told_at_once() -> None:
    said = refused({"name": "a", "x": 1}, {"name": "b"}, {"name": "c", "y": 1})
    assert said.startswith("2 settings are wrong")
    assert "rule 'a'" in said
    assert "rule 'c'" in said


def test_two_rules_of_one_name_are_refused_for_results_name_rules() -> None:
    assert "Two rules are called 'a'" in refused({"name": "a"}, {"name": "b"}, {"name": "a"})


def test_there_is_a_bound_to_how_many_there_are_and_how_deep() -> None:
    assert f"keep to {MOST}" in refused(*({"name": f"r{n}"} for n in range(MOST + 1)))
    when: dict[str, Any] = {"tool": "x"}
    for _ in range(4):
        when = {"any": [when]}
    assert "at most 4 levels of any" in refused({"name": "deep", "when": when})


@pytest.mark.parametrize("said", [{"rule": []}, {"rules": [], "queue": {}}, {"match": "all"}])
def test_what_is_no_part_of_rules_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigError, match="is no part of a document of rules"):
        checked(said, "rules.json")


def test_a_wrong_way_to_match_is_refused() -> None:
    assert "Write one of 'first' or 'all'" in refused(rules_match="any")


FILE = """
rules_match = "all"

[[rules]]
name = "no-deletes"
priority = 100
when = { tool = "delete_*", tenant = ["trial-*", ""], arguments."/force" = { equals = true } }
then = { reject = "ask the platform team" }

[[rules]]
name = "slow-search"
when.capability = "search"
then = { priority = 3, timeout = "1m30s", max_attempts = 1, tags = "gpu" }
"""


def test_rules_of_a_toml_file_are_those_of_json(tmp_path: Path) -> None:
    file = tmp_path / "mcpweft.toml"
    file.write_text(FILE)
    config = load_config(file, environ={})
    assert config.rules_match is Match.ALL
    first, second = config.rules
    assert (first.when.tool, first.when.tenant) == (("delete_*",), ("trial-*", ""))
    assert (second.then.priority, second.then.timeout, second.then.tags) == (Class.LOW, 90.0, ("gpu",))
    again = checked(
        {"rules": [json.loads(r.model_dump_json(exclude_unset=True)) for r in config.rules]}, "json"
    )
    assert again.rules == config.rules


def test_a_wrong_rule_in_a_toml_file_is_told_with_the_file_and_its_name(tmp_path: Path) -> None:
    file = tmp_path / "mcpweft.toml"
    file.write_text(FILE.replace('tags = "gpu"', 'tag = "gpu"'))
    with pytest.raises(InvalidConfigError, match=r"rules\[1\]\.then\.tag is no known key") as caught:
        load_config(file, environ={})
    assert "rule 'slow-search'" in str(caught.value)
    assert str(file) in str(caught.value)
    assert "Did you mean rules[1].then.tags?" in str(caught.value)


def test_the_environment_sets_rules_as_json(tmp_path: Path) -> None:
    environ = {"MCPWEFT_RULES": '[{"name": "a"}]', "MCPWEFT_RULES_MATCH": "all"}
    config = load_config(None, environ=environ)
    assert [rule.name for rule in config.rules] == ["a"]
    assert config.rules_match is Match.ALL


@pytest.mark.parametrize(
    ("facts", "rule", "capability", "klass", "attempts"),
    [
        (Facts("graph_query", klass=Class.HIGH), "high-priority", None, None, 5),
        (
            Facts("graph_query", arguments={"query": "find SIMILAR papers"}),
            "vector-words",
            "vector_search",
            None,
            None,
        ),
        (
            Facts("vector_search", arguments={"query": "x" * 501}),
            "complex-query",
            "hybrid_search",
            Class.LOW,
            None,
        ),
        (
            Facts("vector_search", arguments={"query": "x", "max_results": 11}),
            "complex-query",
            "hybrid_search",
            Class.LOW,
            None,
        ),
        (
            Facts("vector_search", arguments={"query": "x" * 500, "max_results": 10}),
            "catch-all",
            None,
            None,
            None,
        ),
        (Facts("github", arguments={"query": "a vector"}), "catch-all", None, None, None),
    ],
)
def test_the_four_rules_to_begin_with_do_what_they_say(
    facts: Facts, rule: str, capability: str | None, klass: Class | None, attempts: int | None
) -> None:
    decision = read_rules(STARTER, "starter").decide(facts)
    assert decision.matched == (rule,)
    assert (decision.capability, decision.klass, decision.max_attempts) == (capability, klass, attempts)
