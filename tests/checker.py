"""What the logs of all processes must prove after a fault: one outcome each, and nothing made up.

Three witnesses that do not know each other: the producers (what was sent, accepted and answered), the MCP
servers' ledger (written before a tool acts), and the store's records as they lie there at the end. `faults`
compares them and returns a sentence for each contradiction.

Above stand the fault tests and whoever else has such logs. Below is nothing: this module reads no file, no
store and no clock. How the logs are written is `faults/producing.py`'s and the ledger's business.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

ANSWERS = frozenset({"OK", "TOOL_ERROR"})
"""Codes of outcomes that carry a tool's own answer."""
UNHEARD = frozenset({"STORE_LOST", "RESULT_EXPIRED", "CONNECTION_FAILED", "SHUTTING_DOWN"})
"""Codes that a producer gives a wait which it ends itself: they claim nothing about the request's outcome."""
FINAL = frozenset({"done", "dead", "cancelled", "expired"})
"""States of a record whose request has ended."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, as a producer made it; whoever follows it, or shares its idempotency key, made it too."""

    nonce: str
    producer: str
    tenant: str
    safe: bool
    """Whether running it twice does no harm."""
    answer: str | None
    """The text that the tool must answer; None where any will do."""
    most: int = 3
    """How often it may run, where that does no harm."""
    keyed: bool = False
    """Whether it has an idempotency key: what never ran frees it, and its next user makes a new request."""
    heard: bool = True
    """Whether its producer waits for its outcome."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The store's word to a producer that it has taken a request."""

    id: str
    nonce: str
    producer: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a producer was told in the end."""

    id: str | None
    nonce: str
    producer: str
    code: str
    executed: str
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A request's record, as it lies in the store at the end."""

    id: str
    nonce: str | None
    """None where the record does not hold the request any more."""
    state: str
    tenant: str
    waiters: tuple[str, ...]
    code: str = ""
    executed: str = ""
    kept: bool = False
    """Whether the outcome itself is there, for whoever asks by id."""
    told: tuple[str, ...] = ()
    """Producers in whose reply streams the outcome lies."""
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was written down about one run."""

    sent: Sequence[Sent] = ()
    accepted: Sequence[Accepted] = ()
    outcomes: Sequence[Outcome] = ()
    ledger: Sequence[str] = ()
    """The nonce of each execution."""
    stored: Sequence[Stored] = ()
    leaked_keys: Sequence[str] = ()
    left_processes: Sequence[str] = ()
    broken: Sequence[str] = ()
    """Processes that ended otherwise than they were told to, or said that they broke."""
    dead_producers: frozenset[str] = field(default_factory=frozenset[str])
    """Those that were killed: they hear nothing any more."""


def faults(evidence: Evidence) -> list[str]:
    """Return a sentence for each thing that must not be; nothing where all is well."""
    return [sentence for found in violations(evidence).values() for sentence in found]


def violations(evidence: Evidence) -> dict[str, list[str]]:
    """Return the same by kind; every kind is there, most of them empty."""
    heard: defaultdict[str, list[Outcome]] = defaultdict(list)
    for outcome in evidence.outcomes:
        heard[outcome.nonce].append(outcome)
    return {
        "lost": [*_lost(evidence, heard)],
        "doubled": [*_doubled(evidence, heard)],
        "invented": [*_invented(evidence)],
        "misdelivered": [*_misdelivered(evidence)],
        "over_executed": [*_over_executed(evidence)],
        "hung": [*_hung(evidence)],
        "leaked_keys": [f"key {key} has neither a TTL nor an owner" for key in evidence.leaked_keys],
        "leaked_processes": [f"process {process} was left" for process in evidence.left_processes],
        "broken": [*evidence.broken],
    }


def _lost(evidence: Evidence, heard: Mapping[str, Sequence[Outcome]]) -> Iterator[str]:
    """Each accepted request ends, and has an outcome: seen by its producer or stored."""
    stored = {record.id: record for record in evidence.stored}
    for accepted in evidence.accepted:
        outcomes = heard.get(accepted.nonce)
        record = stored.get(accepted.id)
        if outcomes or (record is not None and _is_to_be_had(record)):
            continue
        dead = accepted.producer in evidence.dead_producers
        where = f"is {record.state} in the store" if record is not None else "has no record"
        yield f"{accepted.nonce} was accepted and has no outcome: it {where}, its producer {_fate(dead=dead)}"
    for record in evidence.stored:
        if record.state not in FINAL:
            yield f"{record.id} never ended: it is {record.state}"


def _hung(evidence: Evidence) -> Iterator[str]:
    """Each call of a producer that lives has come to an end."""
    ended = {(one.nonce, one.producer) for one in evidence.outcomes}
    for one in evidence.sent:
        if (
            one.heard
            and one.producer not in evidence.dead_producers
            and (one.nonce, one.producer) not in ended
        ):
            yield f"{one.producer} still waits for {one.nonce}"


def _doubled(evidence: Evidence, heard: Mapping[str, Sequence[Outcome]]) -> Iterator[str]:
    """Nobody is told two outcomes, no two are told different ones, and the store says the same."""
    keyed = {one.nonce for one in evidence.sent if one.keyed}
    for nonce, outcomes in heard.items():
        for producer, times in Counter(outcome.producer for outcome in outcomes).items():
            if times > 1:
                yield f"{nonce} was answered {times} times to {producer}"
        claims = {(o.code, o.executed, o.answer) for o in outcomes if o.code not in UNHEARD}
        if nonce in keyed:
            claims = {claim for claim in claims if claim[1] != "no"}
        if len(claims) > 1:
            yield f"{nonce} has different outcomes: {sorted(map(str, claims))}"
    by_id = {outcome.id: outcome for outcomes in heard.values() for outcome in outcomes}
    for record in evidence.stored:
        outcome = by_id.get(record.id)
        if outcome is None or outcome.code in UNHEARD or record.state not in FINAL:
            continue
        if outcome.code == "TIMEOUT" and (record.code != "TIMEOUT" or outcome.executed == "maybe"):
            continue  # its producer gave up first, and said so
        if (outcome.code, outcome.executed) != (record.code, record.executed):
            said, is_so = f"{outcome.code}/{outcome.executed}", f"{record.code}/{record.executed}"
            yield f"{outcome.nonce} was answered as {said} and is stored as {is_so}"


def _is_to_be_had(record: Stored) -> bool:
    return record.state in FINAL and (record.kept or bool(record.told))


def _fate(*, dead: bool) -> str:
    return "was killed" if dead else "was told nothing"


def _over_executed(evidence: Evidence) -> Iterator[str]:
    """What must not run twice ran once at most, and the rest no more often than it may be tried."""
    sent = {one.nonce: one for one in evidence.sent}
    for nonce, times in Counter(evidence.ledger).items():
        one = sent.get(nonce)
        if one is not None and not one.safe and times > 1:
            yield f"{nonce} is unsafe and ran {times} times"
        elif one is not None and times > one.most:
            yield f"{nonce} ran {times} times, where {one.most} were allowed"


def _invented(evidence: Evidence) -> Iterator[str]:
    """Every outcome and every execution goes back to a request, and says of it what is true."""
    sent = {one.nonce: one for one in evidence.sent}
    ran = set(evidence.ledger)
    for nonce in ran - sent.keys():
        yield f"{nonce} ran, and nobody sent it"
    for accepted in evidence.accepted:
        if accepted.nonce not in sent:
            yield f"{accepted.nonce} was accepted, and nobody sent it"
    for record in evidence.stored:
        if record.nonce is not None and record.nonce not in sent:
            yield f"{record.id} holds {record.nonce}, which nobody sent"
    ids = {record.id: record.nonce for record in evidence.stored if record.nonce is not None}
    for one in (*evidence.outcomes, *_claims(evidence.stored, evidence.accepted)):
        request = sent.get(one.nonce)
        if request is None:
            yield f"{one.nonce} has an outcome, and nobody sent it"
            continue
        if one.id is not None and ids.get(one.id, one.nonce) != one.nonce:
            yield f"{one.nonce} was answered with the outcome of {ids[one.id]}"
        yield from _truth(one, request, ran)


def _claims(stored: Iterable[Stored], accepted: Iterable[Accepted]) -> Iterator[Outcome]:
    """What the records say, as outcomes."""
    nonces = {one.id: one.nonce for one in accepted}
    for record in stored:
        nonce = record.nonce or nonces.get(record.id)
        if nonce is not None and record.state in FINAL:
            yield Outcome(record.id, nonce, "the store", record.code, record.executed, record.answer)


def _truth(one: Outcome, request: Sent, ran: set[str]) -> Iterator[str]:
    if one.code in ANSWERS and one.nonce not in ran:
        yield f"{one.nonce} has an answer, and never ran"
    if one.executed == "no" and one.nonce in ran and not request.keyed:
        yield f"{one.nonce} is said not to have run ({one.code}), and did"
    if one.executed == "yes" and one.nonce not in ran:
        yield f"{one.nonce} is said to have run ({one.code}), and did not"
    if one.code in ANSWERS and None not in (request.answer, one.answer) and one.answer != request.answer:
        yield f"{one.nonce} was answered {one.answer!r}, where {request.answer!r} is right"


def _misdelivered(evidence: Evidence) -> Iterator[str]:
    """Nothing is in a wrong tenant, nor with a producer that did not ask."""
    sent = {one.nonce: one for one in evidence.sent}
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for one in evidence.sent:
        owners[one.nonce].add(one.producer)
    nonces = {one.id: one.nonce for one in evidence.accepted}
    came = {(one.nonce, one.producer) for one in evidence.accepted}
    came |= {(one.nonce, one.producer) for one in evidence.outcomes}
    for nonce, producer in sorted(came):
        if nonce in sent and producer not in owners[nonce]:
            yield f"{nonce} is {_names(owners[nonce])}'s and came to {producer}"
    for record in evidence.stored:
        request = sent.get(record.nonce or nonces.get(record.id, ""))
        if request is None:
            continue
        if record.tenant != request.tenant:
            yield f"{request.nonce} is of tenant {request.tenant!r} and lies in {record.tenant!r}"
        for producer in {*record.waiters, *record.told} - owners[request.nonce]:
            yield f"{request.nonce} is {_names(owners[request.nonce])}'s, and {producer} is told of it"


def _names(parties: Iterable[str]) -> str:
    return " and ".join(sorted(parties))
