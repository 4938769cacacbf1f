"""`mcpweft call` and what follows a submitted request, against a fabric in another folder and session."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from waiting import until_sync

if TYPE_CHECKING:
    from cli.conftest import Fabric
    from cli.shell import Shell


def test_a_call_from_another_folder_and_session_prints_the_tools_text(fabric: Fabric, tmp_path: Path) -> None:
    done = fabric.shell.run("call", "echo.echo", "text=hi there", cwd=tmp_path)
    assert (done.code, done.out, done.err) == (0, "hi there\n", "")


def test_a_value_is_json_where_it_is_json_and_text_elsewhere(fabric: Fabric) -> None:
    done = fabric.shell.run("call", "echo.add", "a=1", "b:=2.5", "--json")
    assert done.code == 0
    assert done.json["data"] == {"sum": 3.5}


def test_json_brings_all_arguments_from_the_command_line_standard_input_or_a_file(
    fabric: Fabric, tmp_path: Path
) -> None:
    run = fabric.shell.run
    (tmp_path / "in.json").write_text('{"a": 3, "b": 3}', encoding="utf-8")
    assert run("call", "echo.add", "--json", '{"a": 1, "b": 1}').json["text"] == "2"
    assert run("call", "echo.add", "--json", "-", stdin='{"a": 2, "b": 2}').json["text"] == "4"
    assert run("call", "echo.add", "--json", "@in.json", cwd=tmp_path).json["text"] == "6"


def test_an_answer_in_json_tells_where_it_was_made_and_how_long_it_took(fabric: Fabric) -> None:
    answer = fabric.shell.run("call", "echo.echo", "text=hi", "--json").json
    assert answer["ok"] is True
    assert answer["server"] == "echo"
    assert answer["executed"] == "yes"
    assert answer["content"] == [{"type": "text", "text": "hi"}]
    assert [attempt["cause"] for attempt in answer["attempts"]] == ["OK"]
    assert answer["queued_ms"] >= 0
    assert answer["service_ms"] > 0


def test_a_tools_own_error_ends_with_1_and_one_message(fabric: Fabric) -> None:
    done = fabric.shell.run("call", "echo.fail", "message=boom")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("mcpweft: echo.fail on server 'echo' failed: boom. The tool ran.")
    assert done.err.count("\n") == 1


def test_an_error_in_json_stands_on_standard_output_as_well(fabric: Fabric) -> None:
    done = fabric.shell.run("call", "echo.fail", "message=boom", "--json")
    assert done.code == 1
    assert done.json["ok"] is False
    assert done.json["text"] == "boom"
    assert done.json["error"]["code"] == "TOOL_ERROR"


def test_what_is_misspelt_ends_with_2_and_near_names(fabric: Fabric) -> None:
    tool = fabric.shell.run("call", "echo.ech", "text=hi")
    pool = fabric.shell.run("call", "ecko.echo", "text=hi")
    assert (tool.code, pool.code) == (2, 2)
    assert "near: echo" in tool.err
    assert "Did you mean echo?" in pool.err


def test_arguments_that_do_not_fit_end_with_2_and_a_word_on_how_text_is_written(fabric: Fabric) -> None:
    done = fabric.shell.run("call", "echo.echo", "text=5")
    assert done.code == 2
    assert "$.text" in done.err
    assert "key:='\"5\"' is the text 5" in done.err
    assert fabric.shell.run("call", "echo.echo", 'text:="5"').out == "5\n"


def test_a_call_out_of_time_ends_with_4(fabric: Fabric) -> None:
    done = fabric.shell.run("call", "echo.sleep", "ms=20000", "--timeout", "300ms")
    assert done.code == 4
    assert "The tool may have run." in done.err or "The tool did not run." in done.err


def test_ctrl_c_cancels_the_request_and_ends_with_130(fabric: Fabric) -> None:
    before = len(fabric.calls())
    process = fabric.shell.start("call", "echo.sleep", "ms=60000")
    until_sync(lambda: len(fabric.calls()) > before, 20)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10) == ("", "mcpweft: Interrupted.\n")
    assert process.returncode == 130
    until_sync(lambda: fabric.shell.run("status", "echo", "--json").json["running"] == 0, 10)


def test_sigterm_cancels_the_request_and_ends_with_143(fabric: Fabric) -> None:
    before = len(fabric.calls())
    process = fabric.shell.start("call", "echo.sleep", "ms=60000")
    until_sync(lambda: len(fabric.calls()) > before, 20)
    process.terminate()
    assert process.communicate(timeout=10) == ("", "mcpweft: Terminated.\n")
    assert process.returncode == 143


def test_progress_is_told_on_standard_error(fabric: Fabric) -> None:
    done = fabric.shell.run("call", "echo.progress", "steps=2", "ms=150", "--progress")
    assert (done.code, done.out) == (0, "done\n")
    assert "2 of 2 step 2" in done.err


def test_a_submitted_call_is_found_by_its_id(fabric: Fabric) -> None:
    run = fabric.shell.run
    request = run("submit", "echo.echo", "text=later").out.strip()
    assert run("result", request).out == "later\n"
    found = run("inspect", request, "--json").json
    assert (found["state"], found["code"], found["tool"]) == ("done", "OK", "echo")
    assert [attempt["server"] for attempt in found["attempts"]] == ["echo"]
    assert "state          done (OK)" in run("inspect", request).out


def test_a_submitted_call_is_cancelled_by_its_id_once(fabric: Fabric) -> None:
    run = fabric.shell.run
    request = run("submit", "echo.sleep", "ms=60000", "--json").json["id"]
    assert run("result", request, "--timeout", "100ms").code == 4
    first, second = run("cancel", request), run("cancel", request, "--json")
    assert (first.code, first.out) == (0, "cancelled\n")
    assert (second.code, second.json) == (1, {"id": request, "cancelled": False})
    assert "was cancelled" in run("result", request).err


def test_an_id_of_nothing_is_told_from_no_id(fabric: Fabric) -> None:
    assert (
        fabric.shell.run("result", "echo~0190c2d0-0000-7000-8000-000000000000", "--timeout", "5s").code == 1
    )
    no_id = fabric.shell.run("inspect", "nonsense")
    assert no_id.code == 2
    assert "'nonsense' is no request id" in no_id.err


def test_the_same_key_runs_a_tool_once(fabric: Fabric) -> None:
    words = ("call", "echo.echo", "text=once", "--idempotency-key", "test-once", "--json")
    first, second = fabric.shell.run(*words).json, fabric.shell.run(*words).json
    assert first["id"] == second["id"]
    assert [call["nonce"] for call in fabric.calls()].count({"text": "once"}) == 1


def test_tools_are_listed_for_people_and_for_programs(fabric: Fabric) -> None:
    assert "echo.add\ta b\tAdd a and b.\techo" in fabric.shell.run("tools").out.splitlines()
    listed = fabric.shell.run("tools", "echo", "--json").json
    schema = next(tool["input_schema"] for tool in listed if tool["name"] == "add")
    assert schema["required"] == ["a", "b"]
    assert fabric.shell.run("tools", "ecko").code == 2


def test_status_tells_of_pools_and_workers(fabric: Fabric) -> None:
    whole = fabric.shell.run("status", "--json").json
    assert whole["is_healthy"] is True
    assert [pool["capability"] for pool in whole["pools"]] == ["echo"]
    fields = {
        "is_healthy", "total_servers", "healthy_servers", "degraded_servers", "unhealthy_servers", "strategy",
        "queue_size", "avg_response_ms", "throughput", "error_rate", "uptime_s", "pools",
    }  # fmt: skip
    assert set(whole) == fields
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page.partition("### `mcpweft status")[2].partition("###")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == fields
    said = fabric.shell.run("status").out
    assert "healthy: 1 of 1 servers take work" in said
    assert "0 are degraded, 0 unhealthy" in said
    assert re.search(r"strategy (round_robin|\?), up for ", said), "? until the leader has dealt"


def test_dead_letters_are_listed_shown_replayed_and_purged(fabric: Fabric) -> None:
    run = fabric.shell.run
    crashed = run("call", "echo.crash", "--json")
    assert (crashed.code, crashed.json["error"]["code"]) == (1, "OUTCOME_UNKNOWN")
    letter = run("dead", "list", "echo", "--json").lines[0]
    assert (letter["id"], letter["tool"], letter["executed"]) == (crashed.json["id"], "crash", "maybe")
    assert "dead (OUTCOME_UNKNOWN)" in run("dead", "show", letter["id"]).out
    replayed = run("dead", "replay", letter["id"], "--json").json["replayed_as"]
    assert run("result", replayed, "--timeout", "20s").code == 1  # it crashes its server again
    again = run("dead", "replay", letter["id"])
    assert again.code == 1
    assert "is no dead letter" in again.err + again.out
    assert run("dead", "purge", "--all-of", "echo", "--json").json == {"purged": 1}
    empty = run("dead", "list")
    assert (empty.out, empty.err) == ("", "There are no dead letters.\n")
    assert run("dead", "purge").code == 2


def test_without_a_fabric_a_call_ends_with_3_and_says_where_was_looked(shell: Shell) -> None:
    done = shell.run("call", "echo.echo", "text=hi")
    assert done.code == 3
    for place in (
        "no url was given",
        "MCPWEFT_URL is not set",
        "no mcpweft.toml here or above",
        "no mcpweft up",
    ):
        assert place in done.err
    assert shell.run("tools", "--json").json["error"]["code"] == "CONNECTION_FAILED"


def test_a_store_that_does_not_answer_ends_a_call_with_5_or_out_of_time_with_4(shell: Shell) -> None:
    done = shell.run("call", "echo.echo", "text=hi", "--store", "redis://127.0.0.1:1", "--timeout", "1s")
    assert (done.code, "could not be reached" in done.err) in {(5, True), (4, False)}
    assert "The tool did not run." in done.err


def test_a_reader_who_leaves_ends_a_command_without_a_word(fabric: Fabric) -> None:
    process = fabric.shell.start("tools", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(20) == 74
    assert process.stderr.read() == ""
    process.stderr.close()


def test_another_namespace_on_the_same_store_knows_nothing_of_this_one(
    fabric: Fabric, tmp_path: Path
) -> None:
    place = json.loads(fabric.shell.announcements[0].read_text(encoding="utf-8"))
    shell_env = {"MCPWEFT_URL": place["url"], "MCPWEFT_NAMESPACE": "elsewhere"}
    done = fabric.shell.run("call", "echo.echo", "text=hi", env=shell_env, cwd=tmp_path)
    assert done.code == 2
    assert "No server is registered at all" in done.err
