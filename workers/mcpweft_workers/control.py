"""Hears what the fabric tells this worker: cancels of what it runs, and that its server's breaker moved.

One connection waits on the control streams of all pools, or one each on a Cluster. Whatever is not held
here is ignored, so a stream is read from its start and an entry that is read twice does no harm.

Above stand the runner and the accord, which are told. Below: the store. It must never end a delivery itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mcpweft_schemas.errors import McpweftError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mcpweft_schemas.store import Store
    from mcpweft_workers.backoff import Patience
    from mcpweft_workers.binding import Binding


class Control:
    """The ear of one worker for some of its pools, all on one node; `run` is its owner task."""

    def __init__(
        self,
        store: Store,
        bindings: Sequence[Binding],
        *,
        on_cancel: Callable[[str, str], object],
        on_breaker: Callable[[], object],
        patience: Patience,
    ) -> None:
        self._store = store
        self._bindings = {
            store.keys(binding.capability).control(binding.identity.worker): binding for binding in bindings
        }
        self._on_cancel = on_cancel
        self._on_breaker = on_breaker
        self._patience = patience
        self._positions = dict.fromkeys(self._bindings, "0")
        self._incarnations = dict.fromkeys(self._bindings, "")

    async def run(self) -> None:
        """Listen until cancelled."""
        waiter = self._store.link.waiter(next(iter(self._bindings)))
        try:
            while True:
                self._start_anew()
                try:
                    heard = await self._store.wait_entries(waiter, self._positions)
                except McpweftError:
                    await asyncio.sleep(self._patience.next())
                    continue
                self._patience.reset()
                for key, entries in heard.items():
                    for entry, fields in entries:
                        self._positions[key] = entry
                        self._obey(fields)
        finally:
            await waiter.close()

    def _start_anew(self) -> None:
        """Read a stream from its start where the store is another one: its entries may have lower ids."""
        for key, binding in self._bindings.items():
            incarnation = "" if binding.reader is None else binding.reader.incarnation
            if incarnation != self._incarnations[key]:
                self._incarnations[key] = incarnation
                self._positions[key] = "0"

    def _obey(self, fields: Mapping[bytes, bytes]) -> None:
        if fields.get(b"kind") == b"cancel":
            request_id, entry = fields.get(b"id", b""), fields.get(b"entry", b"")
            self._on_cancel(request_id.decode(errors="replace"), entry.decode(errors="replace"))
        elif fields.get(b"kind") == b"breaker":  # what it says is asked for, so that an old one does no harm
            self._on_breaker()
