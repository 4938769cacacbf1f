"""What is made of outcomes, blocks, ids and waits, with no store."""

from __future__ import annotations

import asyncio
import base64
import re
import subprocess
import sys
import uuid
from typing import Any, cast

import pytest

from beside import beside
from mcpweft import (
    AudioBlock,
    ImageBlock,
    ResourceBlock,
    ResourceLink,
    Result,
    TextBlock,
    UnknownBlock,
    errors,
    listener,
)
from mcpweft.listener import Listener
from mcpweft.outcome import problem, read_progress, read_result
from mcpweft.result import read_block
from mcpweft.ticket import left_of
from mcpweft.waits import TICK, Wait, Waits
from mcpweft_schemas import wire
from mcpweft_schemas.connect import StoreUnreachableError
from mcpweft_schemas.ident import LONGEST, producer_id, request_id, uuid7, worker_id
from mcpweft_schemas.keys import PARTY, capability_of
from mcpweft_schemas.life import Class
from mcpweft_schemas.outcome import Attempt, Code, Executed, Times
from mcpweft_schemas.packing import pack
from mcpweft_schemas.wire import Reply
from waiting import until

ATTEMPT = Attempt("git", "git.host.1.ab", "SERVER_DIED", Executed.MAYBE, 1000, 30)


def _reply(code: Code, executed: Executed = Executed.NO, cause: str = "", body: bytes = b"") -> Reply:
    return Reply(
        "git~x", "outcome", 1, body, code, executed, cause, "git", "git.host.1.ab", 1000, 1100, 3100, 5.0,
        (ATTEMPT,),
    )  # fmt: skip


GOLDEN = {
    (Code.TIMEOUT, Executed.NO, "QUEUE_TIMEOUT"): (
        "git.log waited 2.1 s in the queue after 1 attempt and was not started in time. The tool did not "
        "run. Raise timeout or start_within, raise the priority, or add workers."
    ),
    (Code.TIMEOUT, Executed.MAYBE, "DEADLINE"): (
        "git.log was not answered within 2.1 s (git: SERVER_DIED after 30 ms). The tool may have run. "
        "Raise timeout or attempt_timeout, or look at why the server is slow."
    ),
    (Code.CANCELLED, Executed.NO, "CANCELLED"): (
        "git.log was cancelled. The tool did not run. "
        "Somebody else cancelled it: call it again if it is still wanted."
    ),
    (Code.OUTCOME_UNKNOWN, Executed.MAYBE, "WORKER_DIED"): (
        "git.log was cut off on 'git' and may not run twice (git: SERVER_DIED after 30 ms). The tool may "
        "have run. Check what it did. If it may run twice, pass idempotent=True and it is retried."
    ),
    (Code.FAILOVER_EXHAUSTED, Executed.MAYBE, "SERVER_DIED"): (
        "git.log failed in 1 attempt (git: SERVER_DIED after 30 ms). The tool may have run. "
        "Look at the servers with `mcpweft status`; `mcpweft dead replay` repeats the request."
    ),
    (Code.FAILOVER_EXHAUSTED, Executed.MAYBE, "RETRY_BUDGET"): (
        "git.log failed (git: SERVER_DIED after 30 ms), and its pool's retry budget is spent. "
        "The tool may have run. Try it later. Look at the servers with `mcpweft status` and `mcpweft events`."
    ),
    (Code.NO_SERVERS_AVAILABLE, Executed.NO, "NO_SERVERS"): (
        "no worker has served git.log for a second. The tool did not run. "
        'Start one with `mcpweft worker`, or pass when_unavailable="queue" to wait for one.'
    ),
    (Code.SESSION_LOST, Executed.NO, ""): (
        "git.log ended as SESSION_LOST (no cause given). The tool did not run. "
        "Begin again from the call that built the state up."
    ),
}


@pytest.mark.parametrize("key", GOLDEN, ids=lambda key: f"{key[0]}-{key[2]}")
def test_an_outcome_made_by_the_store_is_told_in_full(key: tuple[Code, Executed, str]) -> None:
    code, executed, cause = key
    error = problem(_reply(code, executed, cause), "git.log")
    assert str(error) == GOLDEN[key]
    assert type(error) is errors.BY_CODE[code]
    assert error.times == Times(queued_ms=100, attempts_ms=30, service_ms=5.0)
    assert error.attempts == (ATTEMPT,)
    assert error.retryable is (cause == "RETRY_BUDGET" or errors.BY_CODE[code].retryable)
    if isinstance(error, errors.RequestTimeoutError):
        assert error.phase == ("queue" if cause == "QUEUE_TIMEOUT" else "attempt")


def test_a_body_that_cannot_be_read_says_nothing_and_breaks_nothing() -> None:
    for body in (b"\xc1", pack([1]), pack({"other": 1})):
        assert "ended as SESSION_LOST" in str(problem(_reply(Code.SESSION_LOST, body=body), "git.log"))
        assert read_progress(Reply("git~x", "progress", 1, body)) is None
    with pytest.raises(ValueError, match="no answer"):
        read_result(_reply(Code.OK), pack([1]))


def _result(content: list[dict[str, object]], structured: object = None) -> Result:
    return read_result(_reply(Code.OK), wire.pack_answer(content, structured, is_error=False))


def test_the_value_is_the_structured_content_or_else_the_text() -> None:
    text: list[dict[str, object]] = [{"type": "text", "text": "12"}]
    assert _result(text, {"result": [1]}).data == [1]
    assert _result(text, {"result": 1, "more": 2}).data == {"result": 1, "more": 2}
    assert _result(text).data == "12"
    assert _result([{"type": "text", "text": ' {"a": 1}'}]).data == {"a": 1}
    assert _result([{"type": "text", "text": "[not json"}]).data == "[not json"
    assert _result([*text, *text]).data == "12\n12"
    assert _result([]).data is None


def test_each_kind_of_block_is_read_and_an_odd_one_kept() -> None:
    data = base64.b64encode(b"\x00\x01").decode()
    cases: list[tuple[dict[str, Any], object]] = [
        ({"type": "text", "text": "a"}, TextBlock("a")),
        ({"type": "image", "data": data, "mimeType": "image/png"}, ImageBlock(b"\x00\x01", "image/png")),
        ({"type": "audio", "data": data, "mimeType": "audio/wav"}, AudioBlock(b"\x00\x01", "audio/wav")),
        (
            {"type": "resource", "resource": {"uri": "a:b", "text": "t", "mimeType": "text/plain"}},
            ResourceBlock("a:b", "text/plain", "t", None),
        ),
        (
            {"type": "resource", "resource": {"uri": "a:b", "blob": data}},
            ResourceBlock("a:b", None, None, b"\x00\x01"),
        ),
        ({"type": "resource_link", "uri": "a:b", "name": "n"}, ResourceLink("a:b", "n", None)),
    ]
    for raw, block in cases:
        read = read_block(raw)
        assert raw == read.raw
        assert repr(read) == repr(block)
    odd: list[dict[str, Any]] = [
        {"type": "image", "data": "%", "mimeType": "x"},
        {"type": "new"},
        {"type": "text"},
    ]
    for raw in [*odd, {}]:
        assert read_block(raw) == UnknownBlock(str(raw.get("type", "")), raw)


def test_ids_are_what_keys_and_users_need() -> None:
    first, second = uuid.UUID(uuid7(1, b"\xff" * 10)), uuid.UUID(uuid7(2, b"\x00" * 10))
    assert (first.version, first.variant) == (7, uuid.RFC_4122)
    assert first < second
    assert first.int >> 80 == 1
    assert capability_of(request_id("a_b-c")) == "a_b-c"
    assert len({request_id("a") for _ in range(1000)}) == 1000
    assert re.fullmatch(r"h-s.t\.7\.[0-9a-f]{8}", producer_id("h/s.t", 7))
    assert re.fullmatch(r"git\.h\.7\.[0-9a-f]{4}", worker_id("git", "h", 7))
    for party in (producer_id(), worker_id("s" * 64, "h" * 64, 4_194_304), worker_id("Übel {x}")):
        assert PARTY.fullmatch(party)
        assert len(party) <= LONGEST


async def test_waits_come_off_the_wheel_at_their_time_or_when_they_end() -> None:
    loop, waits = asyncio.get_running_loop(), Waits()

    def add(name: str, when: float) -> Wait:
        wait = Wait("cap", name, loop.create_future(), since=0, hard=99)
        waits.add(wait)
        waits.later(wait, when)
        return wait

    early, ended, late, far = add("a", 10.0), add("b", 10.0), add("c", 20.0), add("d", 5000.0)
    assert waits.pop("cap", "b") == [ended]
    assert list(waits.turn(10.0)) == []  # not before its time
    assert list(waits.turn(10.0 + TICK)) == [early]
    assert list(waits.turn(10.0 + TICK)) == []
    assert list(waits.turn(30.0)) == [late]
    twin = add("d", 31.0)
    assert not waits.remove(twin)
    assert not waits.remove(twin)
    waits.rename(far, "e")
    assert waits.of("cap", "e") == [far]
    assert list(waits.turn(5001.0)) == [far]
    assert (waits.open, waits.capabilities(), waits.of("cap", "d")) == (3, ["cap"], [])
    assert waits.remove(far)


def _loaded(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sorted(name.partition('.')[0] for name in sys.modules))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout
    return set(out.split())


def test_importing_mcpweft_loads_neither_mcp_nor_arq() -> None:
    heavy = {"mcp", "arq", "mcp_types", "cyclopts", "rich", "pydantic_settings"}
    assert not _loaded("import mcpweft") & (heavy | {"redis", "pydantic", "msgpack"})
    assert not _loaded("from mcpweft import Client, SyncClient") & (heavy | {"pydantic"})
    assert not _loaded("from mcpweft import *") & {"mcp", "arq"}


def test_what_waits_here_keeps_the_moments_that_it_was_given() -> None:
    sent = wire.Submission(
        id="a~1",
        tool="t",
        klass=Class.NORMAL,
        body=b"",
        timeout_ms=40_000,
        delay_ms=30_000,
        start_within_ms=35_000,
    )
    assert left_of(sent, 40.0) is sent
    later = left_of(sent, 28.0)
    assert (later.timeout_ms, later.delay_ms, later.start_within_ms) == (28_000, 18_000, 23_000)
    last = left_of(sent, 0.0)
    assert (last.timeout_ms, last.delay_ms, last.start_within_ms) == (1, 0, 1)


# -- listening ---------------------------------------------------------------------------------------------


class Line:
    """A store with so many replies, from which no read of more than `most` arrives in time."""

    def __init__(self, replies: int, most: int, size: int) -> None:
        self.link = self
        self.most = most
        self.reads: list[int] = []
        self._entries = [(f"{n}-0", {b"body": bytes(size)}) for n in range(1, replies + 1)]

    def waiter(self, _: str) -> Line:
        return self

    async def close(self) -> None:
        pass

    async def wait_entries(self, _: Any, positions: dict[str, str], most: int) -> dict[str, Any]:
        self.reads.append(most)
        read = int(positions["key"].partition("-")[0])
        if not self._entries[read:]:
            await asyncio.Event().wait()
        if most > self.most:
            raise StoreUnreachableError("it took too long")
        return {"key": self._entries[read : read + most]}


async def heard(line: Line, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the entries that a listener hears of, in their order."""
    monkeypatch.setattr(listener, "_FIRST_PAUSE", 0.0)
    found: list[str] = []

    async def recover(_: Listener) -> None:
        pass

    def take(_: str, entries: list[tuple[str, Any]]) -> None:
        found.extend(entry for entry, _ in entries)

    made = Listener(cast("Any", line), take, recover)
    made.positions["key"] = "0"
    made._some.set()
    async with beside(made.run()):
        await until(lambda: len(found) == len(line._entries))
    return found


async def test_replies_that_do_not_arrive_in_time_are_read_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = Line(replies=100, most=5, size=10)
    assert await heard(line, monkeypatch) == [f"{n}-0" for n in range(1, 101)]
    assert line.reads[0] > 5


async def test_as_many_replies_are_read_at_a_time_as_their_size_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, large = Line(replies=5000, most=9999, size=10), Line(replies=400, most=9999, size=1 << 20)
    await heard(small, monkeypatch)
    await heard(large, monkeypatch)
    assert max(small.reads) == 1000
    assert max(large.reads[1:]) == 4
