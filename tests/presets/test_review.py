"""What an operator would change is found, each by its key; and what is well is left alone."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft_schemas.config import Config, load_config
from mcpweft_schemas.config.layer import merged
from mcpweft_schemas.presets import PRESETS, Purpose, Severity, validate, validate_production

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ERROR, WARNING, RECOMMENDATION = Severity

WELL: dict[str, Any] = {
    **PRESETS["production_small"].tree({}),
    "redis": {"url": "rediss://store.example.com/0", "durability": "replicated"},
    "servers": {"search": {"command": "search-server", "min": 2, "max": 6}},
}


def found(change: Mapping[str, Any], written: Mapping[str, Any] | None = None) -> list[tuple[Severity, str]]:
    config = Config.model_validate(merged(WELL, change))
    return [(each.severity, each.key) for each in validate_production(config, written).findings]


def servers(**said: Mapping[str, Any]) -> dict[str, Any]:
    return {"servers": {"search": {"disabled": True}, **said}}


def search(**said: Any) -> dict[str, Any]:
    return {"servers": {"search": said}}


ALONE = {"command": "x", "workers": 1}
WEB = {"url": "https://a.example.com/mcp", "idempotent": ["*"]}

FINDINGS: dict[str, tuple[dict[str, Any], list[tuple[Severity, str]]]] = {
    "no server": (servers(), [(ERROR, "servers")]),
    "one worker": (servers(one=ALONE), [(ERROR, "servers.one.workers"), (RECOMMENDATION, "strategy.name")]),
    "one worker at least": (search(min=1), [(ERROR, "servers.search.min")]),
    "a server that sleeps": (
        search(min=0),
        [(ERROR, "servers.search.min"), (RECOMMENDATION, "servers.search.min")],
    ),
    "one URL": (
        servers(web={**WEB, "workers": 2}),
        [(WARNING, "servers.web")],
    ),
    "a server with state": (
        servers(memory={"command": "x", "state": "exclusive"}),
        [(WARNING, "servers.memory.state"), (RECOMMENDATION, "strategy.name")],
    ),
    "many workers for ever": (
        servers(one={"command": "x", "workers": 8}),
        [(RECOMMENDATION, "servers.one.workers")],
    ),
    "slow steps in a wide range": (
        {**search(max=20), "scaling": {"cooldown": "10m"}},
        [(RECOMMENDATION, "scaling.cooldown")],
    ),
    "steps that undo each other": ({"scaling": {"down_at": 0.7}}, [(WARNING, "scaling.down_at")]),
    "a queue without end": ({"scaling": {"target_wait": "5m"}}, [(WARNING, "scaling.target_wait")]),
    "a lazy server": (
        servers(one={"command": "x", "workers": 2, "start": "lazy"}),
        [(RECOMMENDATION, "servers.one.start")],
    ),
    "the newest version": (
        search(command="uvx", args=["mcp-server-time"]),
        [(RECOMMENDATION, "servers.search.args")],
    ),
    "round robin over what differs": (
        {
            **servers(
                a={"command": "x", "workers": 2, "capabilities": ["s"]},
                b={"command": "y", "workers": 2, "capabilities": ["s"]},
            ),
            "strategy": {"name": "round_robin"},
        },
        [(WARNING, "strategy.name")],
    ),
    "a pool's own strategy that does not fit": (
        {"strategy": {"pools": {"search": "capability_based"}}},
        [(RECOMMENDATION, "strategy.pools.search")],
    ),
    "a tool that takes its time": (
        search(tool_timeouts={"index*": "3m"}),
        [(ERROR, 'servers.search.tool_timeouts."index*"')],
    ),
    "a slow server": (search(attempt_timeout="1m"), [(ERROR, "servers.search.attempt_timeout")]),
    "not a second to spare": ({"call": {"timeout": "93s"}}, [(ERROR, "call.attempt_timeout")]),
    "a rule of many attempts": (
        {"rules": [{"name": "eager", "then": {"max_attempts": 5}}]},
        [(WARNING, "rules.eager.then")],
    ),
    "a rule of little time": (
        {"rules": [{"name": "soon", "then": {"timeout": "10s"}}]},
        [(WARNING, "rules.soon.then")],
    ),
    "a rule that leads nowhere": (
        {"rules": [{"name": "lost", "then": {"capability": "find", "tags": ["gpu"]}}]},
        [(WARNING, "rules.lost.then.capability"), (WARNING, "rules.lost.then.tags")],
    ),
    "no failover": ({"call": {"max_attempts": 1}}, [(ERROR, "call.max_attempts")]),
    "no retry": ({"queue": {"retry_ratio": 0, "retry_floor": 0}}, [(ERROR, "queue.retry_ratio")]),
    "few retries": ({"queue": {"retry_burst": 5}}, [(WARNING, "queue.retry_burst")]),
    "nothing is safe to repeat": (
        search(trust_annotations=False),
        [(WARNING, "servers.search.idempotent")],
    ),
    "a jumpy breaker": ({"breaker": {"failure_threshold": 1}}, [(WARNING, "breaker.failure_threshold")]),
    "a stoic breaker": ({"breaker": {"failure_threshold": 50}}, [(WARNING, "breaker.failure_threshold")]),
    "no breaker": ({"breaker": {"failures": []}}, [(ERROR, "breaker.failures")]),
    "no call is slow": ({"breaker": {"slow_call": "30s"}}, [(WARNING, "breaker.slow_call")]),
    "out for long": ({"breaker": {"recovery": "1h"}}, [(WARNING, "breaker.recovery")]),
    "hardly asked": ({"breaker": {"check_every": "10m"}}, [(RECOMMENDATION, "breaker.check_every")]),
    "a late death": ({"worker": {"dead_after": "1m"}}, [(WARNING, "worker.dead_after")]),
    "no grace": ({"worker": {"grace": "100ms"}}, [(RECOMMENDATION, "worker.grace")]),
    "impatience": ({"worker": {"hung_after": "1s"}}, [(WARNING, "worker.hung_after")]),
    "a store of its own": ({"redis": {"url": None}}, [(WARNING, "redis.url")]),
    "a store that may forget": ({"redis": {"durability": "fast"}}, [(RECOMMENDATION, "redis.durability")]),
    "a store that evicts": ({"redis": {"eviction": "accept-volatile"}}, [(WARNING, "redis.eviction")]),
    "short-lived dead letters": ({"queue": {"dead_ttl": "1h"}}, [(RECOMMENDATION, "queue.dead_ttl")]),
    "workers without metrics": ({"worker": {"port": None}}, [(WARNING, "worker.port")]),
    "a coordinator without": ({"coordinator": {"port": None}}, [(WARNING, "coordinator.port")]),
    "metrics for everybody": ({"worker": {"host": "::"}}, [(RECOMMENDATION, "worker.host")]),
    "a store in the clear": ({"redis": {"url": "redis://store.example.com"}}, [(WARNING, "redis.url")]),
    "a control store in the clear": (
        {"coordinator": {"control_url": "redis://10.0.0.7"}},
        [(WARNING, "coordinator.control_url")],
    ),
    "a token in the clear": (
        servers(
            a={**WEB, "url": "http://a.example.com", "headers": {"X-Api-Key": "k"}, "capabilities": ["s"]},
            b={**WEB, "capabilities": ["s"]},
        ),
        [(ERROR, "servers.a.url")],
    ),
    "calls in the clear": (
        servers(
            a={**WEB, "url": "http://a.example.com", "capabilities": ["s"]},
            b={**WEB, "capabilities": ["s"]},
        ),
        [(WARNING, "servers.a.url")],
    ),
}


def test_a_configuration_that_is_well_is_left_alone() -> None:
    assert found({}) == []
    assert found({"redis": {"url": "redis://localhost"}}) == []


@pytest.mark.parametrize(("change", "expected"), FINDINGS.values(), ids=FINDINGS)
def test_what_an_operator_would_change_is_found_and_nothing_else(
    change: dict[str, Any], expected: list[tuple[Severity, str]]
) -> None:
    assert found(change) == expected


def test_a_rule_that_fits_is_left_alone() -> None:
    then = {"max_attempts": 5, "timeout": "4m", "capability": "search", "tags": ["gpu"]}
    assert found({**search(tags=["gpu"]), "rules": [{"name": "fits", "then": then}]}) == []


def test_every_finding_has_a_reason_and_says_what_to_write() -> None:
    for change, _ in FINDINGS.values():
        for each in validate_production(Config.model_validate(merged(WELL, change))).findings:
            assert each.reason.endswith(".")
            assert each.suggestion
            assert "None" not in each.reason + each.suggestion


@given(st.floats(0.1, 1000), st.integers(1, 5))
def test_what_is_suggested_for_attempts_that_do_not_fit_makes_them_fit(span: float, attempts: int) -> None:
    change = merged(
        search(tool_timeouts={"index": span}), {"call": {"max_attempts": attempts, "timeout": "200s"}}
    )
    config = Config.model_validate(merged(WELL, change))
    for each in validate(config, Purpose.TESTING).errors:
        if each.key != "call.max_attempts":
            timeout, *less = re.findall(r'"(.+?)"', each.suggestion)
            mended = [{"call": {"timeout": timeout}}, *(search(tool_timeouts={"index": one}) for one in less)]
            for mend in mended:
                again = Config.model_validate(merged(merged(WELL, change), mend))
                assert each.key not in {one.key for one in validate(again, Purpose.TESTING).errors}


def test_away_from_production_a_configuration_must_only_hold_together() -> None:
    alone = Config.model_validate({"servers": {"one": {"command": "x"}}})
    slow = Config.model_validate({"servers": {"one": {"command": "x", "attempt_timeout": "10m"}}})
    for purpose in (Purpose.DEVELOPMENT, Purpose.TESTING):
        assert validate(alone, purpose).findings == ()
        assert not validate(slow, purpose).passed
    assert not validate_production(alone).passed


SECRETS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a password in a URL": ({"redis": {"url": "rediss://:pw@store"}}, ["redis.url"]),
    "none in it": ({"redis": {"url": "rediss://me@store"}}, []),
    "a token for a program": (search(env={"GITHUB_TOKEN": "ghp_1"}), ["servers.search.env.GITHUB_TOKEN"]),
    "a setting for it": (search(env={"TOKENIZER": "cl100k", "LOG_LEVEL": "info"}), []),
    "a variable": (search(env={"GITHUB_TOKEN": "${GITHUB_TOKEN}"}), []),
    "a header": (search(headers={"Authorization": "Bearer x"}), ["servers.search.headers.Authorization"]),
    "another header": (search(headers={"Accept-Language": "en"}), []),
    "an argument": (search(args=["--api-key", "k"]), ["servers.search.args"]),
    "an argument in one word": (search(args=["--token=k"]), ["servers.search.args"]),
    "an argument with a variable": (search(args=["--token=${T}"]), []),
    "an argument that is a path": (search(args=["--root", "/srv"]), []),
    "what is no URL": (search(env={"PATTERN": "http://[a"}), []),
    "a flag that only sounds so": (search(args=["--auth", "--verbose"]), []),
    "a key in a query": (search(url="https://x.example.com/mcp?api_key=k"), ["servers.search.url"]),
}


@pytest.mark.parametrize(("written", "expected"), SECRETS.values(), ids=SECRETS)
def test_a_secret_is_found_in_the_file_and_not_shown(written: dict[str, Any], expected: list[str]) -> None:
    review = validate_production(Config.model_validate(WELL), written)
    assert [each.key for each in review.warnings] == expected
    assert review.errors == review.recommendations == ()
    assert not any(secret in str(review) for secret in ("ghp_1", "Bearer", ":pw@"))


def test_a_server_whose_import_is_broken_is_an_error(tmp_path: Path) -> None:
    table = {"mcpServers": {"a": {"command": "${NO_SUCH}"}}}
    (tmp_path / "mcp.json").write_text(json.dumps(table), encoding="utf-8")
    review = validate_production(load_config(environ={}, directory=tmp_path))
    assert [each.key for each in review.errors] == ["servers", "servers.a"]
    assert "NO_SUCH" in review.errors[1].reason


def test_what_was_odd_at_reading_is_told(tmp_path: Path) -> None:
    table = {"mcpServers": {"a": {"command": "x", "colour": "red"}}}
    (tmp_path / "mcp.json").write_text(json.dumps(table), encoding="utf-8")
    review = validate_production(load_config(environ={}, directory=tmp_path))
    assert any("colour" in each.reason for each in review.warnings)


@given(st.sampled_from(list(FINDINGS)), st.sampled_from(list(FINDINGS)))
def test_the_worst_comes_first_whatever_comes_together(one: str, other: str) -> None:
    both = merged(merged(WELL, FINDINGS[one][0]), FINDINGS[other][0])
    try:
        config = Config.model_validate(both)
    except ValueError:
        return  # the two exclude each other
    severities = [list(Severity).index(each.severity) for each in validate_production(config).findings]
    assert severities == sorted(severities)
