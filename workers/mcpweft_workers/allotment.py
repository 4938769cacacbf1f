"""What the worker may take of each of its pools, as was last dealt: the slots are told, the fetchers ask.

A share comes with a beat's answer, and stands until another one comes. Where none is in force, or what came
cannot be read, the worker takes as much as its server does, at once.

Above stand the heartbeat, which hears shares, and the fetchers. Below: the slots. It must never know why a
share is as it is.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mcpweft_schemas.share import EVEN, Share
from mcpweft_workers.log import event

if TYPE_CHECKING:
    from mcpweft_workers.slots import Slots


class Allotment:
    """The worker's shares, by capability."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._shares: dict[str, Share] = {}

    def of(self, capability: str) -> Share:
        """Return the share in force."""
        return self._shares.get(capability, EVEN)

    def heard(self, capability: str, packed: bytes) -> None:
        """Keep to a share from now on; an empty one ends the last."""
        share = EVEN
        if packed:
            try:
                share = Share.read(packed)
            except ValueError as error:
                event(logging.WARNING, "share refused", pool=capability, error=str(error))
        if share != self.of(capability):
            self._shares[capability] = share
            self._slots.allot(capability, share.concurrency, share.weight)
            event(
                logging.DEBUG, "share", pool=capability, concurrency=share.concurrency,
                hold_ms=round(share.hold_ms, 1), step_ms=round(share.step_ms, 2), weight=share.weight,
            )  # fmt: skip
