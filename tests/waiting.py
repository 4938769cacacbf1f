"""Wait for a fact, with a bound: the tests' only way to let time pass."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_STEP = 0.005  # between two looks: short against every bound, long against a busy loop


async def until(predicate: Callable[[], Any | Awaitable[Any]], within: float = 15.0) -> Any:
    """Return the predicate's first true value; fail when it has none within `within` seconds."""
    end = time.monotonic() + within
    while True:
        value = predicate()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not so within {within} s: {inspect.getsource(predicate).strip()}")
        await asyncio.sleep(_STEP)


def until_sync(predicate: Callable[[], Any], within: float = 15.0) -> Any:
    """Return the predicate's first true value; fail when it has none within `within` seconds."""
    end = time.monotonic() + within
    while not (value := predicate()):
        if time.monotonic() > end:
            raise AssertionError(f"not so within {within} s: {inspect.getsource(predicate).strip()}")
        time.sleep(_STEP)
    return value
