"""`mcpweft rules test`: rules are tried out without a fabric."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cli.shell import Shell

if TYPE_CHECKING:
    from pathlib import Path

RULES: dict[str, Any] = {
    "rules_match": "first",
    "rules": [
        {"name": "closed", "priority": 9, "when": {"tool": "delete_*"}, "then": {"reject": "ask ann"}},
        {
            "name": "slow",
            "when": {"tenant": "batch"},
            "then": {
                "priority": "low",
                "capability": "search",
                "timeout": "5m",
                "max_attempts": 1,
                "tags": "gpu",
            },
        },
    ],
}
REQUESTS = [
    {"name": "find.delete_all"},
    {"name": "find.it", "tenant": "batch", "timeout": "10s"},
    {"capability": "find", "tool": "it", "priority": 9},
]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in which no fabric is to be found."""
    return Shell(tmp_path / "home")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(RULES))
    return path


def test_each_request_is_told_with_the_rules_that_fit_what_changes_and_its_way(
    shell: Shell, file: Path, tmp_path: Path
) -> None:
    requests = tmp_path / "requests.jsonl"
    requests.write_text("\n".join(map(json.dumps, REQUESTS)) + "\n\n")
    done = shell.run("rules", "test", file, "--requests", requests)
    assert done.code == 0, done.err
    assert [line.split("\t") for line in done.out.splitlines()] == [
        ["request", "rules", "changes", "routing"],
        ["find.delete_all", "closed", "", "rejected: ask ann"],
        [
            "find.it",
            "slow",
            "pool find → search--gpu, class normal → low, timeout 10.0 → 300.0, max_attempts 3 → 1",
            "search--gpu, class low, 300 s, 1 attempts",
        ],
        ["find.it", "none", "nothing", "find, class critical, 120 s, 3 attempts"],
    ]
    as_json = shell.run("rules", "test", file, "--requests", requests, "--json").lines
    assert as_json[0] == {
        "request": "find.delete_all",
        "rules": ["closed"],
        "rejected": "ask ann",
        "changes": {},
        "routing": None,
    }
    assert as_json[1]["changes"]["pool"] == ["find", "search--gpu"]
    assert as_json[1]["routing"] == {
        "pool": "search--gpu",
        "class": "low",
        "timeout": 300.0,
        "max_attempts": 1,
    }
    assert as_json[2]["rules"] == []


def test_requests_may_be_given_as_words_and_rules_as_a_list_or_in_toml(shell: Shell, tmp_path: Path) -> None:
    listed, toml = tmp_path / "list.json", tmp_path / "mcpweft.toml"
    listed.write_text(json.dumps(RULES["rules"]))
    toml.write_text(
        'namespace = "x"\n[[rules]]\nname = "closed"\nthen.reject = "ask ann"\n[queue]\nbound = 5\n'
    )
    for path in (listed, toml):
        words = ("--request", json.dumps(REQUESTS[0]), "--request", json.dumps(REQUESTS[0]), "--json")
        done = shell.run("rules", "test", path, *words)
        assert [line["rejected"] for line in done.lines] == ["ask ann"] * 2, done.err


def test_rules_alone_are_checked(shell: Shell, file: Path) -> None:
    assert shell.run("rules", "test", file).out == "2 rules are right. Try them on a --request.\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"name": "a", "then": {"rejct": "x"}}]', "Did you mean rules[0].then.reject?"),
        ("[", "is no JSON"),
        ("5", "holds no rules"),
        ('{"rule": []}', "Did you mean rules?"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_its_name(
    shell: Shell, tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    done = shell.run("rules", "test", path)
    assert done.code == 2
    assert str(path) in done.err
    assert said in done.err
    assert shell.run("rules", "test", tmp_path / "none.json").code == 2


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"nam": "a.b"}, "--request: nam is no part of a request. Did you mean name?"),
        ({}, "--request names no capability"),
        ([], "--request is no request"),
        ({"name": 5}, "--request: name is 5. Write text."),
        ({"name": "a.b", "arguments": []}, "arguments is []"),
        ({"name": "a.b", "priority": "urgent"}, "Write 0 to 10, or one of critical"),
        ({"name": "a.b", "priority": 11}, "Write 0 to 10"),
        ({"name": "a.b", "timeout": "soon"}, "timeout is 'soon'"),
        ({"name": "a.b", "max_attempts": 0}, "Write a whole number from 1 on"),
    ],
)
def test_a_request_that_is_wrong_is_refused_by_its_key(
    shell: Shell, file: Path, request_: Any, said: str
) -> None:
    done = shell.run("rules", "test", file, "--request", json.dumps(request_))
    assert done.code == 2
    assert said in done.err


def test_four_rules_to_begin_with_can_be_printed_as_a_file_that_is_right(
    shell: Shell, tmp_path: Path
) -> None:
    printed = shell.run("rules", "list", "--starter", "--json")
    path = tmp_path / "starter.json"
    path.write_text(printed.out)
    assert shell.run("rules", "test", path).out.startswith("4 rules are right")
    heads, *rows = [line.split("\t") for line in shell.run("rules", "list", "--starter").out.splitlines()[1:]]
    assert heads == ["rule", "priority", "when", "unless", "then"]
    assert [row[0] for row in rows] == ["high-priority", "vector-words", "complex-query", "catch-all"]
    assert (rows[3][2], rows[3][4]) == ("always", "as its caller wants it")
