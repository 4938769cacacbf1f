"""What is set for a whole fleet: over files, under environment and flags, and checked as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mcpweft_schemas.config import overlay, read_base
from mcpweft_schemas.errors import InvalidConfigError

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
[queue]
bound = 100
[servers.git]
command = "git-server"
env = { A = "1" }
workers = 2
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mcpweft.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_the_fleet_goes_over_files_and_each_process_s_own_word_over_the_fleet(path: Path) -> None:
    base = read_base(path, {"worker": {"grace": 9}}, {"MCPWEFT_QUEUE__LOW_AT": "0.1"})
    assert base.config().queue.bound == 100
    fleet = {
        "queue": {"bound": 200, "low_at": 0.3}, "worker": {"grace": 1}, "servers": {"git": {"workers": 5}},
    }  # fmt: skip
    config = base.config(fleet)
    assert (config.queue.bound, config.queue.low_at, config.worker.grace) == (200, 0.1, 9)
    assert (config.servers["git"].workers, config.servers["git"].env) == (5, {"A": "1"})
    assert base.config().queue.bound == 100, "what was read is as it was"


def test_a_server_that_is_set_anew_loses_its_old_way_in(path: Path) -> None:
    config = read_base(path, environ={}).config({"servers": {"git": {"url": "http://h/mcp"}}})
    assert (config.servers["git"].url, config.servers["git"].command) == ("http://h/mcp", None)


def test_a_server_of_the_fleet_s_own_can_be_named_in_the_environment(path: Path) -> None:
    base = read_base(path, environ={"MCPWEFT_SERVERS__ECHO__WORKERS": "3"})
    config = base.config({"servers": {"echo": {"command": "echo-server"}}})
    assert config.servers["echo"].workers == 3


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"queue": {"buond": 1}}, r"queue\.buond is no known key \(set for the whole fleet\)\. Did you mean"),
        ({"queue": {"bound": 0}}, r"queue\.bound is 0 \(set for the whole fleet\)\. Write 1 or more"),
        ({"servers": {"gti": {"workers": 2}}}, "needs one of command, url and app"),
        ({"redis": {"url": "redis://x"}}, r"redis\.url cannot be set for the whole fleet"),
        ({"namespace": "x"}, "namespace cannot be set"),
        ({"call": {"timeout": "1s"}}, r"call\.timeout cannot be set .* each client"),
    ],
)
def test_what_is_wrong_as_a_whole_is_refused(path: Path, document: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidConfigError, match=why):
        read_base(path, environ={}).config(document)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("queue.bound", "7", {"queue": {"bound": "7"}}),
        ('servers."my git".args', "a,b", {"servers": {"my git": {"args": ["a", "b"]}}}),
        ("servers.git.env", '{"A": "b"}', {"servers": {"git": {"env": {"A": "b"}}}}),
        ("servers.git.env.A", "b", {"servers": {"git": {"env": {"A": "b"}}}}),
    ],
)
def test_a_key_is_set_as_it_is_written(text: str, value: str, expected: dict[str, Any]) -> None:
    key = overlay.key_of(text)
    document = overlay.with_value({}, key, overlay.value_of(key, value))
    assert document == expected
    assert overlay.without(document, key) == {}, "and no empty table stays behind"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("queue.buond", r"no known key\. Did you mean queue\.bound"),
        ("queue", "is a table"),
        ("servers.git", "is a table"),
        ("nothing.at.all", "no known key"),
        ("a b", "is no key"),
        ("servers.git.env", "is no JSON"),
    ],
)
def test_a_key_that_cannot_be_set_is_refused_with_what_to_write(text: str, why: str) -> None:
    with pytest.raises(InvalidConfigError, match=why):
        overlay.value_of(overlay.key_of(text), "x")


def test_taking_out_what_is_not_there_changes_nothing() -> None:
    document = {"queue": {"bound": 1}}
    for text in ("queue.low_at", "scaling.up_at", "queue.bound.deeper"):
        assert overlay.without(document, overlay.key_of(text)) == document


def test_the_variables_of_one_server_are_replaced_where_it_runs() -> None:
    said = {"command": "x", "args": ["--token", "${TOKEN}"], "env": {"A": "${env:TOKEN}", "B": "${NO:-b}"}}
    servers = {"git": said, "other": {"command": "${UNSET}"}}
    document: dict[str, Any] = {"servers": servers, "queue": {"bound": 1}}
    tree = overlay.expanded(document, "git", {"TOKEN": "s3cret"})
    expected = {"command": "x", "args": ["--token", "s3cret"], "env": {"A": "s3cret", "B": "b"}}
    assert tree == document | {"servers": {"git": expected, "other": {"command": "${UNSET}"}}}
    assert document["servers"]["git"] == said, "and the document is as it was"
    with pytest.raises(InvalidConfigError, match=r"servers\.other\.command.*\$\{UNSET\}, which is not set"):
        overlay.expanded(document, "other", {})
    assert overlay.expanded({}, "git", {}) == {}


def test_the_difference_of_two_documents_is_told_by_key() -> None:
    before = {"queue": {"bound": 1, "low_at": 0.5}, "servers": {"a": {"workers": 1}}}
    after = {"queue": {"bound": 2, "low_at": 0.5}, "coordinator": {"sweep": "1s", "port": 9}}
    keys = overlay.changed(before, after)
    assert keys == (
        ("coordinator", "port"),
        ("coordinator", "sweep"),
        ("queue", "bound"),
        ("servers", "a", "workers"),
    )
    assert overlay.at_start(keys) == {"coordinator.port": "coordinators"}
