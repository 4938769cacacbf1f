"""What the moves must do, in plain Python: the oracle that the stateful test holds the scripts against.

It follows docs/protocol.md and `life.py`, keeps everything in dictionaries, and knows no store. Where the
scripts have a choice (which class goes first, which late request a fetch happens to meet) the oracle is told
what was done and checks that it was lawful.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcpweft_schemas.life import FINAL, Class, Event, State, step
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.wire import DURABLE, PICKY, STORED
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mcpweft_schemas.store import Reader
    from mcpweft_schemas.wire import Delivery, Settlement, Submission
    from snapshot import Snapshot

CAP = 20
RATIO, FLOOR, BURST = 0.25, 1.0, 4
"""The retry budget that the oracle's pool is declared with."""
GRACE = 1000
SHARE = {Class.CRITICAL: 1.0, Class.HIGH: 0.95, Class.NORMAL: 0.85, Class.LOW: 0.6}
_GROWS = [Executed.NO, Executed.MAYBE, Executed.YES]

Token = tuple[str, str]
"""Stream and entry: what a delivery is known by."""


@dataclass(slots=True)
class Request:
    """One accepted request."""

    sent: Submission
    state: State
    deadline: int
    waiters: list[str]
    due: int = 0
    """When others may take it, while it is delayed."""
    again: int = 0
    """When those that tried it may."""
    attempt: int = 0
    deliveries: int = 0
    token: Token | None = None
    last: Token | None = None
    worker: str = ""
    run: bool = False
    executed: Executed = Executed.NO
    tried: set[str] = field(default_factory=set[str])
    cancel: int = 0
    code: Code | None = None
    kept: bool = False

    def move(self, event: Event) -> None:
        """Take the table's step, which must be lawful."""
        after = step(self.state, event)
        assert after is not None, f"{self.sent.id}: {event} while {self.state}"
        self.state = after


@dataclass(slots=True)
class Oracle:
    """One pool as it must be."""

    now: int
    bound: int
    tools: Mapping[str, bool]
    """Tool → safe, the same on every server."""
    incarnation: str = ""
    """Empty while the pool is not declared."""
    requests: dict[str, Request] = field(default_factory=dict[str, Request])
    queues: dict[Class, list[str]] = field(default_factory=lambda: {klass: [] for klass in Class})
    keys: dict[str, str] = field(default_factory=dict[str, str])
    streams: dict[str, dict[str, Code]] = field(default_factory=dict[str, dict[str, Code]])
    """Producer → request → the outcome that it was told, for each producer that listens."""
    members: set[str] = field(default_factory=set[str])
    readers: dict[str, int] = field(default_factory=dict[str, int])
    beats: dict[str, int] = field(default_factory=dict[str, int])
    usable: dict[str, int] = field(default_factory=dict[str, int])
    leader: int = 0
    shares: dict[str, bytes] = field(default_factory=dict[str, bytes])
    strategy: str = ""
    budget: tuple[float, int, int] | None = None
    """The retry budget: its level, when that was, and how many had ended by then; None while it is full."""

    # -- what is where -------------------------------------------------------------------------------------

    def living(self) -> Iterator[Request]:
        """Yield the requests that have not ended."""
        return (r for r in self.requests.values() if r.state not in FINAL)

    def held_by(self, worker: str) -> list[Request]:
        """Return what runs at a worker."""
        return [r for r in self.living() if r.state == State.RUNNING and r.worker == worker]

    def _leave(self, r: Request) -> None:
        if r.state == State.QUEUED:
            self.queues[r.sent.klass].remove(r.sent.id)

    def _end(self, r: Request, event: Event, code: Code, executed: Executed) -> None:
        self._leave(r)
        r.move(event)
        r.code, r.executed, r.token = code, executed, None
        r.kept = STORED in r.sent.flags or bool(r.sent.key)
        for producer in r.waiters:
            if producer in self.streams:
                self.streams[producer][r.sent.id] = code
            else:
                r.kept = True
        if r.sent.key and executed == Executed.NO and self.keys.get(r.sent.key) == r.sent.id:
            del self.keys[r.sent.key]
        elif r.sent.key and executed != Executed.NO:
            self.keys[r.sent.key] = r.sent.id

    def _wait(self, r: Request, event: Event, again: int) -> None:
        r.move(event)
        r.due, r.again, r.token = self.now, again, None

    # -- producers -----------------------------------------------------------------------------------------

    def enqueue(self, sent: Submission) -> tuple[Word, str]:
        """Return the word, and the id to wait for."""
        if not self.incarnation:
            return Word.UNKNOWN, sent.id
        if sent.id in self.requests:
            return Word.REPEAT, sent.id
        holder = self.requests.get(self.keys.get(sent.key, "")) if sent.key else None
        if holder is not None:
            return self._use_key(holder, sent), holder.sent.id
        if sum(1 for _ in self.living()) + 1 > self.bound * SHARE[sent.klass]:
            return Word.FULL, sent.id
        if PICKY in sent.flags and not any(until >= self.now for until in self.usable.values()):
            return Word.NO_SERVERS, sent.id
        state = State.DELAYED if sent.delay_ms else State.QUEUED
        waiters = [sent.waiter] if sent.waiter else []
        r = Request(sent, state, self.now + sent.timeout_ms, waiters, self.now + sent.delay_ms)
        self.requests[sent.id] = r
        if state == State.QUEUED:
            self.queues[sent.klass].append(sent.id)
        if sent.key:
            self.keys[sent.key] = sent.id
        return Word.OK, sent.id

    def _use_key(self, holder: Request, sent: Submission) -> Word:
        if holder.sent.print != sent.print:
            return Word.CONFLICT
        if holder.state in FINAL:
            return Word.SETTLED
        self._join(holder, sent.waiter)
        return Word.ATTACHED

    @staticmethod
    def _join(r: Request, producer: str) -> None:
        if producer and producer not in r.waiters:
            r.waiters.append(producer)

    def attach(self, request_id: str, producer: str) -> Word:
        """Wait on a request."""
        r = self.requests.get(request_id)
        if r is None:
            return Word.UNKNOWN
        if r.state in FINAL:
            return Word.SETTLED
        self._join(r, producer)
        return Word.ATTACHED

    def cancel(self, request_id: str, producer: str, *, stop: bool) -> Word:
        """End a request, or leave it."""
        r = self.requests.get(request_id)
        if r is None:
            return Word.UNKNOWN
        if r.state in FINAL:
            return Word.SETTLED
        if producer:
            r.waiters = [waiter for waiter in r.waiters if waiter != producer]
            if r.waiters or not stop or DURABLE in r.sent.flags:
                return Word.DETACHED
        if r.state == State.RUNNING:
            r.cancel = r.cancel or self.now
            return Word.SIGNALLED
        self._end(r, Event.CANCEL, Code.CANCELLED, r.executed)
        return Word.OK

    def expire(self, request_id: str) -> Word:  # noqa: PLR0911  # a word a line, as the script
        """Let time take effect on one request."""
        r = self.requests.get(request_id)
        if r is None:
            return Word.UNKNOWN
        if r.state in FINAL:
            return Word.SETTLED
        if r.state != State.RUNNING:
            if r.deadline > self.now:
                return Word.WAITING
            self._end(r, Event.EXPIRE, Code.TIMEOUT, r.executed)
            return Word.ENDED
        if r.cancel:
            if r.cancel + GRACE > self.now:
                return Word.SIGNALLED
            self._abandon(r)
            return Word.ENDED
        if r.deadline > self.now:
            return Word.RUNNING
        r.cancel = self.now
        return Word.SIGNALLED

    def _abandon(self, r: Request) -> None:
        executed = max(r.executed, Executed.MAYBE, key=_GROWS.index)
        if not r.run:
            self._end(r, Event.LOSE, Code.OUTCOME_UNKNOWN, executed)
        elif r.deadline <= r.cancel:
            self._end(r, Event.EXPIRE, Code.TIMEOUT, executed)
        else:
            self._end(r, Event.CANCEL, Code.CANCELLED, executed)

    # -- workers -------------------------------------------------------------------------------------------

    def register(self, reader: Reader) -> bool:
        """Join."""
        if not self.incarnation:
            return False
        self.members.add(reader.worker)
        self.beats[reader.worker] = self.now
        self.readers[reader.worker] = max(self.readers.get(reader.worker, 0), reader.epoch)
        return True

    def beat(self, reader: Reader, usable_ms: int) -> Word:
        """Live."""
        if not self.incarnation or reader.incarnation != self.incarnation:
            return Word.WIPED
        if reader.worker not in self.members:
            return Word.UNKNOWN
        self.beats[reader.worker] = self.now
        self.usable.pop(reader.worker, None)
        if usable_ms:
            self.usable[reader.worker] = self.now + usable_ms
        return Word.OK

    def retire(self, worker: str) -> Word:
        """Leave."""
        self.usable.pop(worker, None)
        if self.held_by(worker):
            return Word.PENDING
        self.members.discard(worker)
        for known in (self.readers, self.beats, self.shares):
            known.pop(worker, None)
        return Word.OK

    def _reads(self, reader: Reader) -> Word:
        if not self.incarnation or reader.incarnation != self.incarnation:
            return Word.WIPED
        if reader.worker not in self.readers:
            return Word.UNKNOWN
        return Word.STALE if self.readers[reader.worker] > reader.epoch else Word.OK

    def fetch(self, reader: Reader, slots: int, got: Sequence[Delivery], after: Snapshot) -> Word:
        """Check what a fetch brought, and take it over."""
        word = self._reads(reader)
        if word != Word.OK:
            assert not got
            return word
        assert len(got) <= slots
        retried = self._due(reader, slots)
        assert [d.id for d in got[: len(retried)]] == retried
        for delivery in got:
            r = self.requests[delivery.id]
            if delivery.id not in retried:
                self._expire_late(after, before=r)
                assert self.queues[r.sent.klass][:1] == [delivery.id], f"{delivery.id} overtook"
            self._start(r, reader, delivery)
        self._expire_late(after)
        assert len(got) == slots or not any(self.queues.values()), "a slot stayed free while work waited"
        return word

    def _due(self, reader: Reader, slots: int) -> list[str]:
        """Promote what is due, and return the retries that the fetch must begin with."""
        retried: list[str] = []
        waiting = [r for r in self.living() if r.state == State.DELAYED and r.due <= self.now]
        for r in sorted(waiting, key=lambda r: (r.due, r.sent.id)):
            if len(retried) >= slots:
                break
            if r.deadline <= self.now:
                self._end(r, Event.EXPIRE, Code.TIMEOUT, r.executed)
            elif reader.instance in r.tried and self.now < r.again:
                continue
            elif r.deliveries:
                retried.append(r.sent.id)
            else:
                r.move(Event.PROMOTE)
                self.queues[r.sent.klass].append(r.sent.id)
        return retried

    def _expire_late(self, after: Snapshot, before: Request | None = None) -> None:
        """End the late ones that the fetch met: those it ended, and no others may be ended."""
        records = after.records()
        for queue in [self.queues[before.sent.klass]] if before else list(self.queues.values()):
            for request_id in list(queue):
                r = self.requests[request_id]
                if r is before:
                    break
                if r.deadline <= self.now and records[request_id]["state"] == State.EXPIRED:
                    self._end(r, Event.EXPIRE, Code.TIMEOUT, r.executed)

    def _start(self, r: Request, reader: Reader, delivery: Delivery) -> None:
        self._leave(r)
        r.move(Event.FETCH)
        r.run = self.tools[r.sent.tool] if r.sent.safe is None else r.sent.safe
        r.attempt, r.deliveries = r.attempt + 1, r.deliveries + 1
        r.token, r.worker = (delivery.stream, delivery.entry), reader.worker
        assert (delivery.attempt, delivery.deliveries, delivery.safe) == (r.attempt, r.deliveries, r.run)
        assert delivery.remaining_ms == r.deadline - self.now

    def adopt(self, reader: Reader, held: Sequence[Token], got: Sequence[Delivery]) -> Word:
        """Check what an adoption brought."""
        word = self._reads(reader)
        if word != Word.OK:
            assert not got
            return word
        self.readers[reader.worker] = reader.epoch
        pending = {r.token for r in self.held_by(reader.worker)}
        assert {(d.stream, d.entry) for d in got} == pending - set(held)
        return word

    def settle(self, s: Settlement, instance: str) -> Word:  # noqa: PLR0911  # a word a line, as the script
        """End a delivery."""
        r = self.requests.get(s.id)
        token = (s.stream, s.entry)
        if r is None:
            return Word.LOST
        if r.last == token:
            return Word.REPEAT
        if r.state != State.RUNNING or r.token != token:
            return Word.LOST
        r.last = token
        ran = Executed.NO if s.how == "release" else s.executed
        known = max(r.executed, ran, key=_GROWS.index)
        if r.cancel and s.how != "done":
            return self._stopped(r, ran, known)
        if s.how == "done":
            self._end(r, Event.DONE, Code(s.code), known)
            return Word.OK
        if s.how == "release" and r.deliveries < CAP:
            r.attempt -= 1
            self._wait(r, Event.RELEASE, self.now)
            return Word.OK
        return self._retry(r, s, instance, ran, known)

    def _stopped(self, r: Request, ran: Executed, known: Executed) -> Word:
        if ran != Executed.NO and not r.run:
            self._end(r, Event.LOSE, Code.OUTCOME_UNKNOWN, known)
        elif r.deadline <= r.cancel:
            self._end(r, Event.EXPIRE, Code.TIMEOUT, known)
        else:
            self._end(r, Event.CANCEL, Code.CANCELLED, known)
        return Word.OK

    def _over(self, r: Request, ran: Executed) -> tuple[Event, Code] | None:
        if ran != Executed.NO and not r.run:
            return Event.GIVE_UP, Code.OUTCOME_UNKNOWN
        if r.deadline <= self.now:
            return Event.EXPIRE, Code.TIMEOUT
        if r.attempt >= r.sent.max_attempts or r.deliveries >= CAP:
            return Event.GIVE_UP, Code.FAILOVER_EXHAUSTED
        return None

    def _retry(self, r: Request, s: Settlement, instance: str, ran: Executed, known: Executed) -> Word:
        over = self._over(r, ran)
        if not over and ran != Executed.NO and not self._take_token():
            over = Event.GIVE_UP, Code.FAILOVER_EXHAUSTED
        if over:
            self._end(r, *over, known)
            return Word.ENDED
        r.executed = known
        r.tried.add(instance)
        self._wait(r, Event.RETRY, min(self.now + s.backoff_ms, r.deadline))
        return Word.RETRIED

    def _take_token(self) -> bool:
        """Take one out of the retry budget, if there is one, and leave it as it is told."""
        ended = sum(r.state in {State.DONE, State.DEAD} for r in self.requests.values())
        level, at, seen = self.budget or (BURST, self.now, ended)
        level = min(BURST, level + RATIO * (ended - seen) + FLOOR * (self.now - at) / 1000)
        taken = level >= 1
        self.budget = float(f"{level - taken:.6f}"), self.now, ended
        return taken

    # -- coordinators --------------------------------------------------------------------------------------

    def reclaim(
        self, epoch: int, worker: str, *, confirmed: bool, dead_after: int, patience: int
    ) -> tuple[Word, int, int, int]:
        """Take back what a dead worker holds: the word, moved, lost, kept."""
        if not self.incarnation:
            return Word.UNKNOWN, 0, 0, 0
        if not confirmed and epoch < self.leader:
            return Word.STALE, 0, 0, 0
        self.leader = self.leader if confirmed else epoch
        silence = self.now - self.beats.get(worker, 0)
        if not confirmed and silence < dead_after:
            return Word.ALIVE, 0, 0, 0
        self.usable.pop(worker, None)
        counts = {"moved": 0, "lost": 0, "kept": 0}
        for r in self.held_by(worker):
            counts[self._take_back(r, sure=confirmed or silence >= dead_after + patience)] += 1
        word = Word.KEPT if counts["kept"] else Word.OK
        return word, counts["moved"], counts["lost"], counts["kept"]

    def _take_back(self, r: Request, *, sure: bool) -> str:
        executed = max(r.executed, Executed.MAYBE, key=_GROWS.index)
        if r.cancel:
            self._abandon(r)
            return "lost"
        if not r.run and not sure:
            return "kept"
        over = self._over(r, Executed.MAYBE)
        if over:
            self._end(r, *over, executed)
            return "lost"
        r.executed = executed
        self._wait(r, Event.RECLAIM, self.now)
        return "moved"

    def sweep(self, epoch: int) -> tuple[Word, int]:
        """Let time take effect on the pool: the word, and how many ended."""
        if not self.incarnation:
            return Word.UNKNOWN, 0
        if epoch < self.leader:
            return Word.STALE, 0
        self.leader = epoch
        return Word.OK, [self.expire(r.sent.id) for r in list(self.living())].count(Word.ENDED)

    def deal(self, epoch: int, strategy: str, shares: Mapping[str, bytes]) -> tuple[Word, str]:
        """Say what each worker may take: the word, and the strategy before."""
        if not self.incarnation:
            return Word.UNKNOWN, ""
        if epoch < self.leader:
            return Word.STALE, ""
        before, self.leader = self.strategy, epoch
        self.strategy, self.shares = strategy, dict(shares)
        return Word.OK, before

    def wipe(self) -> None:
        """Lose everything."""
        self.incarnation, self.leader, self.strategy = "", 0, ""
        for lost in (self.requests, self.keys, self.streams, self.members, self.readers, self.beats):
            lost.clear()
        self.usable.clear()
        self.shares.clear()
        self.budget = None
        for queue in self.queues.values():
            queue.clear()
