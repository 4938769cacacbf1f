"""An inquiry: all that is known of one request, in figures and in words.

Above stands the client; below `store.Inspection`. Nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcpweft_schemas import duration
from mcpweft_schemas.life import FINAL, Class, State
from mcpweft_schemas.outcome import Attempt, Code, Executed
from mcpweft_schemas.rules.ruling import Ruling

if TYPE_CHECKING:
    from mcpweft_schemas.store import Inspection

_GRACE_MS = 1000


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One request at one moment. Times are seconds from that moment; None where there is none."""

    id: str
    capability: str
    tool: str
    tenant: str
    state: State
    klass: Class
    ahead: int | None
    """How many of its class go before it; None where it is not queued, or over 1000 do."""
    due_in: float | None
    """When a delayed one may be taken."""
    deadline_in: float | None
    """Negative where it has passed; None once it has ended."""
    age: float
    """Since it was accepted."""
    worker: str | None
    """Who has it, or had it last."""
    server: str | None
    attempt: int
    max_attempts: int
    deliveries: int
    safe: bool | None
    """Whether it may run twice; None where its caller left that open and no worker has had it."""
    executed: Executed
    code: Code | None
    """How it ended."""
    attempts: tuple[Attempt, ...]
    waiters: int
    rules: Ruling | None
    """Which routing rules fitted it, at which version; None where none did."""
    next: str
    """What happens next, in words."""


def read_inquiry(capability: str, found: Inspection) -> Inquiry:
    """Return what the store knows of a request as an inquiry."""
    fields, now = found.fields, found.now_ms
    ended = found.state in FINAL
    due = (found.due_ms - now) / 1000 if found.due_ms is not None and not ended else None
    safe = fields.get("run") or fields.get("safe") or ""
    deadline = (_number(fields.get("deadline")) - now) / 1000
    return Inquiry(
        id=found.id,
        capability=capability,
        tool=fields.get("tool", ""),
        tenant=fields.get("tenant", ""),
        state=found.state,
        klass=Class(fields["class"]),
        ahead=found.ahead,
        due_in=due,
        deadline_in=None if ended else deadline,
        age=(now - _number(fields.get("accepted"))) / 1000,
        worker=fields.get("worker") or None,
        server=fields.get("server") or None,
        attempt=_number(fields.get("attempt")),
        max_attempts=_number(fields.get("max")),
        deliveries=_number(fields.get("deliveries")),
        safe=None if safe == "" else safe == "1",
        executed=Executed(fields.get("executed") or "no"),
        code=Code(fields["code"]) if fields.get("code") else None,
        attempts=found.attempts,
        waiters=len(fields.get("waiters", "").split()),
        rules=Ruling.read(fields.get("rules", "")),
        next=_next(capability, found, due, deadline),
    )


def _number(text: str | None) -> int:
    return int(float(text)) if text else 0


def _next(capability: str, found: Inspection, due: float | None, deadline: float) -> str:
    fields = found.fields
    left = f"its time is over in {duration.spoken(round(max(0.0, deadline), 1))}"
    match found.state:
        case State.QUEUED:
            before = "over 1000" if found.ahead is None else str(found.ahead)
            return f"waits for a worker of {capability!r}; {before} of its class go first; {left}"
        case State.DELAYED:
            when = (
                f"in {duration.spoken(round(due, 1))}" if due and due > 0 else "as soon as a worker has room"
            )
            again = f"attempt {_number(fields.get('attempt')) + 1} of {fields.get('max', '?')}"
            return f"{again} {when}; {left}"
        case State.RUNNING if _number(fields.get("cancel")):
            return (
                f"worker {fields.get('worker')} was told to stop; it ends within {_GRACE_MS // 1000} s or so"
            )
        case State.RUNNING:
            return f"runs on server {fields.get('server')!r}, worker {fields.get('worker')}; {left}"
        case State.DEAD:
            return f"ended as {fields.get('code')}; kept for replay: mcpweft dead replay {found.id}"
        case State.DONE | State.CANCELLED | State.EXPIRED:
            return f"ended as {fields.get('code')}; nothing further happens"
