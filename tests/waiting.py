"""Wait for a fact, with a bound: the tests' only way to let time pass."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_STEP, _LONGEST_STEP = 0.005, 0.025  # between two looks: short against every bound, long against a busy loop


def _step(left: float, within: float) -> float:
    """Return how long to wait for the next look: what has taken long may be seen a little later."""
    return min(_LONGEST_STEP, max(_STEP, (within - left) / 50))


async def until(predicate: Callable[[], Any | Awaitable[Any]], within: float = 15.0) -> Any:
    """Return the predicate's first true value; fail when it has none within `within` seconds."""
    end = time.monotonic() + within
    while True:
        value = predicate()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if (left := end - time.monotonic()) < 0:
            raise AssertionError(f"not so within {within} s: {inspect.getsource(predicate).strip()}")
        await asyncio.sleep(_step(left, within))


def until_sync(predicate: Callable[[], Any], within: float = 15.0) -> Any:
    """Return the predicate's first true value; fail when it has none within `within` seconds."""
    end = time.monotonic() + within
    while not (value := predicate()):
        if (left := end - time.monotonic()) < 0:
            raise AssertionError(f"not so within {within} s: {inspect.getsource(predicate).strip()}")
        time.sleep(_step(left, within))
    return value
