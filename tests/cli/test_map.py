"""`mcpweft map`: many calls from a file, continued after any end, no tool run twice."""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft.cli.journal import Journal, print_of
from waiting import until_sync

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Fabric


def write(path: Path, calls: list[Any]) -> Path:
    path.write_text("".join(json.dumps(call) + "\n" for call in calls), encoding="utf-8")
    return path


def echoes(count: int, mark: str) -> list[Any]:
    return [{"call": "echo.echo", "arguments": {"text": f"{mark}{n}"}} for n in range(count)]


def ran(fabric: Fabric, mark: str) -> Counter[str]:
    """How often each text that begins with `mark` reached the server."""
    texts = (call["nonce"].get("text", "") for call in fabric.calls() if isinstance(call["nonce"], dict))
    return Counter(text for text in texts if text.startswith(mark))


def test_each_line_comes_out_once_with_its_own_answer(fabric: Fabric, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", echoes(120, "each-"))
    done = fabric.shell.run("map", file)
    assert done.code == 0
    assert {line["line"]: line["data"] for line in done.lines} == {n + 1: f"each-{n}" for n in range(120)}
    assert done.err == "120 done, 0 failed\n"
    assert sorted(path.name for path in tmp_path.glob("in*")) == ["in.jsonl"]


def test_lines_may_be_arguments_alone_and_come_by_standard_input(fabric: Fabric) -> None:
    done = fabric.shell.run("map", "-", "echo.add", stdin='{"a": 1, "b": 2}\n\n{"a": 3, "b": 4}\n')
    assert sorted((line["line"], line["data"]["sum"]) for line in done.lines) == [(1, 3), (3, 7)]


def test_lines_that_fail_do_not_stop_the_others_and_end_with_1(fabric: Fabric, tmp_path: Path) -> None:
    calls = [
        {"call": "echo.fail", "arguments": {"message": "boom"}},
        {"cal": "echo.echo"},
        *echoes(3, "others-"),
        {"call": "ecko.echo", "arguments": {}},
    ]
    done = fabric.shell.run("map", write(tmp_path / "in.jsonl", calls))
    assert done.code == 1
    codes = {line["line"]: line.get("error", {}).get("code", "OK") for line in done.lines}
    assert codes == {
        1: "TOOL_ERROR",
        2: "INVALID_ARGUMENTS",
        3: "OK",
        4: "OK",
        5: "OK",
        6: "UNKNOWN_CAPABILITY",
    }
    assert "2 did not run; the same command continues" in done.err


def test_only_lines_that_did_not_run_are_tried_again(fabric: Fabric, tmp_path: Path) -> None:
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write(file, [*echoes(2, "again-"), {"call": "ecko.echo", "arguments": {"text": "again-2"}}])
    assert fabric.shell.run("map", file, "-o", out).code == 1
    write(file, echoes(3, "again-"))  # the third line is repaired
    assert fabric.shell.run("map", file, "-o", out).code == 0
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["ok"] for line in lines if line["line"] == 3] == [False, True]
    assert sorted(line["line"] for line in lines) == [1, 2, 3, 3]
    assert ran(fabric, "again-") == Counter({"again-0": 1, "again-1": 1, "again-2": 1})


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_ended_is_continued_and_no_tool_runs_twice(
    fabric: Fabric, tmp_path: Path, how: signal.Signals
) -> None:
    mark = f"end{how.name}-"
    file, out = write(tmp_path / "in.jsonl", echoes(400, mark)), tmp_path / "out.jsonl"
    words = ("map", file, "-o", out, "--window", "16")
    process = fabric.shell.start(*words)
    until_sync(lambda: out.exists() and out.read_text(encoding="utf-8").count("\n") >= 40, 30)
    process.send_signal(how)
    _, said = process.communicate(timeout=20)
    assert process.returncode == (130 if how == signal.SIGINT else -9)
    assert ("not all were reached; the same command continues" in said) == (how == signal.SIGINT)
    before = out.read_text(encoding="utf-8").count("\n")
    assert before < 400
    if how == signal.SIGKILL:
        with out.open("a", encoding="utf-8") as half:
            half.write('{"line": 400, "ok": tr')  # what a crash in the middle of a write leaves
    done = fabric.shell.run(*words)
    assert done.code == 0
    assert f"{before} were done before" in done.err
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert sorted((line["line"], line["data"]) for line in lines) == [
        (n + 1, f"{mark}{n}") for n in range(400)
    ]
    assert ran(fabric, mark) == Counter({f"{mark}{n}": 1 for n in range(400)})
    assert not (tmp_path / "in.jsonl.journal").exists()


def test_a_second_run_on_the_same_output_makes_no_call(fabric: Fabric, tmp_path: Path) -> None:
    file, out = write(tmp_path / "in.jsonl", echoes(3, "twice-")), tmp_path / "out.jsonl"
    first, second = (fabric.shell.run("map", file, "-o", out) for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    assert second.err == "0 done, 0 failed, 3 were done before\n"
    assert sum(ran(fabric, "twice-").values()) == 3


def test_another_file_is_never_overwritten_for_an_output(fabric: Fabric, tmp_path: Path) -> None:
    file, other = write(tmp_path / "in.jsonl", echoes(1, "other-")), tmp_path / "thesis.txt"
    other.write_text("years of work\n", encoding="utf-8")
    done = fabric.shell.run("map", file, "-o", other)
    assert done.code == 2
    assert other.read_text(encoding="utf-8") == "years of work\n"
    assert not ran(fabric, "other-")


def test_a_journal_has_one_run_at_a_time(tmp_path: Path, fabric: Fabric) -> None:
    file = write(tmp_path / "in.jsonl", echoes(1, "lock-"))
    with Journal(tmp_path / "in.jsonl.journal"):
        done = fabric.shell.run("map", file)
    assert done.code == 2
    assert "Another run works on" in done.err


def test_a_journal_drops_a_half_line_and_keeps_its_run(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path) as journal:
        run = journal.run
        journal.note(1, "first")
    with path.open("a", encoding="utf-8") as file:
        file.write('{"line": 2, "ha')
    with Journal(path) as journal:
        assert (journal.run, journal.done) == (run, {1: print_of("first")})
        assert journal.has(1, "first")
        assert not journal.has(1, "edited")
        journal.note(2, "second")
    with Journal(path) as journal:
        assert set(journal.done) == {1, 2}
    with Journal(path, restart=True) as journal:
        assert (journal.run != run, journal.done) == (True, {})


def test_a_map_without_a_store_finishes_no_line_and_can_be_continued(fabric: Fabric, tmp_path: Path) -> None:
    file = write(tmp_path / "in.jsonl", echoes(3, "gone-"))
    done = fabric.shell.run("map", file, "--store", "redis://127.0.0.1:1", "--timeout", "1s")
    assert done.code in {1, 5}  # whether its time or its patience with the store is over first
    assert all(line["error"]["executed"] == "no" for line in done.lines)
    assert "the same command continues" in done.err
    assert fabric.shell.run("map", file).code == 0
    assert ran(fabric, "gone-") == Counter({f"gone-{n}": 1 for n in range(3)})
