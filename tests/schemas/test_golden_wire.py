"""The bytes of wire version 1, as they lie in `tests/golden/wire-1`: written so today, readable so for ever.

A difference in what is written is a new minor version at least, and old files stay, since an older package
may have written what this one reads. A line of a `.txt` is one bytes literal; a `.hex` is one value.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import realredis
from mcpweft_schemas.life import Class
from mcpweft_schemas.outcome import Attempt, Code, Executed
from mcpweft_schemas.packing import unpack
from mcpweft_schemas.wire import (
    Delivery,
    Reply,
    Settlement,
    Submission,
    fingerprint,
    key_digest,
    pack_answer,
    pack_problem,
    pack_request,
    paired,
    read_attempts,
)
from pool import PRODUCER

if TYPE_CHECKING:
    from altered import Clock
    from pool import Pool

GOLDEN = Path(__file__).parents[1] / "golden" / "wire-1"

ARGUMENTS = {
    "query": "naïve",
    "limit": 3,
    "exact": True,
    "weights": [0.5, -1],
    "after": None,
    "in": {"a": []},
}
METADATA = {"traceparent": "00-1-2-01"}
NOW = 1_700_000_000_000
REQUEST = "echo~018bcfe5-6800-7000-8000-000000000001"


def submission() -> Submission:
    return Submission(
        id=REQUEST, tool="search", klass=Class.HIGH, body=pack_request(ARGUMENTS, METADATA),
        timeout_ms=60_000, attempt_timeout_ms=30_000, max_attempts=2, start_within_ms=5000, safe=True,
        flags="sp", waiter=PRODUCER, key=key_digest("blue", "order-7"),
        print=fingerprint("search", ARGUMENTS), trace="00-1-2-01", tenant="blue", keep_ms=3_600_000,
        key_keep_ms=86_400_000, extra=("session", "s1", "method", "tools/call"),
    )  # fmt: skip


def golden_lines(name: str) -> list[bytes]:
    text = (GOLDEN / name).read_text(encoding="utf-8")
    return [ast.literal_eval(line) for line in text.splitlines()]


def golden_value(name: str) -> bytes:
    return bytes.fromhex((GOLDEN / name).read_text(encoding="utf-8"))


def _flat(values: list[Any]) -> list[bytes]:
    return [value if isinstance(value, bytes) else str(value).encode() for value in values]


# -- what is written ---------------------------------------------------------------------------------------


def test_a_requests_body_is_written_as_version_1() -> None:
    assert pack_request(ARGUMENTS, METADATA) == golden_value("request_body.hex")


def test_what_enqueue_is_handed_is_written_as_version_1() -> None:
    assert _flat(submission().arguments()) == golden_lines("enqueue_argv.txt")


def test_an_outcomes_bodies_are_written_as_version_1() -> None:
    answer = pack_answer([{"type": "text", "text": "naïve"}], {"hits": [1]}, is_error=False)
    assert answer == golden_value("answer_body.hex")
    assert pack_problem("it broke", "mend it") == golden_value("problem_body.hex")


def test_what_settle_is_handed_is_written_as_version_1() -> None:
    settlement = Settlement(
        REQUEST, "s", "1-1", "retry", "", "SERVER_DIED", Executed.MAYBE, 1.5, b"body", 0, 700, 3_600_000
    )
    assert _flat(settlement.arguments()) == golden_lines("settle_argv.txt")


async def _written(pool: Pool) -> dict[str, list[bytes]]:
    """Let the moves write everything that they write about one request, and return it as it lies there."""
    link, keys = pool.store.link, pool.store.keys("echo")
    await pool.enqueue(submission())
    worker = await pool.join("w1", search=True)
    ((_, entry_fields),) = await link.run("XRANGE", keys.stream(Class.HIGH), "-", "+")
    first = await pool.take(worker)
    await pool.store.progress("echo", first, b"half")
    await pool.settle(first, "retry", executed=Executed.MAYBE)
    second = await pool.take(worker)
    answer = golden_value("answer_body.hex")
    await pool.settle(second, service_ms=12.25, body=answer)
    _, (_, progress), (_, outcome) = await link.run("XRANGE", keys.reply(PRODUCER), "-", "+")
    kept = await link.run("HGET", keys.record(REQUEST), "outcome")
    record = await link.run("HGETALL", keys.record(REQUEST))
    del record[b"outcome"]

    def lines(fields: dict[bytes, bytes]) -> list[bytes]:
        flat = [part for pair in fields.items() for part in pair]
        swaps = [(keys.prefix.encode(), b"<prefix>")]
        swaps += [(d.entry.encode(), f"<entry {n}>".encode()) for n, d in ((1, first), (2, second))]
        for old, new in swaps:
            flat = [part.replace(old, new) for part in flat]
        return flat

    assert Reply.read_packed(kept) == Reply.read(outcome)
    return {
        "stream_entry.txt": lines(entry_fields),
        "progress.txt": lines(progress),
        "outcome.txt": lines(outcome),
        "record.txt": lines(dict(sorted(record.items()))),
        "attempts.txt": [outcome[b"log"]],
    }


@realredis.every_store
async def test_what_the_moves_write_is_written_as_version_1(clock: Clock, pool: Pool) -> None:
    assert clock.ms == NOW
    for name, lines in (await _written(pool)).items():
        assert lines == golden_lines(name), name


# -- what is read ------------------------------------------------------------------------------------------


def test_a_body_of_version_1_is_read() -> None:
    fields = golden_lines("stream_entry.txt")
    told: list[Any] = ["s", "1-1", REQUEST, "high", 1, 1, 2, 60_000, 30_000, "1", "sp", NOW]
    delivery = Delivery.read([*_flat(told), fields])
    assert delivery.request() == (ARGUMENTS, METADATA)
    assert (delivery.tool, delivery.tenant, delivery.trace) == ("search", "blue", "00-1-2-01")
    assert (delivery.klass, delivery.safe, delivery.accepted_ms) == (Class.HIGH, True, NOW)
    assert delivery.fields[b"session"] == b"s1"


def test_an_outcome_of_version_1_is_read() -> None:
    reply = Reply.read(paired(golden_lines("outcome.txt")))
    attempts = (
        Attempt("alpha", "w1", "SERVER_DIED", Executed.MAYBE, NOW, 0),
        Attempt("alpha", "w1", "OK", Executed.YES, NOW, 0),
    )
    assert reply is not None
    assert reply == Reply(
        id=REQUEST, kind="outcome", attempt=2, body=golden_value("answer_body.hex"), code=Code.OK,
        executed=Executed.YES, cause="OK", server="alpha", worker="w1", accepted_ms=NOW, started_ms=NOW,
        ended_ms=NOW, service_ms=12.25, attempts=attempts, chunks=0, entry="<entry 2>",
    )  # fmt: skip
    assert unpack(reply.body)["content"] == [{"type": "text", "text": "naïve"}]


def test_progress_of_version_1_is_read() -> None:
    reply = Reply.read(paired(golden_lines("progress.txt")))
    assert reply == Reply(id=REQUEST, kind="progress", attempt=1, body=b"half")


def test_a_log_of_version_1_is_read() -> None:
    (log,) = golden_lines("attempts.txt")
    assert [a.cause for a in read_attempts(log.decode())] == ["SERVER_DIED", "OK"]


@pytest.mark.parametrize("name", ["outcome.txt", "progress.txt"])
def test_a_reply_with_unknown_fields_is_read_and_one_of_another_major_is_passed_over(name: str) -> None:
    lines = golden_lines(name)
    assert Reply.read(paired([*lines, b"later", b"\xff\x00"])) == Reply.read(paired(lines))
    assert lines[:2] == [b"v", b"1"]
    assert Reply.read(paired([b"v", b"1.9", *lines[2:]])) == Reply.read(paired(lines))
    assert Reply.read(paired([b"v", b"2", *lines[2:]])) is None
    assert Reply.read(paired([b"v", b"1", b"kind", b"rumour", b"id", b"x"])) is None
