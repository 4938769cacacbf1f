"""Says that the worker lives, from a thread of its own: a stalled main loop is no dead worker.

The thread has its own event loop and its own link. Before each beat it asks the main loop to take its
pulse; an answer that does not come is the main loop's lag, which each beat carries. A worker whose main
loop has not answered for `dead_after` says that it lives and takes no work.

A beat that is not answered within half of `dead_after` is said again at once, over a new connection: one
that has fallen silent must not make the worker look dead. Each that fails so gives the next twice the time.

Above stands the worker, which hands in what takes the pulse. Below: the store. It must never touch what
the main loop owns: all it sees are the frozen pulses.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.errors import McpweftError
from mcpweft_schemas.packing import pack
from mcpweft_schemas.word import Word
from mcpweft_workers.log import event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcpweft_schemas.store import Reader, Store

_JOIN = 10.0  # seconds that the thread has to end: longer than any command may take
_PATIENCE = 5.0  # seconds that an answer may take at most


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the main loop says of the worker at one moment."""

    readers: Mapping[str, Reader]
    """Capability → as whom the worker is registered there."""
    usable: bool
    """Whether it would take work."""
    load: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Figures for status and the coordinator."""
    home: str = ""
    """The pool in which the record of the server's breaker lies."""


class Heartbeat:
    """The thread; `start` and `stop` are the main loop's."""

    def __init__(
        self,
        connect: Callable[[], Store],
        take_pulse: Callable[[], Pulse],
        *,
        every: float,
        dead_after: float,
        clock: Callable[[], float],
        on_lost: Callable[[str, Reader], None],
        on_breaker: Callable[[int], None],
        on_share: Callable[[str, bytes], None],
    ) -> None:
        self.lag = 0.0
        """Seconds that the main loop took, or has been taking, to answer."""
        self.told: dict[str, bool] = {}
        """Capability → whether its pool has been told that the worker takes work; the thread writes it."""
        self._connect = connect
        self._take_pulse = take_pulse
        self._every = every
        self._dead_after = dead_after
        self._clock = clock
        self._on_lost = on_lost
        self._on_breaker = on_breaker
        self._on_share = on_share
        self._shares: dict[str, bytes] = {}
        self._generation = 0
        self._pulse = take_pulse()
        self._asked: float | None = None
        self._main: asyncio.AbstractEventLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._nudged: asyncio.Event | None = None
        self._beating: asyncio.Task[None] | None = None
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._live, name="heartbeat", daemon=True)

    # --- the main loop's side

    def start(self) -> None:
        """Begin to beat; call it on the main loop."""
        self._main = asyncio.get_running_loop()
        self._thread.start()

    def nudge(self) -> None:
        """Beat now: something has changed that others should know."""
        self._pulse = self._take_pulse()
        if self._loop is not None and self._nudged is not None:
            with suppress(RuntimeError):  # its loop has just ended
                self._loop.call_soon_threadsafe(self._nudged.set)

    async def stop(self) -> None:
        """End the thread; afterwards no beat is under way."""
        if not self._thread.is_alive():
            return
        await asyncio.to_thread(self._up.wait, _JOIN)
        if self._loop is not None and self._beating is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._beating.cancel)
        await asyncio.to_thread(self._thread.join, _JOIN)

    def _answer(self, asked: float) -> None:
        self._pulse = self._take_pulse()
        self.lag = self._clock() - asked
        self._asked = None

    # --- the thread's side

    def _live(self) -> None:
        try:
            asyncio.run(self._beat_on())
        except asyncio.CancelledError:
            pass
        except Exception:
            logging.getLogger(__name__).exception("the heartbeat broke")
        finally:
            self._up.set()

    async def _beat_on(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._nudged = asyncio.Event()
        self._beating = asyncio.current_task()
        self._up.set()
        store = self._connect()
        least = store.link.patience = self._dead_after / 2
        try:
            while True:
                self._ask()
                began = self._clock()
                if await self._beat(store):
                    store.link.patience = least
                elif self._clock() - began >= store.link.patience:
                    store.link.patience = min(2 * store.link.patience, _PATIENCE)
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._every):
                        await self._nudged.wait()
                self._nudged.clear()
        finally:
            await store.link.close()

    def _ask(self) -> None:
        now = self._clock()
        if self._asked is not None:
            self.lag = now - self._asked
            return
        self._asked = now
        if self._main is not None:
            with suppress(RuntimeError):  # the main loop has ended; so will this
                self._main.call_soon_threadsafe(self._answer, now)

    async def _beat(self, store: Store) -> bool:
        """Beat in every pool; return whether each has answered."""
        pulse, lag = self._pulse, self.lag
        usable = pulse.usable and lag < self._dead_after
        usable_ms = round(3000 * self._dead_after) if usable else 0
        load = pack({**pulse.load, "usable": usable, "lag_ms": round(lag * 1000, 1)})
        told = await asyncio.gather(
            *(
                self._tell(store, name, reader, usable_ms, load, home=name == pulse.home)
                for name, reader in pulse.readers.items()
            )
        )
        return all(told)

    async def _tell(
        self, store: Store, capability: str, reader: Reader, usable_ms: int, load: bytes, *, home: bool
    ) -> bool:
        try:
            beaten = await store.beat(capability, reader, usable_ms, load, home=home)
        except Exception as error:  # noqa: BLE001  # even the store's own fault: who stops beating is dead
            level = logging.DEBUG if isinstance(error, McpweftError) else logging.ERROR
            event(level, "beat without an answer", pool=capability, error=str(error))
            self.told[capability] = False
            return False
        known = beaten.word not in {Word.WIPED, Word.UNKNOWN}
        self.told[capability] = known and usable_ms > 0
        if not known:
            self._pass_on(self._on_lost, capability, reader)
            return True
        if beaten.generation is not None and beaten.generation != self._generation:
            self._generation = beaten.generation
            self._pass_on(self._on_breaker, beaten.generation)
        if beaten.share != self._shares.get(capability, b""):
            self._shares[capability] = beaten.share
            self._pass_on(self._on_share, capability, beaten.share)
        return True

    def _pass_on(self, told: Callable[..., None], *what: object) -> None:
        if self._main is not None:
            with suppress(RuntimeError):  # the main loop has ended; so will this
                self._main.call_soon_threadsafe(told, *what)
