"""One call as a producer process is told it (see producing.py), and what must be true of its answer.

Above stand whoever tells producers what to do; below is nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SAFE = frozenset({"echo", "ask", "sleep"})
"""Tools whose annotations say that they may run twice."""
SAYS_IT = frozenset({"echo", "ask", "say", "fail"})
"""Tools that answer what they were told."""
TIMEOUT = 30.0


def made(
    nonce: str, pool: str, tool: str, *, how: str = "call", ms: float | None = None,
    arguments: Mapping[str, Any] | None = None, **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return a call that its answer must name by `nonce`; `ms`: how long `say` and `ask` take."""
    said: dict[str, Any] = {"_nonce": nonce, **(arguments or {})}
    said |= {"message": nonce} if tool == "fail" else {"text": nonce}
    if tool in {"say", "ask"}:
        said["ms"] = 20 if ms is None else ms
    safe = options.get("idempotent")
    return {
        "nonce": nonce,
        "name": f"{pool}.{tool}",
        "arguments": said,
        "safe": tool in SAFE if safe is None else safe,
        "answer": nonce if tool in SAYS_IT else None,
        "how": how,
        "options": {"timeout": TIMEOUT, **options},
    }
