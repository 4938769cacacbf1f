"""A configuration is its defaults, under the file, under the environment, under what is said by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from mcpweft_schemas.config import (
    BreakerKind,
    Config,
    Durability,
    Eviction,
    ServerConfig,
    Start,
    State,
    Transport,
    environment,
    load_config,
    shape,
)
from mcpweft_schemas.duration import longest_wait
from mcpweft_schemas.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[[str], Path]

ROOT = Path(__file__).parents[2]
CASES = (ROOT / "tests" / "golden" / "config_faults.txt").read_text().strip().split("\n\n")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an `mcpweft.toml` and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "mcpweft.toml"
        path.write_text(text)
        return path

    return write


def refused(path: Path | None, overrides: dict[str, Any], environ: dict[str, str]) -> str:
    with pytest.raises(InvalidConfigError) as caught:
        load_config(path, overrides, environ)
    return str(caught.value)


def test_the_defaults_are_those_of_the_plan() -> None:
    config = load_config(None, {}, {})
    assert config == Config()
    assert (config.namespace, config.include, config.servers) == ("default", ("mcp.json",), {})
    assert (config.redis.url, config.redis.eviction, config.redis.durability) == (None, "refuse", "fast")
    queue = config.queue
    assert (queue.bound, queue.max_bytes) == (10_000, 268_435_456)
    assert (queue.low_at, queue.normal_at, queue.high_at) == (0.6, 0.85, 0.95)
    assert (queue.result_ttl, queue.idempotency_ttl, queue.dead_ttl) == (3600, 86_400, 604_800)
    call = config.call
    assert (call.timeout, call.submit_timeout, call.attempt_timeout, call.max_attempts) == (120, 3600, 30, 3)
    assert (call.backoff, call.backoff_max, call.outstanding) == (1, 10, 10_000)
    worker = config.worker
    assert (worker.heartbeat, worker.dead_after, worker.grace, worker.hung_after) == (0.25, 1, 10, None)
    assert (worker.max_result, worker.inline_result, worker.port) == (1 << 24, 1 << 20, None)
    breaker = config.breaker
    assert (breaker.failure_threshold, breaker.kind, breaker.window) == (5, "time", 300)
    assert (breaker.count, breaker.min_calls, breaker.failure_rate, breaker.slow_call) == (100, 10, 0.5, None)
    assert (breaker.recovery, breaker.probes) == (60, 3)
    assert (config.coordinator.lease, config.coordinator.sweep) == (0.75, 0.1)


def test_a_server_has_defaults_that_fit_how_it_is_reached() -> None:
    config = Config(
        servers={
            "local": ServerConfig(command="git"),
            "web": ServerConfig(url="https://example.com/mcp"),
            "old": ServerConfig(url="https://example.com/sse?x=1"),
            "mine": ServerConfig(app="shop.tools:server"),
        }
    )
    shown = {
        name: (server.transport, server.concurrency, server.trust_annotations)
        for name, server in config.servers.items()
    }
    assert shown == {
        "local": (Transport.STDIO, 8, True),
        "web": (Transport.HTTP, 16, False),
        "old": (Transport.SSE, 16, False),
        "mine": (Transport.APP, 8, True),
    }
    local = config.servers["local"]
    assert (local.workers, local.start, local.state, local.mode) == (1, Start.EAGER, State.NONE, "auto")
    assert (local.idle_stop, local.attempt_timeout, local.hung_after, local.disabled) == (
        None,
        None,
        None,
        False,
    )


def test_every_source_lies_over_the_one_before_it(write: Write) -> None:
    path = write("[queue]\nbound = 1\nmax_bytes = '1MiB'\ndead_ttl = '1d'\n[call]\nmax_attempts = 2\n")
    environ = {"MCPWEFT_QUEUE__BOUND": "2", "MCPWEFT_QUEUE__MAX_BYTES": "2MiB", "HOME": "/home/a"}
    config = load_config(path, {"queue": {"bound": 3}}, environ)
    assert (config.queue.bound, config.queue.max_bytes, config.queue.dead_ttl) == (3, 2 << 20, 86_400)
    assert config.queue.low_at == 0.6
    assert (config.call.max_attempts, config.call.timeout) == (2, 120)
    assert config.path == path


def test_what_is_not_said_by_hand_changes_nothing(write: Write) -> None:
    config = load_config(write('namespace = "shop"'), {"namespace": None, "queue": {"bound": None}}, {})
    assert (config.namespace, config.queue.bound) == ("shop", 10_000)


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("MCPWEFT_NAMESPACE", "shop", "namespace", "shop"),
        ("MCPWEFT_URL", "redis://db", "redis.url", "redis://db"),
        ("MCPWEFT_REDIS__URL", "unix:///run/s", "redis.url", "unix:///run/s"),
        ("MCPWEFT_REDIS__EVICTION", "accept-volatile", "redis.eviction", Eviction.ACCEPT_VOLATILE),
        ("MCPWEFT_REDIS__DURABILITY", "fsync", "redis.durability", Durability.FSYNC),
        ("MCPWEFT_CALL__ATTEMPT_TIMEOUT", "500ms", "call.attempt_timeout", 0.5),
        ("MCPWEFT_CALL__ATTEMPT_TIMEOUT", "1.5", "call.attempt_timeout", 1.5),
        ("MCPWEFT_BREAKER__KIND", "count", "breaker.kind", BreakerKind.COUNT),
        ("MCPWEFT_WORKER__PORT", "0", "worker.port", 0),
        ("MCPWEFT_INCLUDE", "[]", "include", ()),
    ],
)
def test_the_environment_sets_a_key(variable: str, text: str, key: str, value: object) -> None:
    node: Any = load_config(None, {}, {variable: text})
    for part in key.split("."):
        node = getattr(node, part)
    assert node == value


def test_variables_that_differ_in_nothing_but_case_must_agree() -> None:
    environ = {"MCPWEFT_QUEUE__BOUND": "5", "mcpweft_queue__bound": "5"}
    assert load_config(None, {}, environ).queue.bound == 5
    said = refused(None, {}, environ | {"mcpweft_queue__bound": "6"})
    assert "MCPWEFT_QUEUE__BOUND and mcpweft_queue__bound differ, and both say queue.bound" in said


def test_the_environment_reaches_into_a_server_by_its_folded_name(write: Write) -> None:
    path = write('[servers."My git.server"]\ncommand = "git"\nargs = ["a"]\n')
    environ = {
        "MCPWEFT_SERVERS__MY_GIT_SERVER__CONCURRENCY": "3",
        "MCPWEFT_SERVERS__MY_GIT_SERVER__ARGS": "x, y",
        "MCPWEFT_SERVERS__MY_GIT_SERVER__ENV__Api_Key": "s3cret",
        "MCPWEFT_SERVERS__MY_GIT_SERVER__TOOL_TIMEOUTS": '{"get_*": "2s"}',
        "MCPWEFT_SERVERS__NEW_ONE__URL": "http://localhost/mcp",
    }
    servers = load_config(path, {}, environ).servers
    mine = servers["My git.server"]
    assert (mine.concurrency, mine.args, mine.env) == (3, ("x", "y"), {"Api_Key": "s3cret"})
    assert mine.tool_timeouts == {"get_*": 2.0}
    assert servers["new_one"].url == "http://localhost/mcp"
    assert "s3cret" not in repr(mine)


def test_each_key_has_a_variable_that_finds_it_again() -> None:
    for key in shape.keys():  # noqa: SIM118  # a function of that name
        variable = environment.variable_of(key).replace("<NAME>", "X")
        kind = shape.kind(_field(key).annotation)
        text = "1" if kind is shape.Kind.VALUE else "[]" if kind is shape.Kind.LIST else "{}"
        layer, warnings = environment.read({variable: text}, ())
        found = next(iter(layer.places))
        assert found == tuple("x" if part == shape.SERVER_NAME else part for part in key)
        assert warnings == ()


def test_each_key_says_what_it_is_for() -> None:
    for key in shape.keys():  # noqa: SIM118  # a function of that name
        description = _field(key).description
        assert description, key
        assert description.endswith("."), key


def _field(key: tuple[str, ...]) -> Any:
    section = shape.section_at(key[:-1])
    assert section is not None
    return section.model_fields[key[-1]]


def test_an_empty_variable_and_a_neighbours_one_change_nothing() -> None:
    environ = {
        "MCPWEFT_REDIS__URL": "",
        "MCPWEFT_PORT": "tcp://10.0.0.1:6379",
        "MCPWEFT_PORT_6379_TCP_ADDR": "10.0.0.1",
        "MCPWEFT_REDIS_SERVICE_HOST": "10.0.0.1",
    }
    config = load_config(None, {}, environ)
    assert (config, config.warnings) == (Config(), ())


def test_a_variable_of_nobody_is_told_of() -> None:
    config = load_config(None, {}, {"MCPWEFT_FROBNICATE": "1"})
    assert config.warnings == (
        "MCPWEFT_FROBNICATE in the environment is no known setting and has no effect.",
    )


def test_a_refusal_names_key_place_value_and_what_to_write(write: Write) -> None:
    path = write('namespace = "shop"\n\n[queue]\n# a comment\nbound = "many"\n')
    assert refused(path, {}, {}) == f'queue.bound is "many" ({path}, line 5). Write a whole number.'


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.partition("\n=> ")[2][:40])
def test_each_fault_is_told_so_that_it_can_be_mended(write: Write, case: str) -> None:
    text, _, said = case.partition("\n=> ")
    if text.startswith("MCPWEFT_"):
        assert refused(None, {}, dict(line.split("=", 1) for line in text.splitlines())) == said
    else:
        path = write(text)
        assert refused(path, {}, {}) == said.replace("FILE", str(path))


def test_a_server_name_that_two_servers_share_when_folded_is_refused(write: Write) -> None:
    path = write('[servers.a-b]\ncommand = "x"\n[servers."a b"]\ncommand = "y"\n')
    assert refused(path, {}, {"MCPWEFT_SERVERS__A_B__WORKERS": "2"}) == (
        "MCPWEFT_SERVERS__A_B__WORKERS in the environment may mean any of the servers 'a b', 'a-b'. "
        "Set it in mcpweft.toml, or rename one of them."
    )


def test_several_faults_are_told_at_once(write: Write) -> None:
    said = refused(write("[queue]\nbond = 5\nbound = 0\n"), {"worker": {"grace": "x"}}, {})
    assert said.startswith("3 settings are wrong\n")
    assert "queue.bond is no known key" in said
    assert 'worker.grace is "x" (given on the command line or by the caller)' in said


def test_a_file_that_is_no_toml_or_not_there_is_named(write: Write, tmp_path: Path) -> None:
    assert refused(tmp_path / "no.toml", {}, {}).startswith(
        f"{tmp_path / 'no.toml'} cannot be read: No such file"
    )
    path = write("[queue\n")
    assert refused(path, {}, {}).startswith(f"{path} is no TOML: ")
    path.write_bytes(b"namespace = '\xff'")
    assert refused(path, {}, {}) == f"{path} is not UTF-8 (byte 13). Save it as UTF-8."


def test_each_server_serves_its_own_name_unless_it_says_more(write: Write) -> None:
    path = write(
        '[servers."My Git"]\ncommand = "git"\n[servers.search]\nurl = "http://x"\n'
        'capabilities = ["vector_search", "graph"]\n'
    )
    servers = load_config(path, {}, {}).servers
    assert servers["My Git"].capabilities == ("my-git",)
    assert servers["My Git"].name == "My Git"
    assert servers["search"].capabilities == ("vector_search", "graph")


def test_a_relative_cwd_is_seen_from_the_file_that_says_it(write: Write) -> None:
    path = write('[servers.a]\ncommand = "x"\ncwd = "repo"\n')
    assert load_config(path, {}, {}).servers["a"].cwd == path.parent / "repo"


def test_a_tools_time_is_the_first_pattern_that_fits(write: Write) -> None:
    path = write(
        '[servers.a]\ncommand = "x"\nattempt_timeout = "5s"\nidempotent = ["get_*", "list"]\n'
        '[servers.a.tool_timeouts]\n"get_big" = "20s"\n"get_*" = "2s"\n'
    )
    server = load_config(path, {}, {}).servers["a"]
    tools = ("get_big", "get_x", "put", "list")
    assert [server.timeout_of(tool, otherwise=30) for tool in tools] == [20, 2, 5, 5]
    assert [server.is_idempotent(tool) for tool in tools] == [True, True, False, True]
    assert ServerConfig(command="x").timeout_of("put", otherwise=30) == 30


def test_a_server_slower_than_a_call_is_warned_of(write: Write) -> None:
    path = write('[servers.slow]\ncommand = "x"\ntool_timeouts = { "crawl" = "5m" }\n')
    (warning,) = load_config(path, {}, {}).warnings
    assert warning == (
        "Server 'slow': 3 attempts of 5m need 15m3s, more than call.timeout (2m): a call that does not ask "
        "for more time ends before its last attempt."
    )


def test_a_disabled_server_is_kept_but_not_active(write: Write) -> None:
    config = load_config(write('[servers.a]\ncommand = "x"\ndisabled = true\n'), {}, {})
    assert (list(config.servers), config.active) == (["a"], {})


def test_a_configuration_does_not_change() -> None:
    config = Config()
    with pytest.raises(ValidationError):
        config.namespace = "other"


def test_the_longest_wait_doubles_up_to_its_bound() -> None:
    assert longest_wait(1, 10, 1) == 0
    assert longest_wait(1, 10, 3) == 3
    assert longest_wait(1, 10, 7) == 1 + 2 + 4 + 8 + 10 + 10
    assert longest_wait(20, 10, 3) == 20
    assert longest_wait(0, 10, 10**9) == 0
    assert longest_wait(1, 10, 10**9) == pytest.approx(1e10)


def test_the_reference_in_the_docs_is_what_the_models_say() -> None:
    script = ROOT / "scripts" / "configuration_reference.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_example_in_the_docs_is_a_configuration(write: Write) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    config = load_config(write(page.split("```toml\n")[1].split("```")[0]), {}, {})
    assert config.servers["git"].is_idempotent("git_diff_staged")
