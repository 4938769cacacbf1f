"""Drivers of other queues, one each, with the settings that their documentation offers for speed.

Each is run in an environment of its own by `benchmarks.queue`:

    python -P -m benchmarks.peers.NAME_peer worker URL      until SIGTERM
    python -P -m benchmarks.peers.NAME_peer producer URL    under orders, see rig/load.py

All get hiredis and uvloop, in the producer and in the worker, and room for all calls in flight at once. Where
a result is polled for, the poll fits the load: the fastest of 10, 20, 50, 100 and 200 ms in a trial, with few
calls in flight and with many. Their defaults, up to 0.5 s, would be a tenth as fast.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.rig.load import run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

CONCURRENCY = 256
"""Calls that a worker runs at once: as many as are ever in flight."""
FEW = 32
"""Up to so many in flight, the poll for few holds."""


def play(**roles: Callable[[str], Coroutine[Any, Any, None]]) -> None:
    """Be what the command line says: `worker` or `producer`, on a store."""
    logging.disable(logging.WARNING)
    try:
        run(roles[sys.argv[1]](sys.argv[2]))
    except asyncio.CancelledError:  # how a worker of arq or SAQ ends on a signal
        sys.exit(0)
