"""Runs one delivery on the server, from its check to its settlement; there is one `Runner` in a worker.

A run holds a slot and a permit of the breaker while the server works, and nothing else. How it ends is
decided in judgement.py; here is only the order of things: check, call with the attempt's time, book,
settle. A run is cancelled by its caller's cancel or by the worker's end, and is told which.

Above stands the fetcher, which starts runs. Below: the session, the catalog, the settler. It must never
fetch.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.connect import StoreUnreachableError
from mcpweft_schemas.errors import McpweftError
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.spread import LATEST, Spread
from mcpweft_schemas.wire import PIECE, PROGRESS
from mcpweft_workers import judgement
from mcpweft_workers.backoff import Patience, jittered
from mcpweft_workers.binding import token
from mcpweft_workers.bookkeeper import Ended
from mcpweft_workers.breaker import Outcome
from mcpweft_workers.failure import CallFailed, Cause
from mcpweft_workers.log import event

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from mcpweft_schemas.wire import Delivery, Settlement
    from mcpweft_workers.binding import Binding
    from mcpweft_workers.bookkeeper import Bookkeeper
    from mcpweft_workers.breaker import Permit
    from mcpweft_workers.catalog import Catalog
    from mcpweft_workers.gate import Gate
    from mcpweft_workers.judgement import Judgement
    from mcpweft_workers.meter import Meter
    from mcpweft_workers.metrics import Metrics
    from mcpweft_workers.progress import Progress
    from mcpweft_workers.session import Session
    from mcpweft_workers.settler import Settler
    from mcpweft_workers.slots import Slots

RECORD_LIFE = 60.0
"""Seconds that a record outlives its request's deadline, at least: a settle is repeated so long."""

HEAD_START = 0.1
"""The part of the first backoff that a retry leaves to others before this worker may have it again."""

_CALL = b"tools/call"  # the one method there is
_PROGRESS_TOKEN, _RESERVED = "progressToken", "io.modelcontextprotocol/"

EARLY = 1000
"""Cancels of what is not here that are remembered, the newest ones."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says about running a call; seconds and bytes."""

    attempt_timeout: Callable[[str], float]
    """The time of one attempt, by tool."""
    max_result: int
    inline_result: int
    backoff: float
    backoff_max: float
    weights: Mapping[str, Outcome]
    """What a cause says of the server, for its breaker."""


@dataclass(slots=True, eq=False)
class Run:
    """One delivery under way."""

    binding: Binding
    delivery: Delivery
    permit: Permit
    began: float
    waited_ms: float = 0.0
    """From the request's acceptance to its coming here."""
    task: asyncio.Task[None] | None = None
    """Its task, from its first step on: one that is cancelled before would never clean up."""
    judged: bool = False
    """How it ends is decided: too late to stop it."""
    sent: bool = False
    """Whether the call was handed to the session."""
    timeout: float = 0.0
    stopped: str = ""
    """Why it was cancelled: CANCELLED, SHUTTING_DOWN or TAKEN_OUT; empty where it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What every run works with."""

    server: str
    session: Session
    catalog: Callable[[], Catalog]
    """The tools as the server lists them now."""
    gate: Gate
    slots: Slots
    settlers: Mapping[str, Settler]
    """By capability."""
    books: Mapping[str, Bookkeeper]
    """By capability."""
    progress: Progress
    meter: Meter
    metrics: Metrics
    rules: Rules


class Runner:
    """All runs of a worker; each is a task of the group that `start` is given."""

    def __init__(self, means: Means, *, clock: Callable[[], float], rng: random.Random) -> None:
        self.heard_at = clock()
        """When the server last gave a sign of life."""
        self.timed_out_at = float("-inf")
        """When an attempt last timed out."""
        self.service_ms: float | None = None
        """What the server took for an answer, of late; None while there is none."""
        self.counts = {"ok": 0, "errors": 0, "retried": 0}
        self.spreads = {capability: Spread() for capability in means.settlers}
        """Capability → how long requests took from acceptance to their answer here."""
        self._means = means
        self._clock = clock
        self._rng = rng
        self._runs: dict[str, Run] = {}  # by token: one request may be here twice, as its own zombie
        self._early: dict[tuple[str, str], None] = {}  # cancels that overtook their request on the way here
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Runs under way."""
        return len(self._runs)

    async def idle(self) -> None:
        """Wait until nothing runs."""
        await self._idle.wait()

    # --- starting and stopping

    def start(
        self, group: asyncio.TaskGroup, binding: Binding, delivery: Delivery, waited_ms: float = 0.0
    ) -> bool:
        """Start a delivery in a slot that was reserved for it; False where it was given back instead."""
        permit = self._means.gate.admit() if self._means.session.ready.is_set() else None
        if permit is None:
            self.give_back(binding, delivery)
            return False
        self._means.slots.start()
        run = Run(binding, delivery, permit, self._clock(), waited_ms)
        if (delivery.id, delivery.entry) in self._early:
            run.stopped = Code.CANCELLED
        binding.held[token(delivery)] = delivery
        self._runs[token(delivery)] = run
        self._idle.clear()
        group.create_task(self._run(run), name=f"run {delivery.id}")
        return True

    def give_back(self, binding: Binding, delivery: Delivery) -> None:
        """Give a delivery back that was never started; no attempt is charged."""
        binding.held[token(delivery)] = delivery
        self._means.metrics.ended(binding.capability, delivery.klass, "RELEASED")
        self._put(binding, delivery, judgement.released(delivery))

    def disown(self, binding: Binding, delivery: Delivery) -> None:
        """End a delivery that an earlier process of this worker's id may have run."""
        binding.held[token(delivery)] = delivery
        self._put(binding, delivery, judgement.orphaned(delivery))

    def cancel(self, request_id: str, entry: str) -> bool:
        """Stop a delivery because its caller asks for it; False where it is not running here."""
        for run in self._runs.values():
            if run.delivery.id == request_id and run.delivery.entry == entry:
                self._stop(run, Code.CANCELLED)
                return True
        self._early[request_id, entry] = None
        if len(self._early) > EARLY:
            del self._early[next(iter(self._early))]
        return False

    def stop_all(self) -> None:
        """Stop every run because the worker must end."""
        for run in list(self._runs.values()):
            self._stop(run, judgement.SHUTTING_DOWN)

    def abandon(self) -> None:
        """End what has not ended since: it can no longer be told how."""
        for run in list(self._runs.values()):
            if run.task is not None:
                run.task.cancel()

    def hand_over(self) -> None:
        """Give up the runs that others may take up at once, their server being taken out.

        What must not run twice finishes here, and so does a last attempt: nobody else would get it.
        """
        for run in list(self._runs.values()):
            if run.delivery.safe and run.delivery.attempt < run.delivery.max_attempts:
                self._stop(run, judgement.TAKEN_OUT)

    def _stop(self, run: Run, why: str) -> None:
        if run.stopped or run.judged:
            return
        run.stopped = why
        if run.task is not None:  # else it has not begun, and sees it as it does
            run.task.cancel()

    def _put(self, binding: Binding, delivery: Delivery, settlement: Settlement) -> None:
        until = self._clock() + delivery.remaining_ms / 1000 + RECORD_LIFE
        self._means.settlers[binding.capability].put(settlement, until)

    # --- one run

    async def _run(self, run: Run) -> None:
        judged: Judgement | None = None
        try:
            run.task = asyncio.current_task()
            judged = await self._judge(run)
            run.judged = True
            settlement = await self._lay(run, judged.settlement)
            self._put(run.binding, run.delivery, settlement)
        finally:
            self._leave(run, judged)

    def _leave(self, run: Run, judged: Judgement | None) -> None:
        """Give back what the run held, however it ended."""
        took = self._clock() - run.began
        booked = Outcome.NOTHING if judged is None else judged.booked
        del self._runs[token(run.delivery)]
        self._means.progress.forget(run.delivery)
        self._means.gate.book(run.permit, booked, took)
        self._means.slots.finish(run.binding.capability)
        if not self._runs:
            self._idle.set()
        if judged is not None:
            self._tell(run, judged, took)

    def _tell(self, run: Run, judged: Judgement, took: float) -> None:
        delivery, settlement = run.delivery, judged.settlement
        good = judged.outcome in {Code.OK, Code.TOOL_ERROR}
        self.counts["retried" if settlement.how == "retry" else "ok" if good else "errors"] += 1
        if (took_ms := settlement.service_ms) is not None:
            before = took_ms if self.service_ms is None else self.service_ms
            self.service_ms = before + LATEST * (took_ms - before)
        pool = run.binding.capability
        if settlement.how == "done":
            self.spreads[pool].add(run.waited_ms + 1000 * took)
        self._means.metrics.ended(pool, delivery.klass, judged.outcome)
        self._means.metrics.served(pool, judged.outcome, took, settlement.service_ms, len(settlement.body))
        self._means.books[pool].count(
            Ended(
                delivery.tool, delivery.klass, delivery.attempt, judged.outcome, 1000 * took, run.waited_ms,
                settlement.service_ms, 1000 * run.timeout,
            )
        )  # fmt: skip
        level = logging.INFO if settlement.how == "done" else logging.WARNING
        event(
            level,
            "attempt",
            request=delivery.id,
            tool=delivery.tool,
            attempt=delivery.attempt,
            outcome=judged.outcome,
            executed=settlement.executed.value,
            ms=round(took * 1000, 1),
            trace=delivery.trace or None,
        )

    async def _judge(self, run: Run) -> Judgement:
        """Return how the delivery ends, whatever happens to it."""
        delivery = run.delivery
        if run.stopped:
            return judgement.cut_off(delivery, run.stopped, Executed.NO)
        try:
            return await self._call(run)
        except CallFailed as failure:
            judged = self._failed(run, failure)
            if failure.respite:
                run.judged = True  # whoever stops it now must not keep this from being told
                await self._spare(run, failure.respite)
            return judged
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not run.stopped or task is None or task.cancelling() > 1:
                raise  # not ours: the whole worker is being cancelled
            task.uncancel()
            executed = Executed.MAYBE if run.sent else Executed.NO
            return judgement.cut_off(delivery, run.stopped, executed)
        except Exception as error:
            logging.getLogger(__name__).exception("a run broke", extra={"fields": {"request": delivery.id}})
            executed = Executed.MAYBE if run.sent else Executed.NO
            broken = CallFailed(Cause.PROTOCOL, f"the worker failed: {error!r}", executed=executed)
            return self._failed(run, broken)

    async def _spare(self, run: Run, seconds: float) -> None:
        """Let no worker of the server pull for so long: it asked for that."""
        event(logging.WARNING, "server asks for a pause", seconds=seconds)
        for pool in self._means.settlers:
            with suppress(McpweftError):
                await run.binding.store.pause(pool, self._means.server, round(seconds * 1000))

    def _failed(self, run: Run, failure: CallFailed) -> Judgement:
        cut_short = False
        if failure.cause is Cause.ATTEMPT_TIMEOUT:
            if run.sent:  # what was over before it was sent says nothing of the server
                self.timed_out_at = self._clock()
            cut_short = run.timeout < self._own_timeout(run.delivery)
        rules = self._means.rules
        chance = jittered(self._rng, run.delivery.attempt - 1, rules.backoff, rules.backoff_max)
        backoff = max(chance, rules.backoff * HEAD_START, failure.respite)
        return judgement.failed(
            run.delivery, failure, round(backoff * 1000), cut_short=cut_short, weights=rules.weights
        )

    def _own_timeout(self, delivery: Delivery) -> float:
        asked = delivery.attempt_timeout_ms / 1000
        return asked if asked > 0 else self._means.rules.attempt_timeout(delivery.tool)

    async def _call(self, run: Run) -> Judgement:
        delivery = run.delivery
        method = delivery.fields.get(b"method", _CALL)
        if method != _CALL:
            what = f"method {method.decode(errors='replace')!r} is not served here"
            return judgement.refused(delivery, what, "Call a tool.")
        try:
            arguments, metadata = delivery.request()
        except ValueError as error:
            return judgement.refused(delivery, f"the request cannot be read: {error}", "Enqueue it anew.")
        self._means.catalog().check(delivery.tool, arguments)
        left = delivery.remaining_ms / 1000
        run.timeout = min(self._own_timeout(delivery), left)
        if run.timeout <= 0:
            raise CallFailed(Cause.ATTEMPT_TIMEOUT, "the deadline passed before the call was sent")
        heard = self._means.progress.follow(run.binding, delivery) if PROGRESS in delivery.flags else None
        run.sent = True
        answer = await self._means.session.call(
            delivery.tool,
            arguments,
            timeout=run.timeout,
            on_progress=heard if heard is None else self._hearing(heard),
            meta=_meta(delivery, metadata),
        )
        self.heard_at = self._clock()
        self._means.meter.hear(answer.meta)
        rules = self._means.rules
        return judgement.answered(delivery, answer, self._means.server, rules.max_result, rules.weights)

    def _hearing(
        self, heard: Callable[[float, float | None, str | None], None]
    ) -> Callable[[float, float | None, str | None], None]:
        def also(progress: float, total: float | None, message: str | None) -> None:
            self.heard_at = self._clock()
            heard(progress, total, message)

        return also

    # --- large results

    async def _lay(self, run: Run, settlement: Settlement) -> Settlement:
        """Lay a body over the inline cap beside the record; return the settlement that points there."""
        body = settlement.body
        if len(body) <= self._means.rules.inline_result:
            return settlement
        pieces = [body[at : at + PIECE] for at in range(0, len(body), PIECE)]
        patience = Patience(self._rng)
        until = run.began + run.delivery.remaining_ms / 1000 + RECORD_LIFE
        while self._clock() < until:
            try:
                await self._lay_pieces(run, pieces)
                break
            except StoreUnreachableError:
                await asyncio.sleep(patience.next())
            except Exception as error:  # noqa: BLE001  # a full store, or one that is not as it should be
                return judgement.no_room(run.delivery, len(body), str(error))
        return replace(settlement, body=b"", chunks=len(pieces))

    async def _lay_pieces(self, run: Run, pieces: list[bytes]) -> None:
        """Lay pieces that live as long as the outcome's record will, and a little longer."""
        store, capability = run.binding.store, run.binding.capability
        seen = await store.inspect(capability, run.delivery.id)
        kept = {} if seen is None else seen.fields
        life = max(int(kept.get("keep") or 0), int(kept.get("key_keep") or 0), round(RECORD_LIFE * 1000))
        await store.lay_chunks(capability, run.delivery, pieces, life + round(RECORD_LIFE * 1000))


def _meta(delivery: Delivery, metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what goes along with the call: the caller's metadata, and the trace that it is in.

    What the protocol itself writes there is not the caller's to say.
    """
    meta = {
        name: value
        for name, value in metadata.items()
        if name != _PROGRESS_TOKEN and not name.startswith(_RESERVED)
    }
    if delivery.trace:
        meta["traceparent"] = delivery.trace
    return meta or None
