"""The session as its callers see it: eras, answers, progress, cancelling, restarting, coming back."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import TYPE_CHECKING

import pytest

from mcpweft_schemas.outcome import Executed
from mcpweft_workers.session import Cause, Session, SessionState
from servers.hold import failure, hold, stdio, text
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

ERAS = ["2024-11-05", "2025-06-18", "2025-11-25", "2026-07-28"]


@pytest.mark.parametrize("era", ERAS)
async def test_every_era_lists_answers_reports_fails_and_is_pinged(era: str) -> None:
    async with hold(stdio("echo.py", "--era", era)) as session:
        tools = {tool.name: tool for tool in session.tools}
        assert tools["echo"].read_only is True
        assert tools["fail"].read_only is None
        answer = await session.call("add", {"a": 1, "b": 2}, timeout=5)
        assert text(answer) == "3"
        assert answer.structured == (None if era == "2024-11-05" else {"sum": 3})
        assert not answer.is_error
        assert 0 < answer.service_ms < 5000
        failed = await session.call("fail", {"message": "no"}, timeout=5)
        assert failed.is_error
        steps: list[tuple[float, float | None, str | None]] = []

        def step(done: float, total: float | None, said: str | None) -> None:
            steps.append((done, total, said))

        await session.call("progress", {"steps": 3, "ms": 1}, timeout=5, on_progress=step)
        assert steps == [(1, 3, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]
        assert await session.ping(1)


@pytest.mark.parametrize(("mode", "era"), [("legacy", "2025-06-18"), ("2026-07-28", "2026-07-28")])
async def test_an_era_may_be_asked_for(mode: str, era: str) -> None:
    async with hold(stdio("echo.py", "--era", era, mode=mode)) as session:
        assert text(await session.call("echo", {"text": "x"}, timeout=5)) == "x"


@pytest.mark.parametrize("era", ["2025-06-18", "2026-07-28"])
async def test_a_cancelled_call_returns_at_once_and_reaches_the_server(era: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    async with hold(stdio("rogue.py", "--note", str(note), "--era", era)) as session:
        call = asyncio.create_task(session.call("mute", {}, timeout=60))
        await asyncio.sleep(0)
        await session.call("ok", {}, timeout=5)
        began = time.monotonic()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert time.monotonic() - began < 0.05
        await until(lambda: note.exists() and note.read_text() == "cancelled")
        assert text(await session.call("ok", {}, timeout=5)) == "ok"


async def test_a_timed_out_call_reaches_the_server(tmp_path: Path) -> None:
    note = tmp_path / "note"
    async with hold(stdio("rogue.py", "--note", str(note))) as session:
        failed = await failure(session, "mute", timeout=0.1)
        assert (failed.cause, failed.executed) == (Cause.ATTEMPT_TIMEOUT, Executed.MAYBE)
        await until(lambda: note.exists() and note.read_text() == "cancelled")


async def test_a_cancelled_call_that_was_never_written_never_runs(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with hold(stdio("echo.py", "--ledger", str(ledger))) as session:
        call = asyncio.create_task(session.call("echo", {"text": "x"}, timeout=5))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await session.call("echo", {"text": "y"}, timeout=5)
    assert [json.loads(line)["nonce"] for line in ledger.read_text().splitlines()] == [{"text": "y"}]


async def test_arguments_that_json_cannot_write_are_refused_unsent() -> None:
    async with hold(stdio("echo.py")) as session:
        failed = await failure(session, "echo", text="\ud800")
        assert (failed.cause, failed.executed) == (Cause.INVALID_ARGUMENTS, Executed.NO)


async def test_nulls_and_large_numbers_in_arguments_arrive() -> None:
    async with hold(stdio("echo.py")) as session:
        answer = await session.call("echo", {"text": {"a": None, "b": [None, 2**70]}}, timeout=5)
        assert text(answer) == str({"a": None, "b": [None, 2**70]})


async def test_a_hundred_calls_at_once_are_not_mixed_up() -> None:
    async with hold(stdio("echo.py")) as session:
        calls = [session.call("echo", {"text": f"{n}"}, timeout=10) for n in range(100)]
        assert [text(answer) for answer in await asyncio.gather(*calls)] == [f"{n}" for n in range(100)]


async def test_a_progress_callback_that_raises_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    def spoil(_done: float, _total: float | None, _said: str | None) -> None:
        raise RuntimeError("spoilt")

    async with hold(stdio("echo.py")) as session:
        answer = await session.call("progress", {"steps": 3, "ms": 1}, timeout=5, on_progress=spoil)
        assert text(answer) == "done"
    assert caplog.text.count("RuntimeError: spoilt") == 1


async def test_the_first_to_see_a_failure_clears_ready() -> None:
    async with hold(stdio("echo.py")) as session:
        await failure(session, "crash")
        assert not session.ready.is_set()
        failed = await failure(session, "echo", text="x")
        assert (failed.cause, failed.executed) == (Cause.CONNECTION_FAILED, Executed.NO)


async def test_the_states_are_told_in_order() -> None:
    states: list[SessionState] = []

    def note(state: SessionState, _reason: str) -> None:
        states.append(state)

    async with hold(stdio("echo.py"), on_state=note) as session:
        await failure(session, "crash")
        await asyncio.wait_for(session.ready.wait(), 5)
    assert states == [
        SessionState.CONNECTING,
        SessionState.READY,
        SessionState.DEGRADED,
        SessionState.DOWN,
        SessionState.CONNECTING,
        SessionState.READY,
        SessionState.CLOSED,
    ]


async def test_closing_ends_calls_in_flight() -> None:
    async with hold(stdio("echo.py")) as session:
        call = asyncio.create_task(failure(session, "sleep", ms=5000))
        await asyncio.sleep(0)
    failed = await call
    assert (failed.cause, failed.executed) == (Cause.CANCELLED, Executed.MAYBE)
    assert session.state is SessionState.CLOSED


def test_the_backoff_is_jittered_in_full_and_bounded() -> None:
    async def waits(failures: int) -> list[float]:
        session = Session(stdio("echo.py"), rng=random.Random(1))
        return [session._backoff(failures) for _ in range(200)]

    for failures, top in [(0, 0.1), (1, 0.2), (5, 3.2), (7, 10), (10_000, 10)]:
        drawn = asyncio.run(waits(failures))
        assert 0 <= min(drawn) < top * 0.1
        assert top * 0.9 < max(drawn) <= top
