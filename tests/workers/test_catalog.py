"""What the catalog lets through, and how it says no."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from mcpweft_schemas.outcome import Executed
from mcpweft_workers.catalog import Catalog
from mcpweft_workers.session import CallFailed, Cause, Tool

FORM = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "integer"}}}},
    },
    "required": ["text"],
    "additionalProperties": False,
}


def catalog(**schemas: dict[str, Any]) -> Catalog:
    return Catalog("shop", [Tool(name, "", schema) for name, schema in schemas.items()])


def refusal(held: Catalog, tool: str, arguments: dict[Any, Any]) -> CallFailed:
    with pytest.raises(CallFailed) as raised:
        held.check(tool, arguments)
    assert raised.value.executed is Executed.NO
    return raised.value


def test_arguments_that_fit_pass() -> None:
    catalog(order=FORM).check("order", {"text": "a", "list": [{"x": 1}]})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, 'at $: "text" is a required property'),
        ({"text": 1}, "at $.text: "),
        ({"text": "a", "list": [{"x": 1}, {"x": "1"}]}, "at $.list[1].x: "),
        ({"text": "a", "z": 1}, "at $: Additional properties"),
    ],
)
def test_a_refusal_names_the_path(arguments: dict[str, Any], said: str) -> None:
    refused = refusal(catalog(order=FORM), "order", arguments)
    assert refused.cause is Cause.INVALID_ARGUMENTS
    assert said in refused.message


def test_a_refusal_never_quotes_a_value() -> None:
    refused = refusal(catalog(order=FORM), "order", {"text": ["hunter2"], "list": "hunter2"})
    assert "hunter2" not in refused.message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", object(), {1: 2}, [[float("-inf")]]])
def test_what_json_cannot_write_is_refused(value: Any) -> None:
    refused = refusal(catalog(order={}), "order", {"a": {"b": [value]}})
    assert refused.cause is Cause.INVALID_ARGUMENTS
    assert "$.a.b[0]" in refused.message


def test_an_unknown_tool_gets_near_names() -> None:
    refused = refusal(catalog(create_issue={}, list_issues={}), "create_isue", {})
    assert refused.cause is Cause.UNKNOWN_TOOL
    assert "near: create_issue" in refused.message


def test_a_tool_that_answers_by_a_task_only_cannot_be_called() -> None:
    held = Catalog("shop", [Tool("slow", "", {}, task_required=True)])
    assert "by a task only" in refusal(held, "slow", {}).message


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/remote.json"},
        {"properties": {"a": {"$ref": "file:///etc/hostname"}}},
        {"$schema": "http://127.0.0.1:9/dialect"},
        {"type": "nonsense"},
        {"properties": {"a": {"pattern": "("}}},
        {"$ref": "#/nowhere"},
    ],
)
def test_a_schema_that_cannot_be_used_leaves_its_tool_unchecked_with_one_warning(
    schema: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    held = catalog(odd=schema, order=FORM)
    with caplog.at_level(logging.WARNING):
        held.check("odd", {"a": 1})
        held.check("odd", {"a": "b"})
    assert len(caplog.records) == 1
    assert "'odd'" in caplog.text
    assert refusal(held, "order", {}).cause is Cause.INVALID_ARGUMENTS


@pytest.mark.parametrize("pattern", ["^(a+)+$", r"^(?=(a+)+$)b|^(a+)+\1$", "(.*a){25}"])
def test_a_hostile_pattern_cannot_spin(pattern: str) -> None:
    held = catalog(order={"properties": {"text": {"pattern": pattern}}})
    began = time.monotonic()
    refusal(held, "order", {"text": "a" * 24 + "!" * 1000})
    assert time.monotonic() - began < 1


def test_a_schema_that_refers_to_itself_is_followed() -> None:
    held = catalog(
        tree={
            "$defs": {"n": {"properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["v"]}},
            "$ref": "#/$defs/n",
        }
    )
    held.check("tree", {"v": 1, "n": {"v": 2}})
    assert "$.n.n" in refusal(held, "tree", {"v": 1, "n": {"v": 2, "n": {}}}).message


def test_arguments_nested_beyond_reason_are_refused_not_crashed_on() -> None:
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"n": nested}
    assert refusal(catalog(order=FORM), "order", nested).cause is Cause.INVALID_ARGUMENTS
