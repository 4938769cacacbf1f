"""The seven presets: what they promise, and that they hold together for what they are for."""

from __future__ import annotations

from typing import get_args

import pytest

from mcpweft.cli.init import Name
from mcpweft_schemas.config import Config
from mcpweft_schemas.presets import PRESETS, Preset, Purpose, queueing, validate

COMMAND = {"command": "search-server"}
SERVERS = {
    "a command": {"search": COMMAND},
    "two commands for one capability": {
        "a": {**COMMAND, "capabilities": ["search"]},
        "b": {**COMMAND, "capabilities": ["search"]},
    },
    "a URL": {"search": {"url": "https://example.com/mcp", "idempotent": ["*"]}},
    "a server with state": {"memory": {**COMMAND, "state": "exclusive"}},
    "an app": {"shop": {"app": "shop.tools:server"}},
}
EACH = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)

# name: servers (least, most), calls a second, and what stands in the row's last column
PROMISED: dict[str, tuple[tuple[int, int], tuple[int, int], dict[str, object]]] = {
    "development": (
        (1, 1),
        (5, 10),
        {"strategy.name": "round_robin", "call.attempt_timeout": 15, "slots": 50},
    ),
    "production_small": ((2, 6), (50, 100), {"strategy.name": "weighted_response_time"}),
    "production_large": (
        (4, 12),
        (500, 1000),
        {
            "strategy.name": "adaptive",
            "slots": 200,
            "scaling.up_at": 0.7,
            "scaling.down_at": 0.2,
            "scaling.cooldown": 180,
        },
    ),
    "high_availability": (
        (3, 10),
        (200, 500),
        {
            "breaker.failure_threshold": 2,
            "breaker.recovery": 30,
            "breaker.probes": 5,
            "breaker.window": 120,
            "breaker.check_every": 5,
            "call.max_attempts": 5,
            "call.backoff": 0.5,
        },
    ),
    "performance_optimized": (
        (2, 6),
        (1000, 1000),
        {"strategy.name": "predictive", "slots": 300, "call.attempt_timeout": 5},
    ),
    "cost_optimized": (
        (2, 4),
        (100, 200),
        {
            "strategy.name": "least_connections",
            "scaling.up_at": 0.9,
            "scaling.down_at": 0.2,
            "scaling.cooldown": 600,
        },
    ),
    "testing": ((2, 3), (10, 20), {"breaker.recovery": 1}),
}


def value(config: Config, key: str) -> object:
    if key == "slots":
        return config.servers["search"].concurrency
    node: object = config
    for part in key.split("."):
        node = getattr(node, part)
    return node


def test_there_are_seven_and_the_command_line_knows_them() -> None:
    assert list(PRESETS) == list(PROMISED)
    assert get_args(Name) == tuple(PRESETS)


@EACH
def test_a_preset_sets_what_it_promises(preset: Preset) -> None:
    numbers, qps, keys = PROMISED[preset.name]
    config = preset.config({"search": COMMAND})
    server = config.servers["search"]
    assert ((server.least, server.most) if server.scaled else (server.workers, server.workers)) == numbers
    assert (preset.load.least_qps, preset.load.most_qps) == qps
    assert {key: value(config, key) for key in keys} == keys
    assert server.least <= preset.size.usual <= preset.size.most


@EACH
@pytest.mark.parametrize("servers", SERVERS.values(), ids=SERVERS)
def test_a_preset_passes_for_its_purpose_whatever_its_servers_are(
    preset: Preset, servers: dict[str, dict[str, object]]
) -> None:
    review = validate(preset.config(servers), preset.purpose)
    assert review.passed, review.errors


@EACH
def test_only_what_nobody_but_the_operator_can_say_is_left_to_be_found(preset: Preset) -> None:
    found = {finding.key for finding in validate(preset.config({"search": COMMAND}), preset.purpose).findings}
    assert found == ({"redis.url", "redis.durability"} if preset.purpose is Purpose.PRODUCTION else set())


@EACH
def test_its_fewest_servers_have_the_slots_that_its_load_needs(preset: Preset) -> None:
    config = preset.config({"search": COMMAND})
    slots = preset.size.least * config.servers["search"].concurrency
    load = queueing.under_way(preset.load.most_qps, preset.load.service_time)
    assert load <= config.scaling.up_at * slots
    assert queueing.wait(slots, load, preset.load.service_time) == 0


@EACH
def test_every_setting_has_a_reason_and_changes_something(preset: Preset) -> None:
    plain = Config.model_validate({"servers": {"search": COMMAND}})
    config = preset.config({"search": COMMAND})
    same = {"call.timeout"} if preset.name == "high_availability" else set[str]()
    same |= {"strategy.name"} if preset.value("strategy", "name") == "round_robin" else set[str]()
    for setting in preset.settings:
        key = ".".join(setting.key)
        assert setting.reason.endswith(".")
        assert (value(config, key) == value(plain, key)) == (key in same), key


def test_what_a_server_says_itself_goes_first() -> None:
    preset = PRESETS["production_small"]
    said = {**COMMAND, "workers": 5, "concurrency": 3}
    server = preset.config({"search": said}).servers["search"]
    assert (server.workers, server.scaled, server.concurrency) == (5, False, 3)


def test_what_lies_over_a_preset_goes_over_it() -> None:
    config = PRESETS["production_small"].config({"search": COMMAND}, {"coordinator": {"port": 1}})
    assert config.coordinator.port == 1
    assert config.strategy.name == "weighted_response_time"
