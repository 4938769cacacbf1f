"""What is shown to readers runs: the page on testing, and the README's programs on a fake and on a fabric."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp.server import MCPServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft.testing import Fabric, FakeClient, FakeSyncClient

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\w+)\.py -->\n```python\n(.*?)```", PAGE, re.DOTALL))
PROGRAMS = dict(re.findall(r"<!-- run: (\w+) -->\n```python\n(.*?)```", README, re.DOTALL))

server = MCPServer("time", log_level="ERROR")


@server.tool()
def get_current_time(timezone: str) -> dict[str, str]:
    if "/" not in timezone and timezone != "UTC":
        raise ValueError("no such zone")
    return {"timezone": timezone}


def test_the_page_s_files_pass(run: Callable[..., pytest.RunResult]) -> None:
    assert set(FILES) == {"shop", "test_shop", "test_answers", "test_sync", "test_together"}
    tests = sum(text.count("def test_") for text in FILES.values())
    run(**FILES).assert_outcomes(passed=tests + 1)  # one of them runs twice


def test_the_message_on_the_page_is_the_one_that_is_shown(mcpweft_fake_sync: FakeSyncClient) -> None:
    mcpweft_fake_sync.returns("search.find", 3)
    mcpweft_fake_sync.call("search.find", {"query": "tea"}, priority="high")
    with pytest.raises(AssertionError) as caught:
        mcpweft_fake_sync.calls.assert_called("search.find", {"query": "coffee"})
    assert f"AssertionError: {caught.value}\n" in PAGE


def play(name: str) -> None:
    """Run one of the README's programs here; the application is asked as a browser would."""
    scope: dict[str, object] = {"__name__": "a_program"}
    exec(compile(PROGRAMS[name], f"README: {name}", "exec"), scope)  # noqa: S102  # our own page
    if name == "fastapi":
        from fastapi.testclient import TestClient  # noqa: PLC0415  # slow, and for one of them

        with TestClient(scope["app"]) as web:  # type: ignore[arg-type]  # it is the application
            assert web.get("/time/UTC").json() == {"timezone": "UTC"}
            assert web.get("/time/Nowhere").status_code == 502


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_readme_s_programs_run_on_a_fake(
    name: str,
    mcpweft_fake: FakeClient,
    mcpweft_fake_sync: FakeSyncClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("mcpweft.Client", mcpweft_fake)
    monkeypatch.setattr("mcpweft.SyncClient", mcpweft_fake_sync)
    answers = mcpweft_fake.returns("time.get_current_time", get_current_time)
    if name == "fastapi":
        answers.then_raises("TOOL_ERROR")
    play(name)
    asked = [call.arguments["timezone"] for call in mcpweft_fake.calls]
    assert (
        asked
        == {
            "async": ["Europe/Vienna", "UTC", "Asia/Tokyo", "America/Lima", "Africa/Cairo"],
            "sync": ["UTC"],
            "fastapi": ["UTC", "Nowhere"],
        }[name]
    )
    assert ("UTC" in capsys.readouterr().out) == (name != "fastapi")


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_readme_s_programs_run_on_a_fabric(
    name: str, mcpweft_fabric: Fabric, capsys: pytest.CaptureFixture[str]
) -> None:
    with mcpweft_fabric(server, capability="time"):
        play(name)
    assert ("UTC" in capsys.readouterr().out) == (name != "fastapi")
