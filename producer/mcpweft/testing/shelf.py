"""The fake's shelf: what stands in the place of the store where the real client looks something up.

Above stand the client's fleet, inquiry and follower; below the script and the accepted requests. It only
tells: this module must never change either.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from mcpweft.testing.reply import SERVER, WORKER
from mcpweft_schemas.answer import History, Inspection, PoolStatus
from mcpweft_schemas.event import EventPage
from mcpweft_schemas.life import FINAL, Class, State
from mcpweft_schemas.packing import pack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcpweft.testing.answer import Script
    from mcpweft.testing.request import Request
    from mcpweft_schemas.wire import Reply

_QUIET_S = 0.05  # between two looks for events, of which there are none
_USABLE_MS = 3000
_SLOTS = 64


class _Fleet:
    """Names of keys; nothing lies there."""

    events = "events"


class Shelf:
    """Pools, tools, figures and requests, as `Store` tells of them."""

    fleet = _Fleet()

    def __init__(self, script: Script, requests: Mapping[str, Request]) -> None:
        self._script = script
        self._requests = requests
        self._made_ms = _now_ms()
        self.link = self

    async def close(self) -> None:
        """Let nothing go: there is no connection."""

    async def pools(self) -> tuple[str, ...]:
        """Return the capabilities that the test named."""
        return tuple(self._script.pools())

    async def tools(self, capability: str) -> dict[str, bytes]:
        """Return the tools of a capability that the test named; nothing is known of their schemas."""
        return {f"{SERVER}/{name}": pack({"name": name}) for name in self._script.tools(capability)}

    async def chunks(self, capability: str, reply: Reply) -> bytes | None:
        """Return an outcome in pieces: there are none, because all travel whole."""
        del capability, reply
        return None

    async def status(self, capability: str, horizons_ms: Sequence[int] = ()) -> PoolStatus | None:
        """Return a pool's figures, or None where the test named no such pool."""
        del horizons_ms
        if capability not in self._script.pools():
            return None
        now = _now_ms()
        states = [request.state for request in self._requests.values() if request.capability == capability]
        running = states.count(State.RUNNING)
        ended = sum(state in FINAL for state in states)
        info = {"server": SERVER, "host": "localhost", "pid": os.getpid(), "started_ms": self._made_ms}
        load = {
            "in_flight": running, "slots": _SLOTS, "state": "READY", "breaker": "closed",
            "health": "healthy", "reason": "", "ok": ended, "errors": 0, "restarts": 0,
        }  # fmt: skip
        return PoolStatus(
            capability=capability,
            now_ms=now,
            settings={},
            stat={"accepted": str(len(states)), "done": str(states.count(State.DONE))},
            waiting=dict.fromkeys(Class, 0),
            running=running,
            delayed=states.count(State.DELAYED),
            dead=states.count(State.DEAD),
            alive={WORKER: now},
            usable={WORKER: now + _USABLE_MS},
            members={WORKER: pack(info)},
            load={WORKER: pack(load)},
        )

    async def inspect(self, capability: str, request_id: str) -> Inspection | None:
        """Return all that is known of a request; None where nothing is."""
        del capability
        request = self._requests.get(request_id)
        if request is None:
            return None
        reply, submission = request.reply, request.submission
        delayed = request.state is State.DELAYED
        return Inspection(
            id=request_id,
            state=request.state,
            now_ms=_now_ms(),
            ahead=None,
            due_ms=request.accepted_ms + submission.delay_ms if delayed else None,
            attempts=reply.attempts if reply is not None else (),
            fields=_fields(request),
        )

    async def events(self, position: str = "0-0", most: int = 100) -> EventPage:
        """Return what happened in the fleet: nothing."""
        del most
        return EventPage(_now_ms(), "0-0", whole=True, position=position, events=())

    async def history(self, capability: str, width_s: int, from_s: int, most: int) -> History:
        """Return what was measured of a pool: nothing."""
        del capability, width_s, from_s, most
        return History(_now_ms(), ())

    def waiter(self, key: str) -> Shelf:
        """Return what waits for events."""
        del key
        return self

    async def wait_entries(
        self, waiter: Shelf, positions: Mapping[str, str], most: int = 1000
    ) -> dict[str, Any]:
        """Wait for an event for a while; none comes."""
        del waiter, positions, most
        await asyncio.sleep(_QUIET_S)
        return {}


def _fields(request: Request) -> dict[str, str]:
    """Return a request's record, as far as an inquiry reads it."""
    submission, reply = request.submission, request.reply
    taken = "1" if request.started_ms else "0"
    return {
        "tool": submission.tool,
        "tenant": submission.tenant,
        "class": submission.klass.value,
        "deadline": str(request.accepted_ms + submission.timeout_ms),
        "accepted": str(request.accepted_ms),
        "safe": "" if submission.safe is None else str(int(submission.safe)),
        "worker": WORKER if request.started_ms else "",
        "server": SERVER if request.started_ms else "",
        "attempt": taken,
        "deliveries": taken,
        "max": str(submission.max_attempts),
        "executed": reply.executed.value if reply is not None else "no",
        "code": reply.code.value if reply is not None else "",
        "waiters": " ".join([WORKER] * request.waiters),
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
