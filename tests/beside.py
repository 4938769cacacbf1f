"""Something that runs beside a test's block and ends with it: a coordinator, a worker's beats.

Above stand the tests and their fixtures. It must never know what runs.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, object]) -> AsyncGenerator[None]:
    """Run `work` until the block is left; then cancel it and wait for its end, however it ends."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
