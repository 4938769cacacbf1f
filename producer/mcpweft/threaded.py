"""What the blocking clients are: an asynchronous one in an event loop in a thread of its own.

Above stand `SyncClient` and `SyncRagClient`. It may be made anywhere, opens on its first use, and is safe to
share between threads. A fork that was made before that use opens its own; one made after it is told so. This
module must never know what the client does.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any, Protocol, Self

from mcpweft.thread import LoopThread
from mcpweft_schemas.errors import ShuttingDownError


class Openable(Protocol):
    """A client to be opened and closed in one event loop."""

    async def open(self) -> Any:
        """Be ready."""

    async def close(self) -> None:
        """Be gone."""


class Threaded:
    """The life of a blocking client; leaving its `with` block closes it."""

    def __init__(self, client: Openable) -> None:
        self._opens = client
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None
        self._made_in = os.getpid()
        self._closed = False

    def open(self) -> Self:
        """Find the fabric and be ready; the first use does so too. Raises as `Client`."""
        self._ready()
        return self

    def _ready(self) -> LoopThread:
        thread = self._thread
        if thread is not None:
            return thread  # which knows whether it was forked
        if os.getpid() != self._made_in:  # the lock may be a copy of one that another thread held
            self._lock, self._made_in = threading.Lock(), os.getpid()
        with self._lock:
            if self._closed:
                raise ShuttingDownError("the client is closed", advice="Use it before it is closed.")
            if self._thread is None:
                thread = LoopThread()
                try:
                    thread.run(self._opens.open)
                except BaseException:
                    thread.stop()
                    raise
                self._thread = thread
                atexit.register(self.close)
            return self._thread

    def close(self) -> None:
        """End every wait with SHUTTING_DOWN and let go of the store. Repeat freely."""
        thread = self._thread
        if thread is not None and thread.forked:
            return  # the parent's to close
        with self._lock:
            self._closed = True
            if thread is None or self._thread is None:
                return
            self._thread = None
            atexit.unregister(self.close)
            try:
                thread.run(self._opens.close)
            finally:
                thread.stop()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()
