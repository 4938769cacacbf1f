"""What a fabric's processes leave behind, read as the checker's plain values.

Producers leave logs (see producing.py), the store its records and reply streams. Records are read page by
page, since a long run leaves very many; so nothing may move by then.

Above stands fabric.py; below are a blocking client and `checker`. It must never judge.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import checker
from mcpweft_schemas.packing import unpack
from mcpweft_schemas.wire import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import redis

    from mcpweft_schemas.keys import Keys

_PAGE = 500  # records read in one round trip


def of_producer(
    name: str, events: Iterable[Mapping[str, Any]]
) -> Iterator[checker.Sent | checker.Accepted | checker.Outcome]:
    """Give what a producer's log says."""
    for event in events:
        match event["event"]:
            case "sent":
                what = {key: event[key] for key in ("nonce", "tenant", "safe", "answer", "most", "keyed")}
                yield checker.Sent(producer=name, heard=event["how"] != "leave", **what)
            case "accepted":
                yield checker.Accepted(event["id"], event["nonce"], name)
            case "outcome":
                what = {key: event[key] for key in ("id", "nonce", "code", "executed", "answer")}
                yield checker.Outcome(producer=name, **what)
            case _:
                pass


def records(
    client: redis.Redis | redis.RedisCluster, keys: Keys, names: Mapping[str, str]
) -> Iterator[checker.Stored]:
    """Give the records of one pool; `names`: each producer's id on the wire → its name."""
    told: dict[str, list[str]] = {}
    for producer_id, name in names.items():
        for request_id in told_on(client, keys, producer_id):
            told.setdefault(request_id, []).append(name)
    ids = (bytes(key).decode().partition("}:r:")[2] for key in client.scan_iter(keys.record("*"), count=1000))
    while page := list(islice(ids, _PAGE)):
        for request_id, record in read_records(client, keys, page).items():
            yield stored(request_id, record, told.get(request_id, ()), names)


def read_records(
    client: redis.Redis | redis.RedisCluster, keys: Keys, ids: Iterable[str]
) -> dict[str, dict[str, bytes]]:
    """Return the records of these requests, as far as there are any."""
    wanted = list(ids)
    pipe: Any = client.pipeline(transaction=False)
    for request_id in wanted:
        pipe.hgetall(keys.record(request_id))
    return {
        request_id: {name.decode(): value for name, value in record.items()}
        for request_id, record in zip(wanted, pipe.execute(), strict=True)
        if record
    }


def told_on(client: redis.Redis | redis.RedisCluster, keys: Keys, producer_id: str) -> list[str]:
    """Return the requests whose outcomes lie on a producer's reply stream."""
    entries: Any = client.xrange(keys.reply(producer_id))
    return [fields[b"id"].decode() for _, fields in entries if fields.get(b"kind") == b"outcome"]


def stored(
    request_id: str, record: Mapping[str, bytes], told: Iterable[str], names: Mapping[str, str]
) -> checker.Stored:
    """Return one record as the checker sees it."""

    def text(name: str) -> str:
        return record.get(name, b"").decode()

    kept = record.get("outcome")
    outcome = Reply.read_packed(kept) if kept else None
    return checker.Stored(
        id=request_id,
        nonce=None,
        state=text("state"),
        tenant=text("tenant"),
        waiters=tuple(names.get(waiter, waiter) for waiter in text("waiters").split()),
        code=text("code"),
        executed=text("executed"),
        kept=outcome is not None,
        told=tuple(told),
        answer=_answer(outcome),
    )


def _answer(outcome: Reply | None) -> str | None:
    """Return the text of an answer that was kept."""
    if outcome is None or outcome.code not in checker.ANSWERS or outcome.chunks:
        return None
    text: str = unpack(outcome.body)["content"][0]["text"]
    return text
