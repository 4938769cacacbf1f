"""What a misbehaving stdio server does to a call, and that the next call is served."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from mcpweft_schemas.outcome import Executed
from mcpweft_workers.session import Cause, Session, Tool
from servers.hold import failure, hold, stdio, text
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


@pytest.mark.parametrize("tool", ["nan", "huge_number", "deep", "shape", "list"])
async def test_an_answer_that_is_none_fails_its_call_at_once_and_no_other(tool: str) -> None:
    async with hold(stdio("rogue.py")) as session:
        other = asyncio.create_task(session.call("sleep", {"ms": 100}, timeout=5))
        failed = await failure(session, tool)
        assert failed.cause is Cause.PROTOCOL
        assert failed.executed is Executed.YES
        assert text(await other) == "done"
        assert session.connects == 1


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("garbage", {}, "ok"),
        ("utf8", {}, "caf\ufffd"),
        ("other_id", {}, "yours"),
        ("duplicate", {}, "answer 0"),
        ("trickle", {"ms": 1}, "slow"),
        ("flood", {"count": 20_000}, "after the flood"),
        ("pings", {"count": 4_000}, "after the pings"),
        ("stderr", {"size": 5 * MIB}, "ok"),
        ("answer_and_exit", {}, "farewell"),
    ],
)
async def test_noise_around_an_answer_does_not_hide_it(
    tool: str, arguments: dict[str, int], said: str
) -> None:
    async with hold(stdio("rogue.py")) as session:
        assert text(await session.call(tool, arguments, timeout=10)) == said


@pytest.mark.parametrize("last", [False, True])
async def test_a_line_over_the_cap_fails_its_call_soon_and_the_session_survives(last: bool) -> None:  # noqa: FBT001  # a parameter of the test
    async with hold(stdio("rogue.py")) as session:
        began = time.monotonic()
        failed = await failure(session, "big", size=10 * MIB, last=last)
        assert failed.cause is Cause.TOO_LARGE
        assert failed.executed is Executed.YES
        assert time.monotonic() - began < 2
        assert text(await session.call("ok", {}, timeout=5)) == "ok"
        assert session.connects == 1


async def test_an_answer_just_under_the_cap_arrives_whole() -> None:
    async with hold(stdio("rogue.py")) as session:
        answer = await session.call("big", {"size": 8 * MIB - 1000}, timeout=10)
        assert len(text(answer)) == 8 * MIB - 1000


@pytest.mark.parametrize("method", ["elicitation/create", "sampling/createMessage", "roots/list"])
async def test_a_call_that_asks_for_input_ends_at_once_and_is_cancelled_on_the_server(
    method: str, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    async with hold(stdio("rogue.py", "--note", str(note))) as session:
        failed = await failure(session, "ask", method=method)
        assert failed.cause is Cause.INPUT_REQUIRED
        assert await until(lambda: _said(note) == "cancelled")
        assert text(await session.call("ok", {}, timeout=5)) == "ok"


async def test_among_several_calls_nobody_is_ended_for_another_ones_question() -> None:
    async with hold(stdio("rogue.py")) as session:
        other = asyncio.create_task(session.call("sleep", {"ms": 200}, timeout=5))
        await asyncio.sleep(0)
        asking = await session.call("ask", {"method": "elicitation/create"}, timeout=5)
        assert text(asking) == "refused"
        assert text(await other) == "done"


async def test_the_newest_era_s_input_required_is_told_as_such() -> None:
    async with hold(stdio("rogue.py", "--era", "2026-07-28")) as session:
        failed = await failure(session, "input_required")
        assert failed.cause is Cause.INPUT_REQUIRED
        assert failed.executed is Executed.YES


@pytest.mark.parametrize(
    ("code", "cause"),
    [(-32602, Cause.INVALID_ARGUMENTS), (-32000, Cause.PROTOCOL), (-32042, Cause.INPUT_REQUIRED)],
)
async def test_a_protocol_error_is_an_answer(code: int, cause: Cause) -> None:
    async with hold(stdio("rogue.py")) as session:
        failed = await failure(session, "error", code=code)
        assert failed.cause is cause
        assert failed.executed is Executed.YES
        assert "no such luck" in failed.message


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ("crash", "exited with code 3"),
        ("half", "exited with code 0"),
        ("exit_with_child", "exited with code 5"),
        ("close_stdout", "closed its stdout"),
    ],
)
async def test_a_server_that_ends_fails_every_call_in_flight_and_is_started_again(
    tool: str, said: str
) -> None:
    async with hold(stdio("rogue.py")) as session:
        others = [asyncio.create_task(failure(session, "mute")) for _ in range(3)]
        await asyncio.sleep(0)
        for failed in [await failure(session, tool), *await asyncio.gather(*others)]:
            assert failed.cause is Cause.SERVER_DIED
            assert failed.executed is Executed.MAYBE
            assert said in failed.message
        await asyncio.wait_for(session.ready.wait(), 5)
        assert text(await session.call("ok", {}, timeout=5)) == "ok"


async def test_a_call_to_a_server_that_closed_its_stdin_did_not_run() -> None:
    async with hold(stdio("rogue.py")) as session:
        await failure(session, "close_stdin", timeout=0.2)
        failed = await failure(session, "ok")
        assert failed.cause is Cause.SERVER_DIED
        assert failed.executed is Executed.NO


async def test_a_server_that_stops_reading_times_its_calls_out_and_tells_which_ran() -> None:
    async with hold(stdio("rogue.py")) as session:
        await failure(session, "deaf", timeout=0.1)
        first = await failure(session, "echo", timeout=0.2, text="x" * MIB)  # fills the pipe
        second = await failure(session, "echo", timeout=0.2, text="y")
        assert (first.cause, first.executed) == (Cause.ATTEMPT_TIMEOUT, Executed.MAYBE)
        assert (second.cause, second.executed) == (Cause.ATTEMPT_TIMEOUT, Executed.NO)
        assert not await session.ping(0.1)
        await session.restart("it hangs")
        await asyncio.wait_for(session.ready.wait(), 5)
        assert text(await session.call("ok", {}, timeout=5)) == "ok"


async def test_a_changed_tool_list_is_read_again() -> None:
    listings: list[tuple[Tool, ...]] = []
    async with hold(stdio("rogue.py"), on_tools=listings.append) as session:
        assert "grown" not in _names(session)
        await session.call("grow", {}, timeout=5)
        await until(lambda: "grown" in _names(session))
        assert len(listings) == 2


def _names(session: Session) -> set[str]:
    return {tool.name for tool in session.tools}


def _said(note: Path) -> str:
    return note.read_text() if note.exists() else ""
