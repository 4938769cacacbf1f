"""The reader: one for all replies of a client. It finds who waits for each, and repairs what was missed.

    ready     a capability's reply stream is there, and read
    beat      each second it is kept alive and trimmed behind the reader; each 2 s the requests that were
              waited for so long are looked up; at its deadline + 250 ms a request's time is made to take
              effect, and when nothing comes of that it ends here (what came while the event loop stood still
              is heard first)
    recover   after a lost connection, or when a stream had to be made anew (a wiped store), every open
              request is looked up at once: one whose record is gone ends as STORE_LOST

Above stands the desk. Below are the listener and the table of waits. On a single server one connection
reads all streams, on a Cluster one for each capability. This module must never start a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcpweft.listener import Listener
from mcpweft.outcome import read_progress
from mcpweft.refusal import overdue
from mcpweft.waits import TICK, Wait, Waits
from mcpweft_schemas.errors import (
    FabricError,
    McpweftError,
    RequestTimeoutError,
    ResourceExhaustedError,
    ResultExpiredError,
    StoreLostError,
)
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.store import BATCH
from mcpweft_schemas.wire import Reply
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from typing import Any

    from mcpweft.chores import Chores
    from mcpweft_schemas.store import Enqueued, Standing, Store

_log = logging.getLogger("mcpweft")

STREAM_TTL_MS = 60_000
_HEAR_S = 1.0
_LOOK_S = 2.0
_IDLE_S = 10.0
_FRESH_S = 20.0  # a third of the stream's life: no need to make sure of it before each batch
_AGAIN_S = 1.1  # the store's grace for a cancelled call, and a little
_EXPIRE_AFTER = 0.25
_HARD_AFTER = 3.0
_STOOD_S = 1.0  # a sleep that took so much longer than asked: the event loop stood still
RECORD_LIFE_S = 60.0
"""Seconds that a record outlives its request's end, at least."""


def hard_limit(deadline: float) -> float:
    """Return when a wait ends with or without an answer of the store."""
    return deadline + _HARD_AFTER


def expire_at(deadline: float) -> float:
    """Return when a request's passed deadline is first made to take effect."""
    return deadline + _EXPIRE_AFTER


@dataclass(slots=True, eq=False)
class _Stream:
    """A capability's reply stream."""

    capability: str
    key: str
    listener: Listener
    heard_at: float = -1e9
    used_at: float = 0.0
    read: bool = False
    position: str = "0"
    making: asyncio.Lock = field(default_factory=asyncio.Lock)


class Reader:
    """Hears every reply of one producer."""

    def __init__(self, store: Store, producer: str, waits: Waits, chores: Chores) -> None:
        self._store = store
        self._producer = producer
        self._waits = waits
        self._chores = chores
        self._clock = asyncio.get_running_loop().time
        self._streams: dict[str, _Stream] = {}
        self._by_key: dict[str, _Stream] = {}
        self._listeners: dict[str, Listener] = {}
        self._incarnations: dict[str, str] = {}
        self._busy: set[str] = set()
        self._work = asyncio.Event()
        self._contact = self._clock()
        self.dropped = 0
        """Replies that nobody waited for (any more)."""

    # -- streams -------------------------------------------------------------------------------------------

    async def ready(self, capability: str) -> None:
        """Make sure that replies of a capability can be heard. Raises StoreUnreachableError."""
        stream = self._streams.get(capability) or self._stream(capability)
        now = self._clock()
        stream.used_at = now
        if stream.read and now - stream.heard_at < _FRESH_S:
            return
        async with stream.making:
            if stream.read and self._clock() - stream.heard_at < _FRESH_S:
                return
            await self._hear(stream)
            if not stream.read:
                stream.read = True
                self._work.set()
                self._chores.start(
                    stream.listener.add(stream.key, stream.position), name=f"listen {capability}"
                )

    def _stream(self, capability: str) -> _Stream:
        node = capability if self._store.link.is_cluster else ""
        listener = self._listeners.get(node)
        if listener is None:
            listener = self._listeners[node] = Listener(self._store, self._take, self._recover)
            self._chores.start(listener.run(), name=f"read {node or 'replies'}")
        key = self._store.keys(capability).reply(self._producer)
        stream = _Stream(capability, key, listener)
        self._streams[capability] = self._by_key[key] = stream
        return stream

    async def _hear(self, stream: _Stream) -> None:
        """Keep a stream alive; where it was gone, look up all that is open, for its replies went with it."""
        position = stream.listener.positions.get(stream.key, stream.position)
        was_there = await self._store.hear(
            stream.capability, self._producer, STREAM_TTL_MS, "" if position == "0" else position
        )
        known = stream.heard_at >= 0
        stream.heard_at = self._contact = self._clock()
        if not was_there:
            stream.position = "0"
            stream.listener.rewind(stream.key, "0")
            if known:
                self.check(stream.capability)

    async def close(self) -> None:
        """Let the reply streams go: outcomes that come later are kept in their records."""
        for stream in self._streams.values():
            if stream.heard_at >= 0:
                await self._store.hear(stream.capability, self._producer, 1)

    # -- replies -------------------------------------------------------------------------------------------

    def _take(self, key: str, entries: list[tuple[str, Mapping[bytes, bytes]]]) -> None:
        stream = self._by_key.get(key)
        if stream is None:
            return
        self._contact = self._clock()
        for _, fields in entries:
            try:
                reply = Reply.read(fields)
            except (ValueError, KeyError):
                _log.warning("a reply on %s could not be read", key)
                self.dropped += 1
                continue
            if reply is not None:
                self.give(stream.capability, reply)

    def give(self, capability: str, reply: Reply) -> None:
        """Hand a reply to whoever waits for it."""
        if reply.kind == "progress":
            for wait in self._waits.of(capability, reply.id):
                _tell_progress(wait, reply)
            return
        waits = self._waits.pop(capability, reply.id)
        if not waits:
            self.dropped += 1
        for wait in waits:
            wait.tell(reply)

    # -- lookups -------------------------------------------------------------------------------------------

    def told(self, capability: str, answer: Enqueued) -> None:
        """Learn the store's incarnation: another one than before means that it was wiped."""
        self._contact = self._clock()
        if not answer.incarnation:
            return
        before = self._incarnations.get(capability)
        self._incarnations[capability] = answer.incarnation
        if before is not None and before != answer.incarnation:
            self.check(capability)

    def check(self, capability: str, ids: Sequence[str] | None = None) -> None:
        """Look requests up now, in the background: those named, else all open ones."""
        self._chores.start(self._look(capability, ids), name=f"look up {capability}")

    async def _look(self, capability: str, ids: Sequence[str] | None = None) -> None:
        try:
            await self.look(capability, ids)
        except FabricError as error:
            _log.debug("lookup on %s: %s", capability, error.what)

    async def look(self, capability: str, ids: Sequence[str] | None = None) -> None:
        """Look requests up and end the waits of those that have ended. Raises StoreUnreachableError."""
        wanted = list(ids) if ids is not None else self._waits.ids(capability, self._clock())
        for start in range(0, len(wanted), BATCH):
            batch = wanted[start : start + BATCH]
            silence = self._clock() - self._contact
            _, found = await self._store.lookup(capability, batch)
            self._contact = self._clock()
            for request_id, standing in found.items():
                self._judge(capability, request_id, standing, silence)

    def _judge(self, capability: str, request_id: str, standing: Standing, silence: float) -> None:
        if standing.word is Word.UNKNOWN:
            for wait in self._waits.of(capability, request_id):
                if wait.accepted:
                    self._waits.remove(wait)
                    wait.fail(_gone(wait, self._clock(), silence))
        elif standing.outcome is not None:
            self.give(capability, standing.outcome)
        elif standing.word is Word.SETTLED:
            self._miss(capability, request_id, str(standing.code))

    def _miss(self, capability: str, request_id: str, code: str) -> None:
        """Judge a request that has ended and whose outcome was not kept: its reply is on its way, or lost.

        It is lost where a read that began after the first look has come to the stream's end without it.
        """
        stream = self._streams.get(capability)
        drained = stream.listener.drained.get(stream.key, 0) if stream is not None else 0
        for wait in self._waits.of(capability, request_id):
            if wait.missed is None:
                wait.missed = drained + 2  # one read may have begun before this look
            if drained >= wait.missed:
                self._waits.remove(wait)
                wait.fail(_missed(wait, code))
            else:
                self._waits.later(wait, self._clock() + _LOOK_S / 4)

    # -- the beat ------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Begin to beat: somebody waits."""
        self._work.set()

    async def beat(self) -> None:
        """Keep streams alive, look requests up and let deadlines take effect, until cancelled."""
        hear_at = look_at = judge_at = self._clock()
        while True:
            if not self._waits.open and not any(stream.read for stream in self._streams.values()):
                self._work.clear()
                await self._work.wait()
            asleep = self._clock()
            await asyncio.sleep(TICK)
            now = self._clock()
            if (stood := now - asleep - TICK) > _STOOD_S:
                self._waits.postpone(stood)
                judge_at = now + _HARD_AFTER
                hear_at = look_at = now
            if now >= judge_at:
                self._overdue(now)
            if now >= hear_at:
                hear_at = now + _HEAR_S
                self._once("hear", self._hear_all(now))
            if now >= look_at:
                look_at = now + _LOOK_S
                self._once("look", self._look_all(now))

    def _once(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Start a round unless its last one has not ended: a store that hangs must not gather tasks."""
        if name in self._busy:
            work.close()
            return
        self._busy.add(name)
        task = self._chores.start(work, name=name)
        task.add_done_callback(lambda _: self._busy.discard(name))

    async def _hear_all(self, now: float) -> None:
        for stream in list(self._streams.values()):
            if not stream.read:
                continue
            if not self._waits.any_of(stream.capability) and now - stream.used_at > _IDLE_S:
                stream.position = stream.listener.drop(stream.key)
                stream.read = False
                continue
            try:
                await self._hear(stream)
            except FabricError as error:
                _log.debug("heartbeat on %s: %s", stream.capability, error.what)

    async def _look_all(self, now: float) -> None:
        for capability in self._waits.capabilities():
            ids = self._waits.ids(capability, now - _LOOK_S)
            if ids:
                await self._look(capability, ids)

    async def _recover(self, listener: Listener) -> None:
        """After a lost connection: the streams again, and every open request."""
        for stream in [s for s in self._streams.values() if s.listener is listener and s.read]:
            with contextlib.suppress(ResourceExhaustedError):  # a full store can be read all the same
                await self._hear(stream)
            await self.look(stream.capability)

    # -- deadlines -----------------------------------------------------------------------------------------

    def _overdue(self, now: float) -> None:
        by_pool: dict[str, list[str]] = {}
        for wait in self._waits.turn(now):
            if wait.future.done():
                continue
            if now >= wait.hard or not wait.accepted:
                self._waits.remove(wait)
                wait.fail(overdue(wait) if not wait.accepted else _silent(wait))
                continue
            self._waits.later(wait, min(now + _AGAIN_S, wait.hard))
            by_pool.setdefault(wait.capability, []).append(wait.id)
        for capability, ids in by_pool.items():
            self._chores.start(self._expire(capability, ids), name=f"expire {capability}")

    async def _expire(self, capability: str, ids: list[str]) -> None:
        try:
            ended: list[str] = []
            for start in range(0, len(ids), BATCH):
                batch = ids[start : start + BATCH]
                words = await self._store.expire(capability, batch)
                gone = (Word.SETTLED, Word.UNKNOWN)
                ended += [i for i, word in zip(batch, words, strict=True) if word in gone]
            if ended:
                await self.look(capability, ended)
        except FabricError as error:
            _log.debug("expiry on %s: %s", capability, error.what)


def _tell_progress(wait: Wait, reply: Reply) -> None:
    """Tell of progress; what an older attempt says late is not news."""
    if reply.attempt < wait.attempt or wait.on_progress is None:
        return
    wait.attempt = reply.attempt
    progress = read_progress(reply)
    if progress is None:
        return
    try:
        wait.on_progress(progress)
    except Exception:  # noqa: BLE001  # the user's own code; the reader must go on
        _log.exception("on_progress of %s failed", wait.id)


def _gone(wait: Wait, now: float, silence: float) -> McpweftError:
    """Return what a vanished record means: the store lost it, unless it had time to end and be forgotten."""
    if silence > RECORD_LIFE_S or now - wait.hard > RECORD_LIFE_S:
        return ResultExpiredError(
            f"request {wait.id} has ended, and its outcome was kept for its time and is gone",
            advice="This process was away from the store for longer than that: use submit for such calls.",
            executed=Executed.MAYBE,
            request_id=wait.id,
        )
    return store_lost(wait.id)


def store_lost(request_id: str) -> StoreLostError:
    """Return what is said of a request that was accepted and that the store forgot too early."""
    return StoreLostError(
        f"the store no longer knows request {request_id}: it was wiped, or failed over without it",
        advice="Repeat the call if it may run twice; see the durability of your store.",
        executed=Executed.MAYBE,
        request_id=request_id,
    )


def _missed(wait: Wait, code: str) -> McpweftError:
    return ResultExpiredError(
        f"request {wait.id} ended as {code}, and its outcome was lost with this client's reply stream",
        advice="Use submit or an idempotency_key for calls whose outcome must be kept.",
        executed=Executed.YES if code in (Code.OK, Code.TOOL_ERROR) else Executed.MAYBE,
        request_id=wait.id,
    )


def _silent(wait: Wait) -> McpweftError:
    error = RequestTimeoutError(
        f"request {wait.id} is over its time, and the store has not said what became of it",
        advice="Look at the store and the workers; `mcpweft inspect` tells more once they answer.",
        executed=Executed.MAYBE,
        request_id=wait.id,
    )
    error.phase = "attempt"
    return error
