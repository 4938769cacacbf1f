"""In what a pool's keys differ from what the oracle says that they must be.

Above stands `play`. Below are the oracle and a snapshot of the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweft_schemas.outcome import Code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcpweft_schemas.wire import Submission
    from oracle import Oracle, Request
    from snapshot import Snapshot


def differences(oracle: Oracle, shot: Snapshot) -> Iterator[str]:
    """Tell in what a pool's keys differ from what they must be."""
    records = shot.records()
    if records.keys() != oracle.requests.keys():
        yield f"records {records.keys() ^ oracle.requests.keys()} are on one side only"
    for request_id in records.keys() & oracle.requests.keys():
        mine, theirs = _told(oracle.requests[request_id]), records[request_id]
        said = {name: theirs.get(name, "") for name in mine} | {
            "kept": str("outcome" in theirs),
            "attempt": theirs.get("attempt", "0"),
            "deliveries": theirs.get("deliveries", "0"),
            "executed": theirs.get("executed", "no"),
            "cancel": theirs.get("cancel", "0"),
        }
        if said != mine:
            yield f"{request_id}: the store says {said}, the oracle {mine}"
    budget = shot.hashes.get("stat", {}).get("retry", "")
    if budget != ("{:.6f} {} {}".format(*oracle.budget) if oracle.budget else ""):
        yield f"the store's retry budget is {budget!r}, the oracle's {oracle.budget}"
    keys = {name[2:]: value.decode() for name, value in shot.strings.items() if name.startswith("i:")}
    if keys != oracle.keys:
        yield f"the store's keys are {keys}, the oracle's {oracle.keys}"
    for producer, told in oracle.streams.items():
        heard = {e["id"].decode(): Code(e["code"].decode()) for e in shot.replies(producer)}
        if heard != told:
            yield f"{producer} heard {heard}, and should have heard {told}"
        for entry in shot.replies(producer):
            sent = oracle.requests[entry["id"].decode()].sent
            if entry.get("rules", b"").decode() != _rules(sent):
                yield f"{producer} heard that {entry.get('rules')!r} fitted {sent.id}"


def _told(r: Request) -> dict[str, str]:
    return {
        "state": r.state.value,
        "attempt": str(r.attempt),
        "deliveries": str(r.deliveries),
        "executed": r.executed.value,
        "code": r.code.value if r.code else "",
        "waiters": " ".join(r.waiters),
        "cancel": str(r.cancel),
        "last": " ".join(r.last) if r.last else "",
        "kept": str(r.kept),
        "rules": _rules(r.sent),
    }


def _rules(sent: Submission) -> str:
    """Return which rules fitted a request, as its producer said."""
    return dict(zip(sent.extra[::2], sent.extra[1::2], strict=True)).get("rules", "")
